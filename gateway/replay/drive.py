"""The year, day by day: the clock moves, months close, burns are posted, then earns.

The clock stands at a day's last second until everything of that day is posted. So whatever was
killed and is run again is recorded at the same instant, in the same period, after the same
releases; and what was posted before is answered as it was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

import numpy as np

from . import coalition
from .burns import TOKENS_A_DAY, Burn, Card, Wishes
from .door import Session
from .finance import Finance
from .items import Till, by_partner
from .journey import Journey
from .operator import Operator
from .post import Outcome, post
from .purses import Purses


@dataclass(slots=True)
class Tally:
    """What a replay has done so far. Points are by position in `coalition.PARTNERS`."""

    baskets: int = 0
    receipts: int = 0
    burns: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    issued: list[int] = field(default_factory=lambda: [0] * len(coalition.PARTNERS))
    redeemed: list[int] = field(default_factory=lambda: [0] * len(coalition.PARTNERS))


class Drive:
    """One replay. `tills` are the partners' sessions and `cards` the households' phones, by position."""

    def __init__(
        self,
        journey: Journey,
        *,
        operator: Operator,
        finance: Finance,
        tills: Sequence[Session],
        cards: Sequence[Card],
    ) -> None:
        self._journey, self._operator, self._finance = journey, operator, finance
        self._tills, self._cards = tills, cards
        self._writer = Till(journey.receipts, [f'{{"card":"{card.number}"}}' for card in cards])
        self._purses = Purses(households=len(journey.households), partners=len(coalition.PARTNERS))
        self.tally = Tally()

    async def run(self, on_day: Callable[[int], None]) -> None:
        """Replay every day; `on_day` is told how many baskets each one had."""
        bounds = np.searchsorted(self._journey.receipts.day, np.arange(self._journey.days + 1)).tolist()
        for day, baskets in enumerate(self._journey.baskets_by_day.tolist()):
            await self._run_day(day, bounds[day], bounds[day + 1])
            self.tally.baskets += baskets
            on_day(baskets)

    async def _run_day(self, day: int, first: int, last: int) -> None:
        at = end_of_day(self._journey, day)
        await self._operator.advance_clock(at)
        if self._journey.day(day).day == 1:
            await self._finance.close_periods(at)
        self._purses.release(at)
        paid = await self._burn(at, first, last)
        await self._earn(at, first, last, paid)

    async def _burn(self, at: datetime, first: int, last: int) -> dict[int, int]:
        """Post the day's burns, a member's second one after the first; points by receipt."""
        wishes = Wishes(self._journey.receipts, self._purses, first=first, last=last)
        paid: dict[int, int] = {}
        for turn in range(TOKENS_A_DAY):
            burns = wishes.turn()
            if not burns:
                break
            for burn, outcome in await self._post_burns(burns, at, turn):
                if points := self._moved(outcome):
                    self._purses.burn(burn.household, points)
                    self.tally.burns += 1
                    self.tally.redeemed[self._partner(burn.receipt)] += points
                    paid[burn.receipt] = points
        return paid

    async def _post_burns(self, burns: Sequence[Burn], at: datetime, turn: int) -> list[tuple[Burn, Outcome]]:
        async def at_partner(partner: int) -> list[tuple[Burn, Outcome]]:
            here = [burn for burn in burns if self._partner(burn.receipt) == partner]
            items = [self._writer.burn(burn, self._cards[burn.household].token(at, turn)) for burn in here]
            return list(zip(here, await post(self._tills[partner], items), strict=True))

        answered = await asyncio.gather(*(at_partner(partner) for partner in range(len(self._tills))))
        return [each for partner in answered for each in partner]

    async def _earn(self, at: datetime, first: int, last: int, paid: Mapping[int, int]) -> None:
        """Post the day's receipts, all partners at once, each one's in order."""
        households = self._journey.receipts.household

        async def at_partner(partner: int, receipts: np.ndarray) -> None:
            outcomes = await post(self._tills[partner], self._writer.earns(receipts, paid))
            for household, outcome in zip(households[receipts].tolist(), outcomes, strict=True):
                if points := self._moved(outcome):
                    assert outcome.operation is not None, "points moved"
                    due_at = outcome.operation.available_at or at
                    self._purses.earn(household, partner, points, available_at=due_at)
                    self.tally.issued[partner] += points

        split = by_partner(self._journey.receipts, first, last)
        await asyncio.gather(*(at_partner(partner, receipts) for partner, receipts in enumerate(split)))
        self.tally.receipts += last - first

    def _moved(self, outcome: Outcome) -> int:
        """Points of an outcome; a refusal is counted."""
        if outcome.operation is None:
            self.tally.refused[outcome.user_errors[0].code] += 1
            return 0
        return outcome.operation.points

    def _partner(self, receipt: int) -> int:
        return int(self._journey.receipts.partner[receipt])


def end_of_day(journey: Journey, day: int) -> datetime:
    """The last second of a local day: its receipts are past, its month is still open."""
    after = journey.day(day) + timedelta(days=1)
    return datetime.combine(after, time.min, coalition.ZONE).astimezone(UTC) - timedelta(seconds=1)
