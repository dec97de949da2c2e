"""Refunds: how much of a line comes back as points and how much as money, whatever parts it comes back in.

Everything is a function of the quantity returned so far, rounded down, and a return gets the
difference to what was given before. So any sequence of partial returns adds up to one full one.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .kernel.rounding import floor

MONEY_FIRST: Final = "money_first"
POINTS_FIRST: Final = "points_first"
PROPORTIONAL: Final = "proportional"


class Paid(msgspec.Struct, frozen=True, gc=False):
    """What a line cost: `price_micro` for `quantity_milli` (> 0), of it `off_micro` in points."""

    quantity_milli: int
    price_micro: int
    off_micro: int

    @property
    def money_micro(self) -> int:
        """What was paid in money."""
        return max(self.price_micro - self.off_micro, 0)


def taken_back(earned: int, returned_milli: int, quantity_milli: int) -> int:
    """Of the points that a line earned, those to be taken back once so much of it has come back."""
    return floor(earned * returned_milli, quantity_milli)


def money_back(paid: Paid, returned_milli: int, order: str, minor_micro: int) -> int:
    """Money given back once so much has come back, in whole units of `minor_micro`."""
    value = floor((paid.money_micro + paid.off_micro) * returned_milli, paid.quantity_milli)
    if order == MONEY_FIRST:
        money = min(value, paid.money_micro)
    elif order == POINTS_FIRST:
        money = value - min(value, paid.off_micro)
    else:
        money = floor(paid.money_micro * returned_milli, paid.quantity_milli)
    return floor(money, minor_micro) * minor_micro


def points_back(paid: Paid, burned: int, returned_milli: int, order: str) -> int:
    """Of `burned` points that paid for part of the line, those restored once so much has come back.

    Points that took nothing off the price come back in proportion to the quantity.
    """
    if not paid.off_micro or order not in (MONEY_FIRST, POINTS_FIRST):
        return floor(burned * returned_milli, paid.quantity_milli)
    value = floor((paid.money_micro + paid.off_micro) * returned_milli, paid.quantity_milli)
    off = value - min(value, paid.money_micro) if order == MONEY_FIRST else min(value, paid.off_micro)
    return floor(burned * off, paid.off_micro)
