"""Members come along from another programme: who they were there, and what became of each row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from gateway.migrations.roles import grant

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make former numbers and imports, and name two flows. The reader sees none of it: it serves partners."""
    op.execute("INSERT INTO flow_kinds (code, operation) VALUES (14, 'opening_pending'), (15, 'opening')")
    op.create_table(
        "former_numbers",
        sa.Column("member", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("version", sa.SmallInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.PrimaryKeyConstraint("member", name=op.f("pk_former_numbers")),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_former_numbers_member")),
    )
    op.create_index("uq_former_numbers_digest", "former_numbers", ["digest"], unique=True)
    grant("former_numbers", writer="SELECT, INSERT, UPDATE")
    _make_imports()


def _make_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("begun_by", sa.Text, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("accepted", sa.BigInteger, nullable=False),
        sa.Column("refused", sa.BigInteger, nullable=False),
        sa.Column("totals", JSONB, nullable=False),
        sa.Column("control", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.UniqueConstraint("source", "file", name=op.f("uq_imports_source_file")),
    )
    grant("imports", writer="SELECT, INSERT, UPDATE")
    op.create_table(
        "import_rows",
        sa.Column("import", sa.Integer, nullable=False),
        sa.Column("row", sa.BigInteger, nullable=False),
        sa.Column("operation", sa.BigInteger),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("import", "row", name=op.f("pk_import_rows")),
        sa.ForeignKeyConstraint(["import"], ["imports.id"], name=op.f("fk_import_rows_import")),
    )
    op.create_index(
        "ix_import_rows_refused", "import_rows", ["import", "row"], postgresql_where=sa.text("code <> ''")
    )
    grant("import_rows", writer="SELECT, INSERT")
