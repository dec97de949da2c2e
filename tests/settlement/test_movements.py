"""What each operation moves in money, account by account: the table of the accounting model, line by line.

A point costs 95 micro-units and is worth 90; ten points move, given by 3, answered for by 1 or by
the operator, redeemed at 2 or owed to it.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from ledger.accounts import MEMO_CLAIM, MEMO_OUTSTANDING
from settlement.cells import Cell, Holding
from settlement.money import (
    BREAKAGE,
    BROUGHT,
    CAMPAIGN,
    FEE,
    MARGIN,
    TRANSIT,
    VAT,
    Account,
    Movement,
    balances,
    movements,
    reserve,
    reserves,
    settle,
)
from settlement.prices import Terms

from .test_money import AT_BURN, AT_ISSUE, PRICES

CLAIM, OUTSTANDING = Account(MEMO_CLAIM, 1), Account(MEMO_OUTSTANDING, 1)
PARTNER, OPERATOR = 1, 0
BY_ITSELF = (PARTNER, AT_ISSUE), (PARTNER, AT_BURN), (OPERATOR, AT_ISSUE), (OPERATOR, AT_BURN)

Moved = tuple[str, Account, Account, int]


def a_cell(operation: str, *, obligor: int = PARTNER, tariff: int = AT_ISSUE, **given: Any) -> Cell:
    cell: dict[str, Any] = {"issuer": 3, "redeemer": 2, "terms": 10, "origin_period": 4, "points": 10}
    return Cell(operation=operation, obligor=obligor, tariff=tariff, **{**cell, **given})


def memo(micro: int) -> Moved:
    return "memo", CLAIM, OUTSTANDING, micro


def issued(micro: int, margin: int) -> list[Moved]:
    return [("issue", settle(1), reserve(1), micro), ("margin", settle(1), MARGIN, margin)]


@pytest.mark.parametrize(
    ("operation", "at_issue", "at_redemption", "of_the_operator"),
    [
        ("release", issued(900, 50), [memo(900)], [("campaign", CAMPAIGN, reserve(0), 900)]),
        ("claw_back", issued(-900, -50), [memo(-900)], [("campaign", CAMPAIGN, reserve(0), -900)]),
        (
            "opening",
            [("opening", BROUGHT, reserve(1), 900)],
            [memo(900)],
            [("opening", BROUGHT, reserve(0), 900)],
        ),
        (
            "burn",
            [("redemption", reserve(1), settle(2), 900)],
            [("redemption", settle(1), settle(2), 900), memo(-900)],
            [("redemption", reserve(0), settle(2), 900)],
        ),
        (
            "burn_return",
            [("redemption", reserve(1), settle(2), -900)],
            [("redemption", settle(1), settle(2), -900), memo(900)],
            [("redemption", reserve(0), settle(2), -900)],
        ),
        (
            "recover",
            [("recovery", reserve(1), settle(2), 900)],
            [("recovery", settle(1), settle(2), 900), memo(-900)],
            [("recovery", reserve(0), settle(2), 900)],
        ),
        (
            "adjust",
            [("adjustment", settle(1), reserve(1), 900)],
            [memo(900)],
            [("adjustment", CAMPAIGN, reserve(0), 900)],
        ),
        (
            "adjust_down",
            [("adjustment", settle(1), reserve(1), -900)],
            [memo(-900)],
            [("adjustment", CAMPAIGN, reserve(0), -900)],
        ),
        (
            "novate_out",
            [("novation", reserve(1), TRANSIT, 900)],
            [("novation", settle(1), TRANSIT, 900), memo(-900)],
            [("novation", reserve(0), TRANSIT, 900)],
        ),
        (
            "novate_in",
            [("novation", TRANSIT, reserve(1), 900)],
            [("novation", TRANSIT, settle(1), 900), memo(900)],
            [("novation", TRANSIT, reserve(0), 900)],
        ),
        ("expire", [], [memo(-900)], []),
        *((kind, [], [], []) for kind in ("earn_pending", "cancel_pending", "transfer_in", "transfer_out")),
    ],
)
def test_what_a_cell_moves_is_what_its_funding_says_and_carries_all_that_the_cell_is(
    operation: str, at_issue: list[Moved], at_redemption: list[Moved], of_the_operator: list[Moved]
) -> None:
    """The operator's own points are reserved whatever funding their tariff names."""
    expected = dict(zip(BY_ITSELF, (at_issue, at_redemption, of_the_operator, of_the_operator), strict=True))
    for (obligor, tariff), moved in expected.items():
        cell = a_cell(operation, obligor=obligor, tariff=tariff)
        found = [each for each in movements(5, [cell], PRICES) if each.operation]

        assert [(each.purpose, each.debit, each.credit, each.micro) for each in found] == moved
        for each in found:
            assert (each.issuer, each.obligor, each.redeemer) == (3, obligor, 2)
            assert (each.operation, each.tariff, each.terms, each.origin_period) == (operation, tariff, 10, 4)
            assert each.points == (10 if each.micro > 0 else -10)
            assert each.price_micro == (5 if each.purpose == "margin" else 90)


