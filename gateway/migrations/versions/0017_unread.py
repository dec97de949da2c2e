"""What nobody reads is not written any more: when a member was last enrolled, and an index of merges."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Drop the column and the index."""
    op.execute("ALTER TABLE members DROP COLUMN last_enrolled_at")
    op.execute("DROP INDEX ix_merges_survivor")
