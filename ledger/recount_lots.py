"""Recounting lots: dates, arming, obligor and parent, against the operations that made and changed them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from .accounts import AVAILABLE, FORFEITED, PENDING
from .block import CHANGING
from .evidence.history import PAGE
from .evidence.recount import Flaw
from .outcomes import LotMade, LotSet, Outcome, read_outcome
from .state_proof import maker_of

# Joined by ids alone, which hold the bucket: PostgreSQL may know nothing yet of a partition that has filled.
_LOTS: Final = text(f"""
    SELECT l.bucket, l.member, l.id, l.obligor, l.earned_at, l.expires_at, l.earned, l.available_at,
           l.armed_at, l.parent, l.forfeited, o.id AS maker, o.kind, o.recorded_at, o.refusal, o.outcome,
           m.first_obligor, m.is_released, coalesce(m.forfeited, 0)::bigint AS forfeits
    FROM lots l
    LEFT JOIN operations o ON o.id = {maker_of("l.id")}
    LEFT JOIN (SELECT lot, bool_or(debit = {PENDING} AND credit = {AVAILABLE}) AS is_released,
                      min(obligor) FILTER (WHERE operation = {maker_of("lot")}) AS first_obligor,
                      sum(amount) FILTER (WHERE debit = {AVAILABLE} AND credit IN {FORFEITED}) AS forfeited
               FROM lines WHERE lot <> 0 GROUP BY lot) m ON m.lot = l.id
    ORDER BY l.bucket, l.member
""")  # noqa: S608 - an expression
_CHANGES: Final = text(f"""
    SELECT bucket, member, id, outcome FROM operations
    WHERE kind IN {CHANGING} AND refusal = '' ORDER BY bucket, member, id
""")  # noqa: S608 - constants
_ARMS_AT_RELEASE: Final = text("SELECT notice_days IS NULL FROM calendar ORDER BY period LIMIT 1")
_OF_ONE_LOT: Final = ("earn", "grant", "adjust")
"""Kinds of operations whose outcome says all of the one lot that they make, with their first line."""

_COMPARED: Final = LotMade.__struct_fields__[1:]


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Lots that are not what operations made of them; of one member at a time in memory."""
    arms_at_release = bool(await connection.scalar(_ARMS_AT_RELEASE))
    async with connection.stream(_CHANGES) as told, connection.stream(_LOTS) as stream:
        changes = _Changes(aiter(told))
        async for page in stream.partitions(PAGE):
            for row in page:
                for what in _differing(
                    row, await changes.of(row.bucket, row.member), arms_at_release=arms_at_release
                ):
                    yield Flaw(row.bucket, f"lot {row.id} of member {row.member} {what}")


def _differing(row: Any, changed: dict[int, LotSet] | None, *, arms_at_release: bool) -> list[str]:
    """What of a lot is not as its operations say; `changed` as `_Changes.of` gives it."""
    if row.outcome is None or row.refusal:
        return ["was made by no operation"]
    if row.forfeited != row.forfeits:
        return [f"has forfeited {row.forfeited}; its lines: {row.forfeits}"]
    lot = _made(row)
    if lot is None or changed is None:
        return []
    lot = _changed(lot, changed.get(row.id), row, arms_at_release=arms_at_release)
    return [
        f"has {name} {stands}; its operations: {was}"
        for name in _COMPARED
        if (stands := getattr(row, name)) != (was := getattr(lot, name))
    ]


class _Changes:
    """What novations and arming made of lots, member by member, in the order in which they are asked for."""

    def __init__(self, rows: AsyncIterator[Any]) -> None:
        self._rows = rows
        self._next: Any = None
        self._is_begun = False
        self._member = (-1, -1)
        self._lots: dict[int, LotSet] | None = {}

    async def of(self, bucket: int, member: int) -> dict[int, LotSet] | None:
        """The last change of each lot of `member`; None where an operation of before did not say which."""
        if self._member == (bucket, member):
            return self._lots
        self._member, self._lots = (bucket, member), {}
        if not self._is_begun:
            self._is_begun, self._next = True, await anext(self._rows, None)
        while self._next is not None and (self._next.bucket, self._next.member) <= (bucket, member):
            if self._next.member == member:
                self._note(read_outcome(self._next.id, self._next.outcome))
            self._next = await anext(self._rows, None)
        return self._lots

    def _note(self, outcome: Outcome) -> None:
        if outcome.kept is None:
            self._lots = None
        elif self._lots is not None:
            self._lots.update((change.lot, change) for change in outcome.kept.changed)


def _made(row: Any) -> LotMade | None:
    """The lot as its operation made it, None if that was posted before operations said so."""
    outcome = read_outcome(row.maker, row.outcome)
    if row.kind not in _OF_ONE_LOT:
        made = outcome.kept.made if outcome.kept else ()
        return next((lot for lot in made if lot.lot == row.id), None)
    if outcome.expires_at is None:
        return None
    return LotMade(
        lot=row.id,
        obligor=row.first_obligor,
        earned_at=row.recorded_at,
        expires_at=outcome.expires_at,
        earned=outcome.points,
        available_at=outcome.available_at,
        armed_at=None,
        parent=None,
    )


def _changed(lot: LotMade, change: LotSet | None, row: Any, *, arms_at_release: bool) -> LotMade:
    """The lot as it is to be now."""
    if change is not None:
        lot = msgspec.structs.replace(
            lot, obligor=change.obligor, expires_at=change.expires_at, armed_at=change.armed_at
        )
    if lot.armed_at is not None or not arms_at_release:
        return lot
    # What is available at once was armed when it was earned, what waits when it is released.
    if row.is_released:
        return msgspec.structs.replace(lot, armed_at=lot.available_at)
    return msgspec.structs.replace(lot, armed_at=lot.earned_at) if lot.available_at is None else lot
