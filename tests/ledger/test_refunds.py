"""Refunds: whatever parts goods come back in, and whatever is given back first, it is one full return."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from ledger.refunds import (
    MONEY_FIRST,
    POINTS_FIRST,
    PROPORTIONAL,
    Paid,
    money_back,
    points_back,
    taken_back,
)

ORDERS = (MONEY_FIRST, POINTS_FIRST, PROPORTIONAL)
MINOR = 10_000


@st.composite
def a_line(draw: st.DrawFn) -> tuple[Paid, int, int]:
    """What a line cost, and the points it burned and earned."""
    off = draw(st.integers(0, 10**7)) * MINOR
    money = draw(st.integers(0, 10**11))
    paid = Paid(draw(st.integers(1, 10**9)), money + off, off)
    return paid, draw(st.integers(0, 10**9)), draw(st.integers(0, 10**9))


@given(a_line(), st.sampled_from(ORDERS), st.lists(st.floats(0, 1), max_size=5))
def test_any_partition_of_a_return_equals_one_full_return(
    line: tuple[Paid, int, int], order: str, cuts: list[float]
) -> None:
    _parts_equal_the_whole(line, order, cuts)


@pytest.mark.soak
def test_partitions_of_returns_go_on_equalling_one_full_return(soak_seconds: float, seed: int) -> None:
    ends_at, drawn = time.monotonic() + soak_seconds, 0
    while not drawn or time.monotonic() < ends_at:

        @seeded(seed + drawn)
        @settings(max_examples=500, database=None, print_blob=True, suppress_health_check=list(HealthCheck))
        @given(a_line(), st.sampled_from(ORDERS), st.lists(st.floats(0, 1), max_size=40))
        def parts(line: tuple[Paid, int, int], order: str, cuts: list[float]) -> None:
            _parts_equal_the_whole(line, order, cuts)

        parts()
        drawn += 1
    print(f"{drawn} times 500 partitions drawn")  # noqa: T201


def _parts_equal_the_whole(line: tuple[Paid, int, int], order: str, cuts: list[float]) -> None:
    paid, burned, earned = line
    so_far = [0, 0, 0]
    for returned in [*sorted(int(cut * paid.quantity_milli) for cut in cuts), paid.quantity_milli]:
        now = [
            money_back(paid, returned, order, MINOR),
            points_back(paid, burned, returned, order),
            taken_back(earned, returned, paid.quantity_milli),
        ]
        assert all(after >= before for before, after in zip(so_far, now, strict=True))
        so_far = now

    assert so_far == [paid.money_micro // MINOR * MINOR, burned, earned]


@given(a_line(), st.integers(0, 10**9))
def test_the_first_in_order_is_used_up_before_the_second(line: tuple[Paid, int, int], at: int) -> None:
    paid, burned, _ = line
    returned = at % (paid.quantity_milli + 1)

    if points_back(paid, burned, returned, MONEY_FIRST) and paid.off_micro:
        assert money_back(paid, returned, MONEY_FIRST, 1) == paid.money_micro
    if money_back(paid, returned, POINTS_FIRST, 1):
        assert points_back(paid, burned, returned, POINTS_FIRST) == burned or not paid.off_micro


@pytest.mark.parametrize(
    ("order", "money", "points"),
    [(MONEY_FIRST, 50, 0), (POINTS_FIRST, 20, 30), (PROPORTIONAL, 35, 15)],
)
def test_half_a_coat_comes_back(order: str, money: int, points: int) -> None:
    coat = Paid(1_000, 100_000_000, 30_000_000)

    assert money_back(coat, 500, order, MINOR) == money * 1_000_000
    assert points_back(coat, 30, 500, order) == points


def test_points_that_took_nothing_off_come_back_by_quantity() -> None:
    assert [points_back(Paid(3_000, 90, 0), 10, milli, MONEY_FIRST) for milli in (1_000, 2_000, 3_000)] == [
        3,
        6,
        10,
    ]


def test_more_points_than_the_price_leave_no_money_to_pay_back() -> None:
    gift = Paid(2_000, 50, 80)

    assert money_back(gift, 2_000, MONEY_FIRST, 1) == 0
    assert points_back(gift, 80, 2_000, MONEY_FIRST) == 80
