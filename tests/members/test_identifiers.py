"""Phones and card numbers as typed, and their blind indexes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.refusals import InvalidInput
from members.card import new_card
from members.identifiers import card_indexes, luhn_digit, phone_indexes, read_card, read_phone
from members.keys import MasterKeys


@pytest.mark.parametrize("typed", ["+7 916 123-45-67", "+7(916)1234567", "  +79161234567"])
def test_a_phone_is_the_same_however_it_is_typed(typed: str) -> None:
    assert read_phone(typed) == "+79161234567"


@pytest.mark.parametrize("typed", ["", "89161234567", "+7", "+7 916", "hello", "+" + "7" * 100_000, "📞"])
def test_a_phone_that_cannot_be_rung_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_phone(typed)

    assert refused.value.field == ("phone",)


@given(st.text("0123456789", min_size=15, max_size=18), st.data())
def test_one_wrong_digit_of_a_card_number_is_noticed(payload: str, data: st.DataObject) -> None:
    number = payload + luhn_digit(payload)
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != number[place]]))
    mistyped = number[:place] + other + number[place + 1 :]

    assert read_card(number) == number
    with pytest.raises(InvalidInput):
        read_card(mistyped)


@pytest.mark.parametrize("typed", ["", "123", "4" * 20, "٤" * 16, "4" * 100_000])
def test_what_is_no_card_number_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput):
        read_card(typed)


def test_card_numbers_are_valid_differ_and_are_no_payment_cards() -> None:
    numbers = {new_card().number for _ in range(500)}

    assert len(numbers) == 500
    assert all(read_card(number) == number and number.startswith("9") for number in numbers)


def test_blind_indexes_differ_by_kind_value_and_version() -> None:
    keys = MasterKeys.generate().with_next_version()

    digests = [
        index.digest
        for indexes in (
            phone_indexes(keys, "+79161234567"),
            phone_indexes(keys, "+79161234568"),
            card_indexes(keys, "+79161234567"),
        )
        for index in indexes
    ]

    assert len(set(digests)) == 6
    assert {len(digest) for digest in digests} == {16}
