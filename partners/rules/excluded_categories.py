"""Earn rule: lines of excluded categories, gift cards and delivery earn nothing."""

from __future__ import annotations

from typing import Final

from partners.amounts import money_text

from .basket import Basket, Effect, Ruling

NAME: Final = "excluded_categories"


def excluded_categories(basket: Basket, eligible_micro: tuple[int, ...]) -> Effect:
    """Leave nothing to earn on where a line takes no part in the programme."""
    nothing = (0,) * len(eligible_micro)
    if True not in basket.excluded:
        text = "Every line may earn points."
        return Effect(eligible_micro, nothing, Ruling(rule=NAME, applied=False, points=0, text=text))
    left = tuple([0 if out else micro for micro, out in zip(eligible_micro, basket.excluded, strict=True)])
    kinds = dict.fromkeys(
        line.category for line, out in zip(basket.lines, basket.excluded, strict=True) if out
    )
    lost = money_text(sum(eligible_micro) - sum(left))
    text = f"{lost} earns no points: {', '.join(kinds)}."
    return Effect(left, nothing, Ruling(rule=NAME, applied=True, points=0, text=text))
