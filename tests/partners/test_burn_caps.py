"""Caps of a burn: which binds, what it says, and how a burn spreads over the lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners import DELIVERY, GIFT_CARD, CapName, Line, Terms
from partners.burn_caps import binding, caps, spread
from partners.rules import Basket, basket_of
from tests.partners.builders import ROUBLE, a_directory, a_line, a_receipt

PROGRAMME = a_directory().programme


@pytest.mark.parametrize(
    ("roubles", "terms", "balance", "name", "points"),
    [
        (1_000, Terms(), 50, CapName.BALANCE, 50),
        (1_000, Terms(), 5_000, CapName.MONEY_FLOOR, 900),
        (20_000, Terms(), 50_000, CapName.PERCENT, 19_800),
        (99, Terms(), 5_000, CapName.MONEY_FLOOR, 0),
        (1_000, Terms(burn_cap_ppm=300_000), 5_000, CapName.PERCENT, 300),
        (1_000, Terms(burn_limit_points=7), 5_000, CapName.AGREEMENT, 7),
        (1_000, Terms(burn_step_points=50), 170, CapName.STEP, 150),
        (1_000, Terms(), -5, CapName.BALANCE, 0),
    ],
)
def test_the_lowest_cap_binds_and_says_why(
    roubles: int, terms: Terms, balance: int, name: CapName, points: int
) -> None:
    cap = binding(caps(_basket(a_line(roubles), terms=terms), PROGRAMME, balance=balance))

    assert (cap.name, cap.points) == (name, points)
    assert cap.text.endswith(".")


def test_excluded_lines_are_not_paid_with_points() -> None:
    basket = _basket(a_line(700, category=GIFT_CARD), a_line(300))

    cap = binding(caps(basket, PROGRAMME, balance=5_000))

    assert (cap.name, cap.points) == (CapName.EXCLUDED_LINES, 300)
    assert cap.text == "Points can pay for 300.00 of 1000.00."
    assert spread(basket, PROGRAMME, 300).money_off_micro == (0, 300 * ROUBLE)


def test_defaults_leave_a_hundredth_and_a_hundred_roubles() -> None:
    assert Terms().burn_cap_ppm == 990_000
    assert Terms().burn_money_floor_micro == 100 * ROUBLE


def test_an_empty_basket_takes_no_points() -> None:
    basket = basket_of(a_receipt().__replace__(lines=()), Terms(), frozenset())

    assert binding(caps(basket, PROGRAMME, balance=10)).points == 0


@given(
    st.lists(
        st.builds(
            Line,
            sku=st.just("1"),
            category=st.sampled_from(["A", GIFT_CARD, DELIVERY]),
            quantity_milli=st.integers(1, 5_000),
            unit_price_micro=st.integers(0, 10**5).map(lambda kopecks: kopecks * 10_000),
        ),
        min_size=1,
        max_size=10,
    ),
    st.integers(0, 1_000_000),
    st.integers(0, 300),
    st.integers(1, 30),
    st.integers(0, 100_000),
)
def test_a_burn_at_the_cap_fits_every_line_and_every_cap(
    lines: list[Line], cap_ppm: int, floor: int, step: int, balance: int
) -> None:
    terms = Terms(burn_cap_ppm=cap_ppm, burn_money_floor_micro=floor * ROUBLE, burn_step_points=step)
    basket = _basket(*lines, terms=terms)
    found = caps(basket, PROGRAMME, balance=balance)

    points = binding(found).points
    share = spread(basket, PROGRAMME, points)

    assert points >= 0
    assert points % step == 0
    assert all(points <= cap.points for cap in found)
    assert sum(share.points) == points
    assert sum(share.money_off_micro) == points * ROUBLE
    for line, off in zip(lines, share.money_off_micro, strict=True):
        assert 0 <= off <= line.total_micro
        assert off % 10_000 == 0
        assert line.category == "A" or off == 0


def _basket(*lines: Line, terms: Terms | None = None) -> Basket:
    return basket_of(a_receipt(*lines), terms or Terms(), frozenset())