@pytest.mark.parametrize("operation", ["burn", "recover"])
def test_what_the_operator_is_owed_goes_to_its_campaigns(operation: str) -> None:
    credited = {
        (each.purpose, each.credit)
        for tariff in (AT_ISSUE, AT_BURN)
        for each in movements(5, [a_cell(operation, redeemer=OPERATOR, tariff=tariff)], PRICES)
        if each.purpose in ("redemption", "recovery")
    }

    assert credited == {("redemption" if operation == "burn" else "recovery", CAMPAIGN)}


def a_sum(purpose: str, debit: Account, credit: Account, micro: int, points: int, **given: Any) -> Movement:
    """Money of several cells, rounded once in the period in which it is charged."""
    return Movement(
        purpose=purpose, debit=debit, credit=credit, micro=micro, points=points, origin_period=5, **given
    )


def summed(*cells: Cell, prices: Any = PRICES) -> list[Movement]:
    return [each for each in movements(5, cells, prices) if not each.operation]


def test_the_reserve_of_expired_points_is_shared_once_per_issuer_obligor_and_tariff() -> None:
    """Ten points and one of 3, whatever period they are of: 990, of which a quarter is 247.5, so 248."""
    cells = [
        a_cell("expire"),
        a_cell("expire", points=1, origin_period=3),
        a_cell("expire", issuer=2),
        a_cell("expire", obligor=OPERATOR),
        a_cell("expire", tariff=AT_BURN),
    ]

    assert summed(*cells) == [
        a_sum("breakage", reserve(1), BREAKAGE, 675, 10, issuer=2, obligor=1, tariff=1),
        a_sum("breakage_share", reserve(1), settle(1), 225, 10, issuer=2, obligor=1, tariff=1),
        a_sum("breakage", reserve(0), BREAKAGE, 900, 10, issuer=3, obligor=0, tariff=1),
        a_sum("breakage", reserve(1), BREAKAGE, 742, 11, issuer=3, obligor=1, tariff=1),
        a_sum("breakage_share", reserve(1), settle(1), 248, 11, issuer=3, obligor=1, tariff=1),
    ]


def test_a_fee_is_charged_per_obligor_redeemer_tariff_and_terms_and_vat_per_partner_and_rate() -> None:
    """12 points redeemed at 2 less one that came back: 990, of which 1 % is 9.9. VAT is a fifth of 10 + 9."""
    cells = [
        a_cell("burn", points=12),
        a_cell("burn_return", points=1, origin_period=3, issuer=2),
        a_cell("burn", tariff=AT_BURN),
        a_cell("burn", terms=11),
        a_cell("burn", redeemer=1),
        a_cell("recover"),
    ]

    assert summed(*cells) == [
        a_sum("fee", settle(2), FEE, 10, 11, obligor=1, redeemer=2, tariff=1, terms=10),
        a_sum("fee", settle(2), FEE, 0, 10, obligor=1, redeemer=2, tariff=1, terms=11),
        a_sum("fee", settle(2), FEE, 9, 10, obligor=1, redeemer=2, tariff=2, terms=10),
        a_sum("vat", settle(2), VAT, 4, 0, redeemer=2, rate=Fraction(1, 5)),
    ]


def test_vat_of_another_rate_is_rounded_by_itself() -> None:
    """Two fees of 5 at a tenth each are 1, and one at three tenths is 2: half of it goes to the even."""
    terms = {
        id_: Terms(id=id_, fee=Fraction(5, 900), vat=Fraction(vat, 10))
        for id_, vat in ((10, 1), (11, 1), (12, 3))
    }
    cells = [a_cell("burn", terms=id_) for id_ in terms]

    vat = [each for each in summed(*cells, prices=replace(PRICES, terms=terms)) if each.purpose == "vat"]

    assert [(each.micro, each.redeemer, each.debit) for each in vat] == [(1, 2, settle(2)), (2, 2, settle(2))]


def test_movements_come_in_one_order_whatever_order_cells_come_in() -> None:
    cells = [a_cell(each, obligor=obligor) for each in ("burn", "release", "expire") for obligor in (1, 3)]

    moved = movements(5, cells, PRICES)

    assert movements(5, cells[::-1], PRICES) == moved
    assert [each.purpose for each in moved] == [
        *("redemption",) * 2,
        *("issue", "margin") * 2,
        *("breakage", "breakage_share") * 2,
        *("fee",) * 2,
        "vat",
    ]


def test_an_account_has_what_was_debited_less_what_was_credited() -> None:
    """950 are owed for the release, 675 of the 900 reserved are the operator's breakage, 225 go back."""
    assert balances(movements(5, [a_cell("release"), a_cell("expire")], PRICES)) == {
        settle(1): 950 - 225,
        reserve(1): 0,
        MARGIN: -50,
        BREAKAGE: -675,
    }


def test_what_is_outstanding_is_reserved_by_obligor_and_tariff_at_its_value() -> None:
    def holding(points: int, obligor: int, tariff: int) -> Holding:
        return Holding(issuer=3, obligor=obligor, tariff=tariff, issue_month=1, expiry_month=2, points=points)

    holdings = [
        holding(10, 1, AT_ISSUE),
        holding(1, 1, AT_ISSUE),
        holding(5, 1, AT_BURN),
        holding(7, 0, AT_BURN),
    ]

    assert reserves(holdings, PRICES) == {(1, AT_ISSUE): 990, (0, AT_BURN): 630}
