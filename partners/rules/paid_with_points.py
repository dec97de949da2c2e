"""Earn rule: the share of a purchase that was paid with points earns none."""

from __future__ import annotations

from typing import Final

from ledger.kernel.rounding import largest_remainder
from partners.amounts import money_text

from .basket import Basket, Effect, Ruling

NAME: Final = "paid_with_points"


def paid_with_points(basket: Basket, eligible_micro: tuple[int, ...]) -> Effect:
    """Take the money that points stood for off the lines they could pay for, in proportion to price.

    Points pay for lines that take part in the programme first; what they paid beyond those
    (a till may be more generous) touches nothing that earns.
    """
    nothing = (0,) * len(eligible_micro)
    if not basket.points_micro:
        text = "Nothing was paid with points."
        return Effect(eligible_micro, nothing, Ruling(rule=NAME, applied=False, points=0, text=text))
    payable = [0 if out else micro for micro, out in zip(basket.totals_micro, basket.excluded, strict=True)]
    shares = largest_remainder(min(basket.points_micro, sum(payable)), payable)
    left = tuple([max(0, micro - share) for micro, share in zip(eligible_micro, shares, strict=True)])
    text = f"{money_text(basket.points_micro)} was paid with points and earns none."
    return Effect(left, nothing, Ruling(rule=NAME, applied=True, points=0, text=text))
