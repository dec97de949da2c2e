"""Looking back: what a batch reads and keeps about the purchases that its returns are about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from .commands import Command, Item, ReturnPurchase, Reverse
from .dues import Due
from .kernel.packing import bigints, ints, smallints
from .kernel.wire import Flight, Statement, Wire
from .keys import Keys, claim_of
from .outcomes import SliceTaken, read_outcome
from .purchases import PURCHASED, Original, Purchases
from .returned import Mark
from .store import KEYS, of_keys, of_lots, of_members
from .wallet import lot_id

_ORIGINALS: Final = Statement(
    "originals",
    """
    SELECT o.id, o.member, o.partner, o.outlet, o.terms, o.origin_period, o.reference, o.points,
           o.kind, o.terminal, o.receipt, o.refusal, o.items, o.outcome
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, id)
    JOIN operations o ON o.bucket = asked.bucket AND o.id = asked.id
    UNION ALL
    SELECT o.id, o.member, o.partner, o.outlet, o.terms, o.origin_period, o.reference, o.points,
           o.kind, o.terminal, o.receipt, o.refusal, o.items, o.outcome
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, id)
    JOIN archived_operations o ON o.bucket = asked.bucket AND o.id = asked.id
    """,
)
DUES: Final = Statement(
    "dues",
    """
    SELECT d.member, d.operation, d.issuer, d.obligor, d.tariff, d.original, d.points, d.points_left
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN dues d ON d.bucket = asked.bucket AND d.member = asked.member AND d.points_left > 0
    """,
    "q q i i i q q q",
)
"""By member, the fields of open dues; by the primary key."""

_SAVE_DUES: Final = Statement(
    "save_dues",
    """
    INSERT INTO dues (bucket, member, operation, issuer, obligor, tariff, original, points, points_left)
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::int[],
                         $7::bigint[], $8::bigint[], $9::bigint[])
    ON CONFLICT (bucket, member, operation) DO UPDATE SET points_left = excluded.points_left
    """,
)
_MARKS: Final = Statement(
    "returned",
    """
    SELECT r.operation, r.line, r.quantity_milli, r.points, r.money_micro
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, operation)
    JOIN returned r ON r.bucket = asked.bucket AND r.operation = asked.operation
    """,
    "q h q q q",
)
_CAPTURED: Final = Statement(
    "captured",
    """
    SELECT c.id, c.reference, c.outcome
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, hold)
    JOIN holds h ON h.bucket = asked.bucket AND h.id = asked.hold
    JOIN operations c ON c.bucket = asked.bucket AND c.member = h.member AND c.recorded_at <= h.expires_at
         AND c.reference = h.id AND c.kind = 'capture' AND c.refusal = ''
    UNION ALL
    SELECT c.id, c.reference, c.outcome
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, hold)
    JOIN holds h ON h.bucket = asked.bucket AND h.id = asked.hold
    JOIN archived_operations c ON c.bucket = asked.bucket AND c.member = h.member
         AND c.recorded_at <= h.expires_at AND c.reference = h.id AND c.kind = 'capture' AND c.refusal = ''
    """,
)
"""The outcomes of holds' captures; by ix_operations_history, up to when the hold would have lapsed."""

_FORFEITED: Final = Statement(
    "forfeited",
    """
    SELECT asked.member, asked.lot, sum(l.forfeited)::bigint
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS asked (bucket, member, lot)
    JOIN lots l ON l.bucket = asked.bucket AND l.member = asked.member AND l.forfeited > 0
         AND asked.lot IN (l.id, l.parent)
    GROUP BY asked.member, asked.lot
    """,
    "q q q",
)
_SAVE_MARKS: Final = Statement(
    "save_returned",
    """
    INSERT INTO returned (bucket, operation, line, quantity_milli, points, money_micro)
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[],
                         $6::bigint[])
    ON CONFLICT (bucket, operation, line)
    DO UPDATE SET quantity_milli = excluded.quantity_milli, points = excluded.points,
                  money_micro = excluded.money_micro
    """,
)

_NUMBERS: Final = 8
"""How many columns of `_ORIGINALS` are integers; then come four texts and two packed values."""

_decode_items: Final = msgspec.msgpack.Decoder(tuple[Item, ...]).decode

Backward = ReturnPurchase | Reverse
_BACKWARD: Final = frozenset({ReturnPurchase, Reverse})


class Found(msgspec.Struct, frozen=True):
    """The purchases of a batch by member, their holds with their members, their lots as (member, id)."""

    of_member: dict[int, Purchases]
    holds: dict[int, int]
    lots: tuple[tuple[int, int], ...]


def backward(commands: Iterable[Command]) -> list[Backward]:
    """The commands that are about something posted before."""
    return [command for command in commands if type(command) in _BACKWARD]  # type: ignore[misc]  # as it says


