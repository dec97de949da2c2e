"""Holds: points set aside for one partner, lot by lot, until captured, voided or lapsed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec


class Slice(msgspec.Struct, gc=False):
    """Part of a lot pinned by a hold. What is left of it is points − captured − released."""

    ordinal: int
    lot: int
    issuer: int
    obligor: int
    tariff: int
    earned_at: datetime
    expires_at: datetime
    points: int
    captured: int = 0
    released: int = 0

    @property
    def left(self) -> int:
        """Points still held."""
        return self.points - self.captured - self.released


class Hold(msgspec.Struct, gc=False):
    """An authorisation by `partner`. Held points belong to the member until they are captured."""

    id: int
    member: int
    partner: int
    outlet: int
    terms: int
    expires_at: datetime
    is_open: bool
    has_lapsed: bool
    slices: list[Slice]

    @property
    def left(self) -> int:
        """Points still held, over all slices."""
        return sum(part.left for part in self.slices)

    def remains(self, without: Iterable[tuple[Slice, int]] = ()) -> list[tuple[Slice, int]]:
        """What is left of each slice, (slice, points), `without` what is captured just now."""
        taken = {part.ordinal: share for part, share in without}
        remains = ((part, part.left - taken.get(part.ordinal, 0)) for part in self.slices)
        return [(part, left) for part, left in remains if left]


def take(slices: Sequence[Slice], points: int) -> list[tuple[Slice, int]]:
    """Take `points` from what is left of `slices`, in pinned order: (slice, points taken)."""
    taken: list[tuple[Slice, int]] = []
    for part in slices:
        share = min(points, part.left)
        if share:
            taken.append((part, share))
            points -= share
    if points:
        raise ValueError("the slices hold fewer points than asked")
    return taken
