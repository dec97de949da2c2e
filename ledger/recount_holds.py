"""Recounting holds: each against the operation that made it, and those that used and ended it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from .accounts import HELD
from .evidence.history import PAGE
from .evidence.recount import Flaw
from .outcomes import read_outcome

# A hold has ended when nothing is left of it: whatever ends one gives back the rest.
_HOLDS: Final = text(f"""
    SELECT id, h.member, h.partner, h.outlet, h.terms, h.is_open, h.has_lapsed, h.expires_at,
           o.member AS o_member, o.partner AS o_partner, o.outlet AS o_outlet, o.terms AS o_terms,
           e.moved IS NULL OR e.moved <> o.points AS o_is_open, coalesce(e.lapsed, false) AS o_has_lapsed,
           o.outcome
    FROM holds h
    FULL JOIN (SELECT bucket, id, member, partner, outlet, terms, points, outcome
               FROM operations WHERE kind = 'authorize' AND refusal = '') o USING (bucket, id)
    LEFT JOIN (SELECT o.bucket, o.reference AS id, bool_or(o.kind = 'lapse') AS lapsed,
                      coalesce(sum(l.amount), 0) AS moved
               FROM operations o
               LEFT JOIN lines l ON l.bucket = o.bucket AND l.operation = o.id
                    AND l.recorded_at = o.recorded_at AND l.debit = {HELD}
               WHERE o.kind IN ('capture', 'void', 'lapse', 'reverse') AND o.refusal = ''
                 AND o.reference <> 0
               GROUP BY o.bucket, o.reference) e USING (bucket, id)
    ORDER BY id
""")  # noqa: S608 - a constant of the chart of accounts
_ALIKE: Final = ("member", "partner", "outlet", "terms", "is_open", "has_lapsed")


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Holds that are not as they were authorised, or that say another end than their operations."""
    async with connection.stream(_HOLDS) as stream:
        async for page in stream.partitions(PAGE):
            for row in page:
                for what in _differing(row):
                    yield Flaw(row.id >> 56, f"hold {row.id} {what}")


def _differing(row: Any) -> list[str]:
    """What of a hold is not as its operations say."""
    if row.member is None or row.outcome is None:
        return ["is not there" if row.member is None else "was authorised by no operation"]
    pairs = [(name, getattr(row, name), getattr(row, f"o_{name}")) for name in _ALIKE]
    pairs.append(("expires_at", row.expires_at, read_outcome(row.id, row.outcome).hold_expires_at))
    return [f"has {name} {stands}; its operations: {was}" for name, stands, was in pairs if stands != was]
