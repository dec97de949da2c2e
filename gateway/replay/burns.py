"""Who pays with points, where and how much: decided from the purses alone, so always the same way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from members import make_token

from . import coalition
from .journey import Receipts
from .purses import Purses

TOKENS_A_DAY: Final = 3
"""The clock stands still for a day, and a token is taken half a minute early and late: three fit."""

_STEP: Final = timedelta(seconds=30)
_KOPECKS: Final = 100
_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """Points that a household pays with on one receipt (its position in the journey)."""

    receipt: int
    household: int
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a member's phone holds."""

    number: str = field(repr=False)
    key: bytes = field(repr=False)

    def token(self, at: datetime, turn: int) -> str:
        """The code that the phone shows for burn number `turn` (from 0) while the clock stands at `at`."""
        return make_token(self.key, self.number, at + (turn - 1) * _STEP)


class Wishes:
    """A day's chances to burn: the baskets, in order, of everyone who begins it with enough."""

    def __init__(self, receipts: Receipts, purses: Purses, *, first: int, last: int) -> None:
        """The chances among receipts `first` (included) to `last` (excluded)."""
        self._receipts, self._purses = receipts, purses
        self._baskets: dict[int, deque[list[int]]] = {}
        is_rich = purses.available[receipts.household[first:last]] > coalition.BURN_ABOVE_POINTS
        for receipt in (first + np.flatnonzero(is_rich)).tolist():
            self._add(int(receipts.household[receipt]), receipt)

    def turn(self) -> list[Burn]:
        """The next burn of each household that still has enough, at its next basket that takes points."""
        burns = [self._next_burn(household) for household in self._baskets]
        return [burn for burn in burns if burn is not None]

    def _add(self, household: int, receipt: int) -> None:
        baskets = self._baskets.setdefault(household, deque())
        if baskets and self._receipts.basket[baskets[-1][0]] == self._receipts.basket[receipt]:
            baskets[-1].append(receipt)
        else:
            baskets.append([receipt])

    def _next_burn(self, household: int) -> Burn | None:
        baskets, available = self._baskets[household], int(self._purses.available[household])
        while baskets and available > coalition.BURN_ABOVE_POINTS:
            burn = choose(self._receipts, baskets.popleft(), self._purses, household)
            if burn is not None:
                return burn
        return None


def choose(receipts: Receipts, basket: Iterable[int], purses: Purses, household: int) -> Burn | None:
    """The receipt of a basket to pay on with points, and how many: not where they came from, if it can be."""
    available, home = int(purses.available[household]), purses.main_issuer(household)
    found = [
        (partner != home, points, -receipt)
        for receipt in basket
        for partner in (int(receipts.partner[receipt]),)
        if (points := min(available, most_points(receipts, receipt))) > 0
    ]
    if not found:
        return None
    _, points, negated = max(found)
    return Burn(receipt=-negated, household=household, points=points)


def most_points(receipts: Receipts, receipt: int) -> int:
    """How many points a receipt takes by its partner's terms, whoever pays; 0 or less when none."""
    total, payable = int(receipts.total[receipt]), int(receipts.payable[receipt])
    cap_ppm, floor_kopecks = _CAPS[int(receipts.partner[receipt])]
    return min(total * cap_ppm // _PPM, total - floor_kopecks, payable) // _KOPECKS


def _caps(partners: Sequence[coalition.Partner]) -> list[tuple[int, int]]:
    return [
        (
            int(Decimal(partner.terms.burn_cap) * _PPM),
            int(Decimal(partner.terms.burn_money_floor) * _KOPECKS),
        )
        for partner in partners
    ]


_CAPS: Final = _caps(coalition.PARTNERS)
