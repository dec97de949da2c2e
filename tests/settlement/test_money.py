from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.accounts import MONEY_IN_TRANSIT, MONEY_OPENING, RESERVE, SETTLE, STOCK_SIGN
from partners import Funding
from settlement import money, netting
from settlement.cells import Cell, Holding, digest
from settlement.cohorts import Cohorts
from settlement.liability import recognised_breakage
from settlement.prices import Prices, Tariff, Terms
from settlement.rollforward import roll_forward

AT_ISSUE, AT_BURN = 1, 2
"""The tariffs: funded at issue, and at redemption; a point costs 95 and is worth 90 micro-units."""

PRICES = Prices(
    currency="RUB",
    tariffs={
        id_: Tariff(
            id=id_,
            funding=funding,
            issue_price_micro=95,
            redemption_value_micro=90,
            breakage_share=Fraction(1, 4),
        )
        for id_, funding in ((AT_ISSUE, Funding.AT_ISSUE), (AT_BURN, Funding.AT_REDEMPTION))
    },
    terms={10: Terms(id=10, fee=Fraction(1, 100), vat=Fraction(1, 5)), 11: Terms(id=11, fee=Fraction(0))},
)


def a_cell(operation: str, points: int, *, tariff: int = AT_ISSUE, obligor: int = 1, **given: Any) -> Cell:
    cell: dict[str, Any] = {"issuer": obligor, "redeemer": 0, "terms": 0, "origin_period": 1, **given}
    return Cell(operation=operation, points=points, tariff=tariff, obligor=obligor, **cell)


def owed(*cells: Cell) -> dict[tuple[int, int], int]:
    return netting.obligations(money.movements(1, cells, PRICES))


def balance(*cells: Cell) -> dict[tuple[int, int], int]:
    balances = money.balances(money.movements(1, cells, PRICES))
    return {(account.kind, account.owner): micro for account, micro in balances.items() if micro}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (a_cell("release", 10), {(1, 0): 950}),
        (a_cell("release", 10, tariff=AT_BURN), {}),
        (a_cell("release", 10, obligor=0), {}),
        (a_cell("opening", 10), {}),
        (a_cell("opening", 10, tariff=AT_BURN), {}),
        (a_cell("claw_back", 10), {(0, 1): 950}),
        (a_cell("burn", 10, redeemer=1, terms=10), {(0, 1): 900}),
        (a_cell("burn", 10, redeemer=1, terms=10, tariff=AT_BURN), {}),
        (a_cell("burn", 10, redeemer=2, terms=11), {(0, 2): 900}),
        (a_cell("burn", 10, redeemer=2, terms=11, tariff=AT_BURN), {(1, 2): 900}),
        (a_cell("burn", 10, redeemer=2, terms=10, tariff=AT_BURN), {(1, 2): 900, (2, 0): 9 + 2}),
        (a_cell("burn_return", 10, redeemer=2, terms=11, tariff=AT_BURN), {(2, 1): 900}),
        (a_cell("recover", 10, redeemer=2), {(0, 2): 900}),
        (a_cell("recover", 10, redeemer=2, tariff=AT_BURN), {(1, 2): 900}),
        (a_cell("recover", 10, redeemer=0), {}),
        (a_cell("expire", 10), {(0, 1): 225}),
        (a_cell("expire", 10, tariff=AT_BURN), {}),
        (a_cell("expire", 10, obligor=0), {}),
        (a_cell("adjust", 10), {(1, 0): 900}),
        (a_cell("adjust", -10), {(0, 1): 900}),
        (a_cell("adjust", 10, tariff=AT_BURN), {}),
        (a_cell("novate_out", 10, tariff=AT_BURN), {(1, 0): 900}),
        (a_cell("novate_in", 10, tariff=AT_BURN), {(0, 1): 900}),
        (a_cell("novate_out", 10), {}),
        (a_cell("novate_in", 10), {}),
        (a_cell("earn_pending", 10), {}),
        (a_cell("cancel_pending", 10), {}),
        (a_cell("transfer_in", 10), {}),
    ],
    ids=lambda value: f"{value.operation}-{value.tariff}-{value.obligor}" if isinstance(value, Cell) else "",
)
def test_each_operation_owes_what_its_funding_says(cell: Cell, expected: dict[tuple[int, int], int]) -> None:
    assert owed(cell) == expected


@pytest.mark.parametrize(("successor", "tariff"), [(0, AT_ISSUE), (0, AT_BURN), (2, AT_ISSUE), (2, AT_BURN)])
def test_points_taken_over_leave_nothing_in_transit(successor: int, tariff: int) -> None:
    moved = balance(
        a_cell("novate_out", 10, tariff=tariff), a_cell("novate_in", 10, tariff=tariff, obligor=successor)
    )

    assert [account for account in moved if account[0] == MONEY_IN_TRANSIT] == []
    if tariff == AT_BURN:
        assert moved[SETTLE, 1] == 900


