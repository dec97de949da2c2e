"""A closed period keeps its stages, cells, sheet and statements for ever."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.migrations.roles import grant

revision = "0006"
down_revision = "0005"

HISTORY = (
    "period_stages",
    "cells",
    "frozen_stock",
    "obligations",
    "sheets",
    "sheet_lines",
    "statements",
)


def upgrade() -> None:
    """Make the tables; the writer may add to them and nobody may change them."""
    _make_stages()
    _make_frozen()
    _make_sheets()
    _make_statements()
    for table in HISTORY:
        op.execute(
            f"CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER never_truncated BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        grant(table, writer="SELECT, INSERT")


def _make_stages() -> None:
    op.create_table(
        "period_stages",
        sa.Column("period", sa.Integer, nullable=False),
        sa.Column("ordinal", sa.SmallInteger, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reached_by", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary),
        sa.PrimaryKeyConstraint("period", "ordinal", name=op.f("pk_period_stages")),
    )


def _make_frozen() -> None:
    op.create_table(
        "cells",
        sa.Column("period", sa.Integer, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("issuer", sa.Integer, nullable=False),
        sa.Column("obligor", sa.Integer, nullable=False),
        sa.Column("redeemer", sa.Integer, nullable=False),
        sa.Column("tariff", sa.Integer, nullable=False),
        sa.Column("terms", sa.Integer, nullable=False),
        sa.Column("origin_period", sa.Integer, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "period",
            "operation",
            "issuer",
            "obligor",
            "redeemer",
            "tariff",
            "terms",
            "origin_period",
            name=op.f("pk_cells"),
        ),
    )
    op.create_table(
        "frozen_stock",
        sa.Column("period", sa.Integer, nullable=False),
        sa.Column("issuer", sa.Integer, nullable=False),
        sa.Column("obligor", sa.Integer, nullable=False),
        sa.Column("tariff", sa.Integer, nullable=False),
        sa.Column("issue_month", sa.Integer, nullable=False),
        sa.Column("expiry_month", sa.Integer, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.CheckConstraint("points >= 0", name=op.f("ck_frozen_stock_floor")),
        sa.PrimaryKeyConstraint(
            "period",
            "issuer",
            "obligor",
            "tariff",
            "issue_month",
            "expiry_month",
            name=op.f("pk_frozen_stock"),
        ),
    )


def _make_sheets() -> None:
    op.create_table(
        "obligations",
        sa.Column("period", sa.Integer, nullable=False),
        sa.Column("debtor", sa.Integer, nullable=False),
        sa.Column("creditor", sa.Integer, nullable=False),
        sa.Column("micro", sa.BigInteger, nullable=False),
        sa.CheckConstraint("micro > 0 AND debtor <> creditor", name=op.f("ck_obligations_owed_to_another")),
        sa.PrimaryKeyConstraint("period", "debtor", "creditor", name=op.f("pk_obligations")),
    )
    op.create_table(
        "sheets",
        sa.Column("period", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("drawn_up_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("period", name=op.f("pk_sheets")),
    )
    op.create_table(
        "sheet_lines",
        sa.Column("period", sa.Integer, nullable=False),
        sa.Column("partner", sa.Integer, nullable=False),
        sa.Column("opening_micro", sa.BigInteger, nullable=False),
        sa.Column("charge_micro", sa.BigInteger, nullable=False),
        sa.Column("payable_micro", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("period", "partner", name=op.f("pk_sheet_lines")),
    )


def _make_statements() -> None:
    op.create_table(
        "statements",
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("period", sa.Integer, nullable=False),
        sa.Column("partner", sa.Integer, nullable=False),
        sa.Column("charge_micro", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_statements")),
        sa.UniqueConstraint("period", "partner", name=op.f("uq_statements_period_partner")),
    )
