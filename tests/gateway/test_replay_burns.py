"""Who pays with points, where, and how much: decided from stored outcomes, so always alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from gateway.replay.burns import TOKENS_A_DAY, Burn, Card, Wishes, choose, most_points
from gateway.replay.coalition import PARTNERS
from gateway.replay.journey import Receipts
from gateway.replay.purses import Purses
from members.card import new_card

SUPERMARKET, PHARMACY, FUEL, CAFE = (
    [each.key for each in PARTNERS].index(key) for key in ("supermarket", "pharmacy", "fuel", "cafe")
)
AT = datetime(2017, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Sold:
    basket: int = 1
    household: int = 0
    partner: int = SUPERMARKET
    roubles: int = 2_000
    payable: int | None = None


def the_receipts(*sold: Sold) -> Receipts:
    return Receipts(
        basket=np.array([each.basket for each in sold]),
        household=np.array([each.household for each in sold]),
        partner=np.array([each.partner for each in sold]),
        day=np.zeros(len(sold), dtype=np.int64),
        total=np.array([each.roubles * 100 for each in sold]),
        payable=np.array([100 * (each.roubles if each.payable is None else each.payable) for each in sold]),
        json=pa.array([""] * len(sold)),
    )


def purses_with(*points: int, issuer: int = PHARMACY) -> Purses:
    purses = Purses(households=len(points), partners=len(PARTNERS))
    for household, each in enumerate(points):
        purses.earn(household, issuer, each, available_at=AT)
    purses.release(AT)
    return purses


def wishes(receipts: Receipts, purses: Purses) -> Wishes:
    return Wishes(receipts, purses, first=0, last=len(receipts))


def test_points_wait_until_they_are_due() -> None:
    purses = Purses(households=1, partners=len(PARTNERS))
    purses.earn(0, CAFE, 600, available_at=AT)
    purses.earn(0, FUEL, 50, available_at=AT + timedelta(days=1))

    purses.release(AT - timedelta(seconds=1))
    assert purses.available.tolist() == [0]
    purses.release(AT)
    assert purses.available.tolist() == [600]
    purses.release(AT + timedelta(days=30))
    assert purses.available.tolist() == [650]
    assert purses.main_issuer(0) == CAFE


def test_only_who_has_more_than_the_threshold_burns() -> None:
    receipts = the_receipts(*(Sold(basket=number, household=number) for number in range(3)))

    burns = wishes(receipts, purses_with(500, 501, 0)).turn()

    assert burns == [Burn(receipt=1, household=1, points=501)]


def test_a_burn_goes_to_another_partner_than_the_main_issuer_if_it_can() -> None:
    purses = purses_with(800)
    both = the_receipts(Sold(partner=SUPERMARKET, roubles=300), Sold(partner=PHARMACY, roubles=9_000))
    only_home = the_receipts(Sold(partner=PHARMACY, roubles=9_000))

    assert choose(both, [0, 1], purses, 0) == Burn(receipt=0, household=0, points=200)
    assert choose(only_home, [0], purses, 0) == Burn(receipt=0, household=0, points=800)


def test_of_two_other_partners_the_one_that_takes_more_is_chosen() -> None:
    receipts = the_receipts(Sold(partner=SUPERMARKET, roubles=300), Sold(partner=CAFE, roubles=700))

    assert choose(receipts, [0, 1], purses_with(800), 0) == Burn(receipt=1, household=0, points=600)


def test_no_cap_of_the_terms_is_exceeded() -> None:
    receipts = the_receipts(
        Sold(roubles=100),
        Sold(roubles=101),
        Sold(roubles=20_000),
        Sold(roubles=20_000, payable=50),
        Sold(partner=PHARMACY, roubles=1_001),
    )

    assert [most_points(receipts, number) for number in range(5)] == [0, 1, 19_800, 50, 500]


def test_the_next_basket_is_taken_when_this_one_takes_no_points() -> None:
    receipts = the_receipts(Sold(basket=1, roubles=90), Sold(basket=2))

    assert wishes(receipts, purses_with(900)).turn() == [Burn(receipt=1, household=0, points=900)]


def test_a_member_burns_again_at_the_next_basket_while_enough_is_left() -> None:
    receipts = the_receipts(*(Sold(basket=number, roubles=400) for number in range(4)))
    purses = purses_with(1_050)
    day = wishes(receipts, purses)
    taken = []

    for _ in range(4):
        for burn in day.turn():
            purses.burn(burn.household, burn.points)
            taken.append((burn.receipt, burn.points))

    assert taken == [(0, 300), (1, 300)]


def test_a_days_tokens_differ_and_are_repeated_exactly() -> None:
    issued = new_card()
    card = Card(number=issued.number, key=issued.key)

    tokens = [card.token(AT, turn) for turn in range(TOKENS_A_DAY)]

    assert len(set(tokens)) == TOKENS_A_DAY
    assert tokens == [card.token(AT, turn) for turn in range(TOKENS_A_DAY)]
    assert issued.number not in repr(card)
