"""Recounting keys: what operations claimed once, made again from what history keeps of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Set
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from .evidence.history import PAGE
from .evidence.recount import Flaw
from .keys import Keys, claimed_as
from .outcomes import read_outcome

_CLAIMS: Final = text("""
    SELECT o.bucket, o.id, o.kind, o.partner, o.outlet, o.terminal, o.receipt, o.principal, o.key,
           o.refusal = '' AS is_accepted, k.keys,
           CASE WHEN o.kind IN ('authorize', 'burn', 'transfer') AND o.refusal = '' THEN o.outcome END
               AS outcome
    FROM operations o
    LEFT JOIN (SELECT bucket, operation, recorded_at, array_agg(key) AS keys
               FROM keys GROUP BY bucket, operation, recorded_at) k
        ON k.bucket = o.bucket AND k.operation = o.id AND k.recorded_at = o.recorded_at
    WHERE o.key <> '' OR k.keys IS NOT NULL
""")


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Operations whose key, receipt or member token is claimed no more, or that claim what is not theirs."""
    async with connection.stream(_CLAIMS) as stream:
        async for page in stream.partitions(PAGE):
            for row in page:
                for what in _differing(row):
                    yield Flaw(row.bucket, f"operation {row.id}: {what}")


def _differing(row: Any) -> list[str]:
    """What of the keys of an operation is not what it claimed."""
    there = set(row.keys or ())
    claimed = _claimed(row, there)
    found = [f"its {claimed[what]} is not among the keys" for what in claimed.keys() - there]
    strange = there - claimed.keys()
    # Before operations said which member token backed them, nothing could tell it from others.
    is_untold = row.outcome is not None and "token" not in claimed.values()
    if len(strange) > is_untold:
        found.append(f"{len(strange)} keys that it did not claim")
    return found


def _claimed(row: Any, there: Set[bytes]) -> dict[bytes, str]:
    """What an operation claims, by fingerprint: a receipt as in older versions too, if that is `there`."""
    if not row.key:
        return {}
    claimed = {Keys.fingerprint(row.principal, row.key): "key"}
    if row.is_accepted and row.receipt:
        kinds = dict.fromkeys((row.kind, claimed_as(row.kind)))
        place = (row.terminal, row.receipt)
        receipts = [Keys.of_receipt(row.partner, row.outlet, kind, *place) for kind in kinds]
        claimed |= dict.fromkeys([each for each in receipts if each in there] or receipts[-1:], "receipt")
    kept = read_outcome(row.id, row.outcome).kept if row.outcome else None
    if kept is not None and kept.token:
        claimed[kept.token] = "token"
    return claimed
