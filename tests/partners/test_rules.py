"""Earn rules: what they give, what they leave out, and that they say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners import DELIVERY, GIFT_CARD, Line, Tender, TenderKind, Terms
from partners.rules import CURRENT, RULESETS, Basket, basket_of, earned
from partners.rules.basket import EarnRule
from tests.partners.builders import ROUBLE, a_line, a_receipt


def test_the_base_rate_is_rounded_down_once_for_the_whole_receipt() -> None:
    result = earned(_basket(a_line(60), a_line(60), a_line(60)))

    assert result.points == 1
    assert result.per_line == (1, 0, 0)


def test_the_rate_explains_itself_with_its_numbers() -> None:
    result = earned(_basket(a_line(1_234), terms=Terms(earn_rate_ppm=15_000)))

    assert result.points == 18
    assert result.rulings[-1].text == "1.5 % of 1234.00 gives 18 points, rounded down."


def test_excluded_categories_earn_nothing_whatever_their_case() -> None:
    result = earned(
        _basket(a_line(500, category="Tobacco"), a_line(500), terms=Terms(excluded_categories=("TOBACCO",)))
    )

    assert result.per_line == (0, 5)
    assert result.rulings[0].applied
    assert result.rulings[0].text == "500.00 earns no points: Tobacco."


@pytest.mark.parametrize("category", [GIFT_CARD, DELIVERY])
def test_gift_cards_and_delivery_earn_only_when_the_agreement_says_so(category: str) -> None:
    line = a_line(1_000, category=category)

    assert earned(_basket(line)).points == 0
    assert earned(_basket(line, terms=Terms(includes_gift_cards=True, includes_delivery=True))).points == 10


def test_the_share_paid_with_points_earns_none() -> None:
    result = earned(_basket(a_line(600), a_line(400), points=500))

    assert result.points == 5
    assert result.per_line == (3, 2)
    assert result.rulings[1].text == "500.00 was paid with points and earns none."


def test_points_count_against_the_lines_they_can_pay_for() -> None:
    result = earned(_basket(a_line(500, category=GIFT_CARD), a_line(500), points=500))

    assert result.points == 0
    assert result.rulings[-1].text == "There is nothing to earn on."


def test_too_little_to_earn_a_point_is_said() -> None:
    assert earned(_basket(a_line(99))).rulings[-1].text == "1 % of 99.00 is less than one point."


def test_an_empty_receipt_earns_nothing() -> None:
    receipt = a_receipt().__replace__(lines=())

    assert earned(basket_of(receipt, Terms(), frozenset())).points == 0


def test_a_receipt_of_zero_earns_zero() -> None:
    assert earned(_basket(a_line(0), a_line(0))).per_line == (0, 0)


@pytest.mark.parametrize("rule", RULESETS[CURRENT])
def test_every_rule_says_something_and_leaves_no_more_than_it_got(rule: EarnRule) -> None:
    basket = _basket(a_line(10), a_line(20, category=GIFT_CARD), points=5)

    effect = rule(basket, basket.totals_micro)

    assert effect.ruling.text
    assert all(left <= had for left, had in zip(effect.eligible_micro, basket.totals_micro, strict=True))


_lines = st.lists(
    st.builds(
        Line,
        sku=st.just("1"),
        category=st.sampled_from(["A", "B", GIFT_CARD, DELIVERY]),
        quantity_milli=st.integers(1, 50_000),
        unit_price_micro=st.integers(0, 10**6).map(lambda kopecks: kopecks * 10_000),
    ),
    min_size=1,
    max_size=12,
)


@given(_lines, st.integers(0, 200_000), st.integers(0, 100))
def test_points_per_line_add_up_and_never_exceed_the_rate(lines: list[Line], rate: int, share: int) -> None:
    total = sum(line.total_micro for line in lines)
    basket = _basket(
        *lines, terms=Terms(earn_rate_ppm=rate, excluded_categories=("b",)), points_micro=total * share // 100
    )

    result = earned(basket)

    assert sum(result.per_line) == result.points
    assert result.points * 10**12 <= total * rate
    for line, points in zip(lines, result.per_line, strict=True):
        assert points >= 0
        if line.category != "A":
            assert points == 0


def _basket(*lines: Line, terms: Terms | None = None, points: int = 0, points_micro: int = 0) -> Basket:
    terms = terms or Terms()
    tender = Tender(kind=TenderKind.POINTS, amount_micro=points * ROUBLE + points_micro)
    excluded = frozenset(category.casefold() for category in terms.excluded_categories)
    return basket_of(a_receipt(*lines, tenders=(tender,)), terms, excluded)
