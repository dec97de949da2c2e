"""How many points a basket takes, why no more, and which line they pay for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ledger.kernel.rounding import floor, largest_remainder
from ledger.kernel.values import minor_digits

from .amounts import money_text, percent_text
from .directory import Programme
from .rules import Basket
from .terms import WHOLE


class CapName(StrEnum):
    """What may keep a burn from being larger."""

    BALANCE = "balance"
    PERCENT = "percent"
    MONEY_FLOOR = "money_floor"
    EXCLUDED_LINES = "excluded_lines"
    AGREEMENT = "agreement"
    STEP = "step"


class Cap(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One limit in points, and the reason for it in plain words."""

    name: CapName
    points: int
    text: str


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A burn over the lines of a basket: points and the money they take off, line by line.

    `money_off_micro` is whole minor units and never more than its line costs.
    """

    points: tuple[int, ...]
    money_off_micro: tuple[int, ...]


def caps(basket: Basket, programme: Programme, *, balance: int | None) -> tuple[Cap, ...]:
    """Every limit on a burn; the lowest one binds. `balance` None leaves that one to the ledger."""
    terms, value_micro = basket.terms, programme.point_value_micro
    total = money_text(basket.total_micro)
    share_micro = floor(basket.total_micro * terms.burn_cap_ppm, WHOLE)
    above_floor_micro = max(0, basket.total_micro - terms.burn_money_floor_micro)
    payable_micro = sum(_payable_minor(basket, programme)) * _minor_micro(programme)
    found = []
    if balance is not None:
        has = max(0, balance)
        found.append(Cap(name=CapName.BALANCE, points=has, text=f"The member has {has} points."))
    percent = f"Points pay at most {percent_text(terms.burn_cap_ppm)} of {total}."
    found.append(Cap(name=CapName.PERCENT, points=floor(share_micro, value_micro), text=percent))
    left = f"At least {money_text(terms.burn_money_floor_micro)} of {total} is paid in money."
    found.append(Cap(name=CapName.MONEY_FLOOR, points=floor(above_floor_micro, value_micro), text=left))
    payable = f"Points can pay for {money_text(payable_micro)} of {total}."
    found.append(Cap(name=CapName.EXCLUDED_LINES, points=floor(payable_micro, value_micro), text=payable))
    if terms.burn_limit_points is not None:
        limit = f"The agreement allows {terms.burn_limit_points} points a receipt."
        found.append(Cap(name=CapName.AGREEMENT, points=terms.burn_limit_points, text=limit))
    step = terms.burn_step_points
    lowest = min(cap.points for cap in found)
    if lowest % step:
        steps = f"Points are taken in steps of {step}."
        found.append(Cap(name=CapName.STEP, points=lowest - lowest % step, text=steps))
    return tuple(found)


def binding(found: Sequence[Cap]) -> Cap:
    """The cap that decides: the lowest, the earlier of two equal ones."""
    return min(found, key=lambda cap: cap.points)


def spread(basket: Basket, programme: Programme, points: int) -> Spread:
    """Split a burn of `points`, within the caps, over the lines it may pay for.

    In proportion to price, by largest remainder, points and money each on their own.
    """
    payable = _payable_minor(basket, programme)
    minor_micro = _minor_micro(programme)
    off_minor = min(floor(points * programme.point_value_micro, minor_micro), sum(payable))
    return Spread(
        points=tuple(largest_remainder(points, payable)),
        money_off_micro=tuple([part * minor_micro for part in largest_remainder(off_minor, payable)]),
    )


def _payable_minor(basket: Basket, programme: Programme) -> list[int]:
    minor_micro = _minor_micro(programme)
    pairs = zip(basket.totals_micro, basket.excluded, strict=True)
    return [0 if out else floor(micro, minor_micro) for micro, out in pairs]


def _minor_micro(programme: Programme) -> int:
    return int(10 ** (6 - minor_digits(programme.currency)))
