"""A client remembers who registered it; nobody knows that of those that are there already."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the column; the writer may fill it in and never change it, as its rights are by column."""
    op.execute("ALTER TABLE clients ADD COLUMN created_by TEXT")
    op.execute(
        "COMMENT ON COLUMN clients.created_by IS 'the principal that registered it; null: nobody knows'"
    )
