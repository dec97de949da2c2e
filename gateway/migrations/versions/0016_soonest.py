"""A member's lots are kept in the order they are spent in, and the wallet says where those with points begin.

A burn reads the first few from there on, however many lots the member has had. Until a wallet is burned
from for the first time, it begins before them all. A process of an older version would give points without
saying that they begin earlier, so a column that each of its batches asks for has another name from here on.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add where lots begin; exchange the key of lots, which nobody can use meanwhile."""
    op.execute(
        "ALTER TABLE wallets ADD COLUMN lots_from TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT '-infinity', "
        "ADD COLUMN first_lot BIGINT NOT NULL DEFAULT 0"
    )
    op.execute("ALTER TABLE heads RENAME COLUMN sequence TO operations")
    op.execute("ALTER TABLE lots DROP CONSTRAINT pk_lots")
    op.execute("ALTER TABLE lots ADD CONSTRAINT pk_lots PRIMARY KEY (bucket, member, expires_at, id)")
