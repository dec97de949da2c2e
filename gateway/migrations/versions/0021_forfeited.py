"""A lot says how many of its points have left it without having been of use to the member.

Goods that come back after their points have expired make no debt then. What lots of before have forfeited
is counted from the lines of the whole history.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the figure, and count it: from available to expired, or to a correction."""
    op.execute("ALTER TABLE lots ADD COLUMN forfeited BIGINT NOT NULL DEFAULT 0")
    op.execute(
        "UPDATE lots l SET forfeited = s.points FROM ("
        " SELECT bucket, lot, sum(amount) AS points FROM whole.lines"
        " WHERE debit = 3 AND credit IN (7, 9) GROUP BY bucket, lot"
        ") s WHERE l.bucket = s.bucket AND l.id = s.lot"
    )
