"""Lots: points earned together, expiring together. Burns take the soonest to expire first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from .binary import INFINITY

Turn = tuple[int, int]
"""A lot's place in the order in which lots are spent: when it expires, in microseconds, and its id."""

NONE_LEFT: Final[Turn] = (INFINITY, 0)
"""The turn after all lots."""


class Lot(msgspec.Struct, gc=False):
    """One lot of a member. `pending` and `available` move as lines are applied; the rest stays.

    `available_at` is when pending points are released, None when they were available at once.
    `parent` is the lot in which points that travelled, or came back too late, were earned.
    A lot expires only once it is armed, at `expires_at` or the shortest notice after arming.
    `place` is where its row was read, empty for a lot that is not stored yet. `forfeits` are the points
    that have left it in this batch by expiry or correction.
    """

    id: int
    issuer: int
    obligor: int
    tariff: int
    earned_at: datetime
    expires_at: datetime
    earned: int
    pending: int = 0
    available: int = 0
    available_at: datetime | None = None
    armed_at: datetime | None = None
    parent: int | None = None
    place: bytes = b""
    forfeits: int = 0

    def due_at(self) -> datetime | None:
        """When this lot next changes by itself: its release, or its expiry; None if never."""
        if self.pending:
            return self.available_at
        if self.available and self.armed_at is not None:
            return self.expires_at
        return None


def in_order(lots: Iterable[Lot]) -> list[Lot]:
    """The lots that have points available, soonest to expire first; ties by lot id."""
    return sorted((lot for lot in lots if lot.available > 0), key=lambda lot: (lot.expires_at, lot.id))


def consume(lots: Sequence[Lot], points: int) -> list[tuple[Lot, int]]:
    """Take `points` from `lots`, in the order given: (lot, points taken from it).

    `points` must not exceed what is available in `lots`: the caller has checked the balance.
    """
    taken: list[tuple[Lot, int]] = []
    for lot in lots:
        if not points:
            break
        part = min(points, lot.available)
        if part:
            taken.append((lot, part))
            points -= part
    if points:
        raise ValueError("the lots hold fewer points than the balance says")
    return taken
