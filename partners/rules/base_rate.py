"""Earn rule: so many points per unit of money, rounded down once for the whole receipt."""

from __future__ import annotations

from typing import Final

from ledger.kernel.rounding import floor, largest_remainder
from partners.amounts import money_text, percent_text

from .basket import Basket, Effect, Ruling

NAME: Final = "base_rate"

_SCALE: Final = 10**12
"""Micro-units of money times millionths of a point."""


def base_rate(basket: Basket, eligible_micro: tuple[int, ...]) -> Effect:
    """floor(base × rate) points, spread over the lines by largest remainder."""
    rate_ppm = basket.terms.earn_rate_ppm
    base_micro = sum(eligible_micro)
    points = floor(base_micro * rate_ppm, _SCALE)
    rate, base = percent_text(rate_ppm), money_text(base_micro)
    if not points:
        text = f"{rate} of {base} is less than one point." if base_micro else "There is nothing to earn on."
        ruling = Ruling(rule=NAME, applied=False, points=0, text=text)
        return Effect(eligible_micro, (0,) * len(eligible_micro), ruling)
    spread = tuple(largest_remainder(points, eligible_micro))
    text = f"{rate} of {base} gives {points} points, rounded down."
    return Effect(eligible_micro, spread, Ruling(rule=NAME, applied=True, points=points, text=text))
