"""Of a long wallet's lots, those that its burns will take: the soonest to expire, and no more.

A member who collects for years has hundreds of lots and a burn takes a few. So of members who only earn and
burn the first few are read (`store.FIRST_LOTS`), and the others if these do not do. Of those that were
read and are not taken none becomes a value: `Rest` says what is to be known of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from .binary import INFINITY
from .commands import Authorize, Burn, Command, Earn
from .lots import NONE_LEFT, Turn

Row = tuple[Any, ...]
"""A row of `store.LOTS`."""

_PENDING, _AVAILABLE, _AVAILABLE_AT, _ARMED_AT, _EXPIRES_AT = 8, 9, 10, 11, 6
turn: Final[Callable[[Row], Turn]] = itemgetter(_EXPIRES_AT, 1)
"""A row's turn."""

LEAST, MOST = 1, 64
"""Lots of a member that are read at first."""


def burned(commands: Iterable[Command]) -> Mapping[int, int]:
    """Members to whom the commands do nothing but earn and burn, and the points that they burn."""
    points: dict[int, int] = {}
    others: set[int] = set()
    for command in commands:
        if isinstance(command, Earn):
            continue
        if isinstance(command, (Burn, Authorize)):
            points[command.member] = points.get(command.member, 0) + max(command.points, 0)
        else:
            others.add(command.member)
    return {member: needed for member, needed in points.items() if member not in others}


class Appetite:
    """How many lots a lane's burns have needed lately, and so how many of a member's are read at first.

    It grows at once to what one burn has needed, and falls by one with each batch that needed fewer.
    """

    __slots__ = ("lots",)

    def __init__(self) -> None:
        self.lots = LEAST

    def note(self, needed: int) -> None:
        """A batch's burns needed at most so many of one member's lots."""
        self.lots = min(max(LEAST, needed, self.lots - 1), MOST)


class Rest(NamedTuple):
    """Of lots left aside: when the first falls due, in microseconds, and whose turn with points is first."""

    due_at: int
    lots_from: Turn


def covering(lots: Sequence[Row], points: int) -> int | None:
    """How many of `lots`, the first of a member in order, `points` are taken from; None if all do not do."""
    for count, row in enumerate(lots, 1):
        points -= row[_AVAILABLE]
        if points <= 0:
            return count
    return None


def soonest(lots: Sequence[Row], points: int) -> tuple[list[Row], Rest]:
    """The lots that `points` are taken from, and the rest, of all lots of a member that have points.

    All that have points available where these do not suffice.
    """
    taken: list[Row] = []
    due_at, lots_from = INFINITY, NONE_LEFT
    for row in in_order(lots):
        if points > 0 and row[_AVAILABLE]:
            taken.append(row)
            points -= row[_AVAILABLE]
        else:
            due_at = min(due_at, _due_at(row))
            if row[_AVAILABLE] or row[_PENDING]:
                lots_from = min(lots_from, turn(row))
    return taken, Rest(due_at, lots_from)


def in_order(lots: Iterable[Row]) -> list[Row]:
    """Rows as `lots.in_order` has its values: by expiry, then by id."""
    return sorted(lots, key=turn)


def _due_at(row: Row) -> int:
    """As `Lot.due_at`, of a row."""
    due_at: int = INFINITY
    if row[_PENDING]:
        due_at = row[_AVAILABLE_AT]
    elif row[_AVAILABLE] and row[_ARMED_AT] != INFINITY:
        due_at = row[_EXPIRES_AT]
    return due_at
