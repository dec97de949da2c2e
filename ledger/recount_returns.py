"""Recounting returns: what is kept of them against the returns as they were answered, and their lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.accounts import AVAILABLE, CANCELLED, REDEEMED
from ledger.commands import Item
from ledger.evidence.recount import Flaw
from ledger.outcomes import read_outcome
from ledger.returned import WHOLE

_RETURNS: Final = text(f"""
    SELECT o.bucket, o.id, o.kind, o.outcome,
           coalesce(sum(l.amount) FILTER (WHERE l.credit = {CANCELLED}), 0) AS taken,
           coalesce(sum(l.amount) FILTER (WHERE l.debit = {REDEEMED} AND l.credit = {AVAILABLE}), 0)
               AS restored
    FROM operations o
    LEFT JOIN lines l ON l.bucket = o.bucket AND l.operation = o.id AND l.recorded_at = o.recorded_at
    WHERE o.kind IN ('return', 'reverse') AND o.refusal = ''
    GROUP BY o.bucket, o.id, o.kind, o.outcome
""")  # noqa: S608 - constants of the chart of accounts
_MARKS: Final = text("SELECT bucket, operation, line, quantity_milli, points, money_micro FROM returned")
_ORIGINALS: Final = text("""
    SELECT o.bucket, o.id, o.kind, o.member, o.partner, o.outlet, o.terminal, o.receipt, o.points, o.items
    FROM operations o
    WHERE (o.bucket, o.id) IN (SELECT bucket, operation FROM returned) OR o.id = ANY(:purchases)
""")

_decode_items: Final = msgspec.msgpack.Decoder(tuple[Item, ...]).decode

_Sums = tuple[int, int, int, int]
"""Quantity, points taken, points restored, money."""


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Returns whose lines are not what was answered, and marks that the answers do not make."""
    answered: dict[tuple[int, int], _Sums] = defaultdict(lambda: (0, 0, 0, 0))
    undone: dict[int, int] = {}
    for row in await connection.execute(_RETURNS):
        back = read_outcome(row.id, row.outcome).returned
        if back is None:
            yield Flaw(row.bucket, f"{row.kind} {row.id} does not say what it did")
            continue
        taken = back.cancelled + back.taken + back.due
        if (taken, back.restored) != (int(row.taken), int(row.restored)):
            yield Flaw(row.bucket, f"{row.kind} {row.id}: its lines are not what it answered")
        if row.kind == "reverse":
            undone[back.purchase] = taken + back.restored
        for line in back.lines:
            moved = (line.quantity_milli, line.points_taken, line.points_restored, line.money_micro)
            answered[back.purchase, line.line] = _add(answered[back.purchase, line.line], moved)
    purchases = [purchase for purchase, _ in answered]
    rows = (await connection.execute(_ORIGINALS, {"purchases": purchases})).all()
    originals = {row.id: row for row in rows}
    marks = list(await connection.execute(_MARKS))
    for mark in marks:
        if mark.line == WHOLE and undone.pop(mark.operation, None) != mark.points:
            yield Flaw(
                mark.bucket, f"operation {mark.operation} is marked as reversed, and no reversal says so"
            )
        if mark.line != WHOLE and not _is_within(mark, originals.get(mark.operation)):
            yield Flaw(
                mark.bucket, f"operation {mark.operation}: more of line {mark.line} is back than was there"
            )
    for operation in undone:
        yield Flaw(operation >> 56, f"operation {operation} was reversed, and is not marked so")
    said = _by_receipt(((originals.get(purchase), line), sums) for (purchase, line), sums in answered.items())
    for place, sums in _marked(marks, originals).items():
        if said.pop(place, None) != sums:
            yield Flaw(
                place[0], f"line {place[-1]} of receipt {place[1:-1]}: {sums} marked, not what came back"
            )
    for place in said:
        yield Flaw(place[0], f"line {place[-1]} of receipt {place[1:-1]} came back, and is not marked so")


def _is_within(mark: Any, original: Any) -> bool:
    """Whether no more points of a line came back than it had."""
    if original is None:
        return False
    if not original.items:
        return bool(mark.points <= original.points)
    items = {item.line: item for item in _decode_items(original.items)}
    item = items.get(mark.line)
    if item is None:
        return False
    return bool(mark.points <= (item.points_earned if original.kind == "earn" else item.points_burned))


def _marked(marks: Iterable[Any], originals: dict[int, Any]) -> dict[tuple[Any, ...], _Sums]:
    """The marks put together by receipt and line: quantity and money stand in each, points add up."""
    total: dict[tuple[Any, ...], _Sums] = defaultdict(lambda: (0, 0, 0, 0))
    for mark in marks:
        original = originals.get(mark.operation)
        if mark.line == WHOLE or original is None:
            continue
        quantity, taken, restored, money = total[_place(original, mark.line)]
        earned = original.kind == "earn"
        total[_place(original, mark.line)] = (
            max(quantity, mark.quantity_milli),
            taken + mark.points * earned,
            restored + mark.points * (not earned),
            max(money, mark.money_micro),
        )
    return dict(total)


def _by_receipt(answered: Iterable[tuple[tuple[Any, int], _Sums]]) -> dict[tuple[Any, ...], _Sums]:
    total: dict[tuple[Any, ...], _Sums] = defaultdict(lambda: (0, 0, 0, 0))
    for (original, line), sums in answered:
        place = (-1, line) if original is None else _place(original, line)
        total[place] = _add(total[place], sums)
    return dict(total)


def _place(original: Any, line: int) -> tuple[Any, ...]:
    """A line of a receipt, or of the operation alone if it had none."""
    own = (
        (original.partner, original.outlet, original.terminal, original.receipt)
        if original.receipt
        else (original.id,)
    )
    return (original.bucket, original.member, *own, line)


def _add(one: _Sums, other: _Sums) -> _Sums:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])
