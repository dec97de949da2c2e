"""Nobody has a right that was not granted to them, and programme time only moves forward."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.migrations.roles import grant, present_roles, quoted

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Take PUBLIC's rights away, let writer and reader in, make the clock.

    Those on the database itself are seen to whenever it is migrated.
    """
    _close_to_public()
    _make_clock()
    grant("alembic_version", writer="SELECT", reader="SELECT")


def _close_to_public() -> None:
    roles = present_roles()
    op.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    op.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
    for role in (roles.writer, roles.reader):
        op.execute(f"GRANT USAGE ON SCHEMA public TO {quoted(role)}")


def _make_clock() -> None:
    op.create_table(
        "clock",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("is_driven", sa.Boolean, nullable=False),
        sa.Column("now", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_clock_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock")),
    )
    op.execute("""
        CREATE FUNCTION clock_moves_forward() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NOT OLD.is_driven THEN
                RAISE EXCEPTION 'a wall clock is not driven';
            END IF;
            IF NEW.now < OLD.now THEN
                RAISE EXCEPTION 'programme time never goes back: % is before %', NEW.now, OLD.now;
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER clock_moves_forward BEFORE UPDATE ON clock
        FOR EACH ROW EXECUTE FUNCTION clock_moves_forward()
    """)
    grant("clock", writer="SELECT, UPDATE (now)", reader="SELECT")
