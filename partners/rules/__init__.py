"""Earn rules: one file each, run in the order of their ruleset. A ruleset is a version and never changes."""

from __future__ import annotations

from typing import Final

import msgspec

from .base_rate import base_rate
from .basket import Basket, EarnRule, Ruling, basket_of
from .excluded_categories import excluded_categories
from .paid_with_points import paid_with_points

__all__ = ["CURRENT", "RULESETS", "Basket", "Earned", "Ruling", "basket_of", "earned"]

RULESETS: Final[dict[int, tuple[EarnRule, ...]]] = {
    1: (excluded_categories, paid_with_points, base_rate),
}
"""Every version that a quote or a stored purchase may name."""

CURRENT: Final = max(RULESETS)


class Earned(msgspec.Struct, frozen=True, kw_only=True):
    """Points of a basket: in all, line by line, and what each rule had to say."""

    points: int
    per_line: tuple[int, ...]
    rulings: tuple[Ruling, ...]


def earned(basket: Basket, *, ruleset: int = CURRENT) -> Earned:
    """Run a ruleset over a basket. Pure: the same basket and version always earn the same."""
    if not basket.lines:
        return Earned(points=0, per_line=(), rulings=())
    eligible = basket.totals_micro
    per_line = [0] * len(eligible)
    rulings = []
    for rule in RULESETS[ruleset]:
        effect = rule(basket, eligible)
        eligible = effect.eligible_micro
        rulings.append(effect.ruling)
        if effect.ruling.points:
            per_line = [sum(pair) for pair in zip(per_line, effect.points, strict=True)]
    return Earned(points=sum(per_line), per_line=tuple(per_line), rulings=tuple(rulings))