async def load(wire: Wire, commands: Sequence[Backward]) -> Found:
    """The operations that `commands` name, with all of their receipts and what came back of them."""
    named = {command.operation for command in commands if command.operation >> 56 == command.bucket}
    rows = await _originals(wire, named)
    rows += await _rest(wire, rows)
    of_member: dict[int, Purchases] = {}
    for member, original in rows:
        of_member.setdefault(member, Purchases({}, {})).originals[original.id] = original
    member_of = {original.id: member for member, original in rows}
    for mark in await _marks(wire, sorted(member_of)):
        of_member[member_of[mark.operation]].marks[mark.operation, mark.line] = mark
    for hold, taken in await _captured(wire, [each.id for _, each in rows if each.kind == "authorize"]):
        of_member[member_of[hold]].captured[hold] = taken
    earned = [(member, lot_id(original.id, 0)) for member, original in rows if original.kind == "earn"]
    for member, lot, points in await _forfeited(wire, earned):
        of_member[member].forfeited[lot] = points
    return Found(
        of_member,
        {original.hold: member for member, original in rows if original.hold},
        tuple(sorted({(member, lot) for member, original in rows for lot in _lots(original)})),
    )


def save(flight: Flight, dues: Collection[tuple[int, Due]], marks: Collection[Mark]) -> None:
    """Add to `flight` the dues, (member, due), and the marks that are new or were moved."""
    if dues:
        _save_dues(flight, dues)
    if marks:
        _save_marks(flight, marks)


async def _rest(wire: Wire, rows: Sequence[tuple[int, Original]]) -> list[tuple[int, Original]]:
    """The operations beside those named: of a capture its authorisation, and all of their receipts."""
    known = {original.id for _, original in rows}
    more = await _originals(wire, {original.hold for _, original in rows if original.hold} - known)
    claims = {
        claim_of(original.id >> 56, Keys.of_receipt(partner, outlet, kind, terminal, receipt))
        for _, original in (*rows, *more)
        for partner, outlet, terminal, receipt in (original.place,)
        if receipt
        for kind in PURCHASED
    }
    if not claims:
        return more
    flight = wire.flight()
    flight.run(KEYS, *of_keys(sorted(claims)))
    claimed = {row[2] for row in (await flight.land())[0]}
    return more + await _originals(wire, claimed - known - {original.id for _, original in more})


async def _originals(wire: Wire, ids: set[int]) -> list[tuple[int, Original]]:
    """Operations with their members; by the primary key."""
    if not ids:
        return []
    flight = wire.flight()
    flight.run(_ORIGINALS, *of_members(sorted(ids)))
    return [_original(row) for row in (await flight.land())[0]]


async def _marks(wire: Wire, operations: Sequence[int]) -> list[Mark]:
    if not operations:
        return []
    flight = wire.flight()
    flight.run(_MARKS, *of_members(operations))
    return [Mark(*row) for row in (await flight.land())[0]]


async def _captured(wire: Wire, holds: Sequence[int]) -> list[tuple[int, tuple[SliceTaken, ...]]]:
    """Of each hold that was captured what it gave, first things first."""
    if not holds:
        return []
    flight = wire.flight()
    flight.run(_CAPTURED, *of_members(sorted(holds)))
    taken: dict[int, tuple[SliceTaken, ...]] = {}
    for id_, named, outcome in sorted((await flight.land())[0]):
        hold = int.from_bytes(named)
        taken[hold] = (*taken.get(hold, ()), *read_outcome(int.from_bytes(id_), outcome).slices)
    return list(taken.items())


async def _forfeited(wire: Wire, earned: Sequence[tuple[int, int]]) -> list[tuple[Any, ...]]:
    """Of lots by member and id: (member, lot, points forfeited)."""
    if not earned:
        return []
    flight = wire.flight()
    flight.run(_FORFEITED, *of_lots(sorted(earned)))
    return (await flight.land())[0]


def _original(row: tuple[Any, ...]) -> tuple[int, Original]:
    id_, member, partner, outlet, terms, origin, hold, points = (
        int.from_bytes(value, signed=True) for value in row[:_NUMBERS]
    )
    kind, terminal, receipt, refusal = (text.decode() for text in row[_NUMBERS : _NUMBERS + 4])
    items, outcome = row[_NUMBERS + 4 :]
    return member, Original(
        id=id_,
        kind=kind,
        partner=partner,
        outlet=outlet,
        terms=terms,
        origin_period=origin,
        points=points,
        terminal=terminal,
        receipt=receipt,
        is_refused=bool(refusal),
        hold=hold,
        items=_decode_items(items) if items else (),
        slices=read_outcome(id_, outcome).slices,
    )


def _lots(original: Original) -> Iterable[int]:
    """The lots that points came from or went to; those of holds are loaded with their slices."""
    if original.kind == "earn":
        return (lot_id(original.id, 0),)
    return (taken.lot for taken in original.slices)


def _save_dues(flight: Flight, changed: Collection[tuple[int, Due]]) -> None:
    rows = sorted(changed, key=lambda each: each[1].operation)
    own = [due for _, due in rows]
    flight.run(
        _SAVE_DUES,
        *of_members([member for member, _ in rows]),
        bigints([due.operation for due in own]),
        ints([due.issuer for due in own]),
        ints([due.obligor for due in own]),
        ints([due.tariff for due in own]),
        bigints([due.original for due in own]),
        bigints([due.points for due in own]),
        bigints([due.points_left for due in own]),
    )


def _save_marks(flight: Flight, changed: Collection[Mark]) -> None:
    marks = sorted(changed, key=lambda mark: (mark.operation, mark.line))
    flight.run(
        _SAVE_MARKS,
        *of_members([mark.operation for mark in marks]),
        smallints([mark.line for mark in marks]),
        bigints([mark.quantity_milli for mark in marks]),
        bigints([mark.points for mark in marks]),
        bigints([mark.money_micro for mark in marks]),
    )
