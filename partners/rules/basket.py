"""What a rule looks at, and what it says: a basket in integers, and an effect with its explanation."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from partners.given import TenderKind
from partners.receipts import DELIVERY, GIFT_CARD, Line, Receipt
from partners.terms import Terms


class Ruling(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What one rule decided, for a person to read. `points` is what it gave."""

    rule: str
    applied: bool
    points: int
    text: str


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt's lines under some terms.

    `totals_micro` are the prices of the lines; `excluded` tells, line by line, whether it
    takes no part in the programme; `points_micro` is the money that points took off.
    """

    lines: tuple[Line, ...]
    totals_micro: tuple[int, ...]
    total_micro: int
    excluded: tuple[bool, ...]
    points_micro: int
    terms: Terms


class Effect(msgspec.Struct, frozen=True):
    """What is left to earn on, line by line, the points given per line, and why."""

    eligible_micro: tuple[int, ...]
    points: tuple[int, ...]
    ruling: Ruling


EarnRule = Callable[[Basket, tuple[int, ...]], Effect]
"""A rule gets what earlier rules left to earn on, in micro-units per line. It is pure."""


def basket_of(receipt: Receipt, terms: Terms, excluded: frozenset[str]) -> Basket:
    """The basket of a receipt; `excluded` are the case-folded categories that take no part."""
    lines = receipt.lines
    totals = tuple([line.total_micro for line in lines])
    return Basket(
        lines=lines,
        totals_micro=totals,
        total_micro=sum(totals),
        excluded=tuple([_is_excluded(line.category, terms, excluded) for line in lines]),
        points_micro=sum([t.amount_micro for t in receipt.tenders if t.kind is TenderKind.POINTS]),
        terms=terms,
    )


def _is_excluded(category: str, terms: Terms, excluded: frozenset[str]) -> bool:
    if category == GIFT_CARD:
        return not terms.includes_gift_cards
    if category == DELIVERY:
        return not terms.includes_delivery
    return bool(excluded) and category.casefold() in excluded
