"""Of a long wallet's lots, those that its burns will take: the soonest to expire, and no more.

A member who collects for a year has dozens of lots and a burn takes one or two, so the others stay
rows. What they fall due at goes along as `rest_due_at`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from .binary import INFINITY
from .commands import Authorize, Burn, Command, Earn

Row = tuple[Any, ...]
"""A row of `store.LOTS`."""

_PENDING, _AVAILABLE, _AVAILABLE_AT, _ARMED_AT, _EXPIRES_AT = 8, 9, 10, 11, 6
_in_order: Final = itemgetter(_EXPIRES_AT, 1)
"""As `lots.in_order` has them: by expiry, then by id."""


def burned(commands: Iterable[Command]) -> Mapping[int, int]:
    """Members to whom the commands do nothing but earn and burn, and the points that they burn."""
    points: dict[int, int] = {}
    others: set[int] = set()
    for command in commands:
        if isinstance(command, Burn | Authorize):
            points[command.member] = points.get(command.member, 0) + command.points
        elif not isinstance(command, Earn):
            others.add(command.member)
    return {member: needed for member, needed in points.items() if member not in others}


def soonest(lots: Sequence[Row], points: int) -> tuple[list[Row], int]:
    """The lots that `points` are taken from, and when the first of the others falls due.

    All that have points available where these do not suffice; the instant in microseconds.
    """
    taken: list[Row] = []
    rest_due_at = INFINITY
    for row in sorted(lots, key=_in_order):
        if points > 0 and row[_AVAILABLE]:
            taken.append(row)
            points -= row[_AVAILABLE]
        else:
            rest_due_at = min(rest_due_at, _due_at(row))
    return taken, rest_due_at


def _due_at(row: Row) -> int:
    """As `Lot.due_at`, of a row."""
    due_at: int = INFINITY
    if row[_PENDING]:
        due_at = row[_AVAILABLE_AT]
    elif row[_AVAILABLE] and row[_ARMED_AT] != INFINITY:
        due_at = row[_EXPIRES_AT]
    return due_at