@pytest.mark.parametrize("tariff", [AT_ISSUE, AT_BURN])
@pytest.mark.parametrize("obligor", [0, 1])
def test_the_reserve_follows_the_points_outstanding(tariff: int, obligor: int) -> None:
    cells = [a_cell(operation, 7, tariff=tariff, obligor=obligor) for operation in STOCK_SIGN]
    kept = [
        a_cell(operation, 7, tariff=tariff, obligor=obligor, redeemer=2, terms=11)
        for operation in ("burn", "release")
    ]
    cells = [cell for cell in (*cells, *kept) if not cell.operation.startswith(("transfer", "burn"))]
    points = sum(cell.outstanding for cell in cells)
    holding = Holding(issuer=1, obligor=obligor, tariff=tariff, issue_month=1, expiry_month=2, points=points)

    reserve = -balance(*cells).get((RESERVE, obligor), 0)

    assert reserve == money.reserves([holding], PRICES).get((obligor, tariff), 0)
    assert roll_forward(0, cells).closing == points


def test_a_fee_is_rounded_once_over_burns_returns_late_and_disputes() -> None:
    cells = [
        a_cell("burn", 50, redeemer=2, terms=10, issuer=1),
        a_cell("burn", 6, redeemer=2, terms=10, issuer=3, origin_period=0),
        a_cell("burn_return", 1, redeemer=2, terms=10),
    ]

    (fee,) = [movement for movement in money.movements(1, cells, PRICES) if movement.purpose == "fee"]

    assert (fee.points, fee.micro) == (55, 50)  # 49.5, to the even neighbour


def test_lines_are_positive_and_never_from_an_account_to_itself() -> None:
    cells = [
        a_cell("claw_back", 10),
        a_cell("burn", 5, redeemer=1, terms=10, tariff=AT_BURN),
        a_cell("release", 0),
    ]

    lines = money.money_lines(money.movements(1, cells, PRICES))

    assert {
        line.micro > 0 and (line.debit, line.debit_owner) != (line.credit, line.credit_owner)
        for line in lines
    } == {True}


def test_the_hash_of_a_period_does_not_depend_on_order_and_does_on_every_number() -> None:
    cells = [a_cell("release", 10), a_cell("expire", 3)]
    holdings = [Holding(issuer=1, obligor=1, tariff=AT_ISSUE, issue_month=1, expiry_month=2, points=7)]

    same = digest(1, cells, holdings)

    assert digest(1, cells[::-1], holdings) == same
    changed = [digest(2, cells, holdings), digest(1, cells[:1], holdings), digest(1, cells, [])]
    assert same not in changed


def test_cohorts_are_spent_oldest_first_and_clawed_back_newest_first() -> None:
    cohorts = Cohorts()
    cohorts.apply(1, [a_cell("release", 100)])
    cohorts.apply(2, [a_cell("release", 50), a_cell("claw_back", 20), a_cell("burn", 30, redeemer=2)])

    assert cohorts.left() == {1: 70, 2: 30}


def test_points_given_back_return_to_where_the_last_came_from() -> None:
    cohorts = Cohorts()
    cohorts.apply(1, [a_cell("release", 10)])
    cohorts.apply(2, [a_cell("release", 10), a_cell("burn", 15, redeemer=2)])
    cohorts.apply(3, [a_cell("burn_return", 7, redeemer=2)])

    assert cohorts.left() == {1: 2, 2: 10}


@given(st.integers(0, 10**9), st.data())
def test_breakage_is_recognised_in_full_when_all_that_is_expected_was_redeemed(
    hundreds: int, data: st.DataObject
) -> None:
    issued = hundreds * 100
    expected = issued * 85 // 100
    redeemed = data.draw(st.integers(0, expected))

    recognised = recognised_breakage(issued, redeemed, Fraction(15, 100))

    assert 0 <= recognised <= issued - expected
    assert recognised_breakage(issued, expected, Fraction(15, 100)) == issued - expected


@pytest.mark.parametrize("obligor", [0, 1])
def test_points_that_were_brought_along_are_reserved_and_charged_to_nobody(obligor: int) -> None:
    brought = a_cell("opening", 10, obligor=obligor)

    assert balance(brought) == {(MONEY_OPENING, 0): 900, (RESERVE, obligor): -900}
    assert roll_forward(5, [brought]).brought == 10


def test_a_line_of_a_journal_says_all_that_its_movement_does() -> None:
    account, other = money.Account(SETTLE, 4), money.Account(RESERVE, 5)
    moved = money.Movement(
        purpose="issue",
        debit=account,
        credit=other,
        micro=-7,
        points=1,
        issuer=1,
        obligor=2,
        redeemer=3,
        tariff=6,
        terms=8,
        origin_period=9,
    )

    (line,) = money.money_lines([moved])
    (straight,) = money.money_lines([replace(moved, micro=7)])

    assert (line.debit, line.debit_owner, line.credit, line.credit_owner) == (RESERVE, 5, SETTLE, 4)
    assert (straight.debit, straight.debit_owner) == (SETTLE, 4)
    assert (line.micro, line.issuer, line.obligor, line.redeemer) == (7, 1, 2, 3)
    assert (line.tariff, line.terms, line.origin_period) == (6, 8, 9)
    nothing = [replace(moved, micro=0), replace(moved, credit=account)]
    assert money.money_lines(nothing) == []
