"""Roundings and values: parts sum to the whole, ties go where they are said to, text comes back as it was."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.refusals import InvalidInput
from ledger.kernel.rounding import floor, half_even, largest_remainder, toward_zero
from ledger.kernel.values import Money, decimal_of, micro_of

big = st.integers(-(10**24), 10**24)
denominators = st.integers(1, 10**12)
weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=20)


@given(st.integers(0, 10**18), weights)
def test_a_split_sums_to_its_total_and_no_part_is_a_unit_off(total: int, shares: list[int]) -> None:
    parts = largest_remainder(total, shares)

    assert sum(parts) == total
    whole = sum(shares)
    for part, share in zip(parts, shares, strict=True):
        if whole:
            assert abs(part - Fraction(total * share, whole)) < 1
            assert part == 0 or share > 0


@given(st.integers(0, 10**12), weights)
def test_no_remainder_given_is_smaller_than_one_withheld(total: int, shares: list[int]) -> None:
    whole = sum(shares) or 1
    parts = largest_remainder(total, shares)
    exact = [Fraction(total * share, whole) for share in shares]
    if sum(shares):
        given_up = [e - (e // 1) for e, part in zip(exact, parts, strict=True) if part == e // 1]
        rounded_up = [e - (e // 1) for e, part in zip(exact, parts, strict=True) if part > e // 1]
        assert not rounded_up or not given_up or min(rounded_up) >= max(given_up)


def test_ties_of_a_split_go_to_the_earlier_position() -> None:
    assert largest_remainder(2, [1, 1, 1]) == [1, 1, 0]
    assert largest_remainder(5, [1, 1]) == [3, 2]
    assert largest_remainder(7, [0, 0]) == [7, 0]
    with pytest.raises(ValueError, match=r"^a total cannot be split over nothing$"):
        largest_remainder(7, [])


@given(big, denominators)
def test_each_rounding_is_the_one_it_is_named_after(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)

    assert floor(numerator, denominator) == exact // 1
    assert half_even(numerator, denominator) == round(exact)
    assert toward_zero(numerator, denominator) == int(exact)


@given(st.integers(-(10**12), 10**12))
def test_a_half_goes_to_the_even_neighbour(number: int) -> None:
    assert half_even(2 * number + 1, 2) in (number, number + 1)
    assert half_even(2 * number + 1, 2) % 2 == 0
    assert half_even(2 * number, 2) == number


@given(st.integers(1, 10**6), st.data())
def test_partial_returns_add_up_to_one_full_return(earned: int, data: st.DataObject) -> None:
    """What a line claws back is the floor of all that came back so far, less what was clawed so far."""
    total = data.draw(st.integers(1, 10**6))
    cuts = sorted(data.draw(st.lists(st.integers(0, total), max_size=6)))

    clawed = 0
    for returned in [*cuts, total]:
        part = floor(earned * returned, total) - clawed
        assert part >= 0
        clawed += part

    assert clawed == earned


@given(st.integers(-(10**20), 10**20))
def test_money_written_as_a_decimal_reads_back_the_same(micro: int) -> None:
    assert micro_of(decimal_of(micro)) == micro
    assert micro_of(str(Money(micro, "EUR")).split(maxsplit=1)[0]) == micro


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**14), max_value=10**14, places=6))
def test_micro_units_are_exact(value: Decimal) -> None:
    assert Fraction(micro_of(str(value)), 10**6) == Fraction(value)


@pytest.mark.parametrize("text", ["", "ten", "NaN", "Infinity", "-Infinity", "1e15", "0.0000001", "1" * 16])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        micro_of(text)


LENIENT = ["1_000", " 1", "1 ", "1\n", "٣", "1e3", "+1", ".5", "5.", "1.٣"]
"""What `Decimal` reads, and no till means."""


@pytest.mark.parametrize("text", ["1,5", "0x10", "1e400000", "1e-400000", "--1", "1 2", *LENIENT])
def test_odd_texts_are_refused_and_not_a_fault(text: str) -> None:
    with pytest.raises(InvalidInput):
        micro_of(text)
