"""What came back of a purchase is kept by line, and what could not be taken back is owed."""

from __future__ import annotations

from alembic import op

from gateway.migrations.roles import grant

revision = "0013"
down_revision = "0012"

TABLES = {
    "dues": """
        CREATE TABLE dues (
            bucket SMALLINT NOT NULL,
            member BIGINT NOT NULL,
            operation BIGINT NOT NULL,
            issuer INTEGER NOT NULL,
            obligor INTEGER NOT NULL,
            tariff INTEGER NOT NULL,
            original BIGINT NOT NULL,
            points BIGINT NOT NULL,
            points_left BIGINT NOT NULL,
            CONSTRAINT pk_dues PRIMARY KEY (bucket, member, operation),
            CONSTRAINT ck_dues_within CHECK (points > 0 AND points_left BETWEEN 0 AND points)
        )
    """,
    "returned": """
        CREATE TABLE returned (
            bucket SMALLINT NOT NULL,
            operation BIGINT NOT NULL,
            line SMALLINT NOT NULL,
            quantity_milli BIGINT NOT NULL,
            points BIGINT NOT NULL,
            money_micro BIGINT NOT NULL,
            CONSTRAINT pk_returned PRIMARY KEY (bucket, operation, line),
            CONSTRAINT ck_returned_floor
                CHECK (quantity_milli >= 0 AND points >= 0 AND money_micro >= 0)
        )
    """,
}


def upgrade() -> None:
    """Make the tables: state, moved by the writer under the lock of its bucket's head."""
    for name, statement in TABLES.items():
        op.execute(statement)
        grant(name, writer="SELECT, INSERT, UPDATE")
