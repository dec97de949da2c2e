"""Taking points from lots and from slices: exactly what was asked, in order, and never more than is there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.holds import Slice, take
from ledger.lots import Lot, consume, in_order

from .builders import START

amounts = st.lists(st.integers(0, 1000), max_size=12)


def a_lot(number: int, available: int, *, days: int = 0) -> Lot:
    expires_at = START + timedelta(days=days)
    return Lot(
        id=number,
        issuer=1,
        obligor=1,
        tariff=1,
        earned_at=START,
        available_at=None,
        expires_at=expires_at,
        armed_at=START,
        parent=None,
        earned=available,
        available=available,
    )


def some_lots(available: list[int]) -> list[Lot]:
    return [a_lot(number, points) for number, points in enumerate(available)]


def a_slice(number: int, points: int, captured: int = 0, released: int = 0) -> Slice:
    return Slice(
        ordinal=number,
        lot=number,
        issuer=1,
        obligor=1,
        tariff=1,
        earned_at=START,
        expires_at=START,
        points=points,
        captured=captured,
        released=released,
    )


@given(amounts, st.data())
def test_lots_give_what_is_asked_and_each_no_more_than_it_has(
    available: list[int], data: st.DataObject
) -> None:
    lots = some_lots(available)
    asked = data.draw(st.integers(0, sum(available)))

    taken = consume(lots, asked)

    assert sum(points for _, points in taken) == asked
    assert all(0 < points <= lot.available for lot, points in taken)


@given(amounts, st.data())
def test_a_lot_is_touched_only_once_those_before_it_are_empty(
    available: list[int], data: st.DataObject
) -> None:
    lots = some_lots(available)
    taken = consume(lots, data.draw(st.integers(0, sum(available))))

    assert all(points == lot.available for lot, points in taken[:-1])
    assert [lot.id for lot, _ in taken] == [lot.id for lot in lots if lot.available][: len(taken)]


@given(amounts)
def test_more_than_the_lots_hold_is_a_fault_of_ours(available: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^the lots hold fewer points than the balance says$"):
        consume(some_lots(available), sum(available) + 1)


@given(amounts, st.data())
def test_taking_in_parts_takes_from_the_same_lots_as_taking_at_once(
    available: list[int], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, sum(available)))
    second = data.draw(st.integers(0, sum(available) - first))
    at_once: dict[int, int] = {
        lot.id: points for lot, points in consume(some_lots(available), first + second)
    }

    lots, in_parts = some_lots(available), dict[int, int]()
    for part in (first, second):
        for lot, points in consume(lots, part):
            lot.available -= points
            in_parts[lot.id] = in_parts.get(lot.id, 0) + points

    assert in_parts == at_once


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12))
def test_lots_are_spent_soonest_to_expire_first_then_as_they_were_earned(
    drawn: list[tuple[int, int]],
) -> None:
    lots = [a_lot(n, available, days=days) for n, (days, available) in enumerate(drawn)]

    ordered = in_order(reversed(lots))

    assert ordered == sorted((lot for lot in lots if lot.available), key=lambda lot: (lot.expires_at, lot.id))


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), max_size=8), st.data())
def test_slices_give_in_pinned_order_and_never_what_is_gone(
    drawn: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    slices = [a_slice(n, left + gone + back, gone, back) for n, (left, gone, back) in enumerate(drawn)]
    held = sum(part.left for part in slices)
    asked = data.draw(st.integers(0, held))

    taken = take(slices, asked)

    assert sum(points for _, points in taken) == asked
    assert all(0 < points <= part.left for part, points in taken)
    assert [part.ordinal for part, _ in taken] == sorted(part.ordinal for part, _ in taken)
    with pytest.raises(ValueError, match=r"^the slices hold fewer points than asked$"):
        take(slices, held + 1)
