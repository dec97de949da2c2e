"""A receipt that points were held for claims what a burn of it would, so that points pay for it once.

Holds claimed a kind of their own before. What they claimed stays; what a burn would is claimed beside it,
unless one has burned points under the same receipt already.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_PORTION: Final = 10_000
_HELD: Final = sa.text("""
    SELECT bucket, id, recorded_at, partner, outlet, terminal, receipt FROM whole.operations
    WHERE kind = 'authorize' AND refusal = '' AND receipt <> ''
""")
_CLAIM: Final = sa.text("""
    INSERT INTO keys (bucket, key, operation, recorded_at) VALUES (:bucket, :key, :operation, :recorded_at)
    ON CONFLICT DO NOTHING
""")


def upgrade() -> None:
    """Claim them."""
    claim(op.get_bind())


def claim(connection: sa.Connection) -> None:
    """Let every hold that was accepted under a receipt claim it as a burn does."""
    with connection.execute(_HELD, execution_options={"yield_per": _PORTION}) as held:
        for rows in held.partitions():
            connection.execute(_CLAIM, [_claim_of(row) for row in rows])


def _claim_of(row: Any) -> dict[str, Any]:
    named = f"{row.partner} {row.outlet} burn\0{row.terminal}\0{row.receipt}".encode()
    fingerprint = blake2b(named, digest_size=16, person=b"receipt").digest()
    return {
        "bucket": row.bucket,
        "key": fingerprint,
        "operation": row.id,
        "recorded_at": row.recorded_at,
    }
