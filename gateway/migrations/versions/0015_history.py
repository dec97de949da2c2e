"""A member's history is found by when it was recorded and, of the late ones, by when it happened.

The index says both instants, so a balance as of an instant reads the one operation before it and those
that came late, and of the others since only their entries. Months come in order, so a page reads the
newest first. Months that are archived already are sorted when they are asked.
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Exchange the index; meanwhile history can be neither written nor read."""
    op.execute("DROP INDEX ix_operations_history")
    op.execute("CREATE INDEX ix_operations_history ON operations (member, recorded_at, id, occurred_at)")
