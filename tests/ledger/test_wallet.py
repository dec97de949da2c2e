"""The wallet and what it remembers of purchases: what a journal leaves there, and what is due next."""

from __future__ import annotations

import pytest

from ledger import Balance
from ledger.binary import INFINITY, instant
from ledger.holds import Hold, Slice
from ledger.kernel.ids import compose
from ledger.lots import NONE_LEFT
from ledger.outcomes import SliceTaken
from ledger.purchases import Original
from ledger.returned import Mark
from ledger.wallet import LOTS_PER_OPERATION, lot_id, new_wallet

from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    a_burn,
    a_capture,
    a_receipt,
    a_return,
    a_void,
    an_authorization,
    an_earn,
    an_item,
)
from .memory import DAY, a_ledger, accepted, submit


def test_a_balance_has_four_figures_and_two_of_them_are_shown() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(40)).operation
    submit(
        ledger,
        a_burn(40),
        a_return(earn),
        an_earn(25, partner=B, available_at=START + DAY),
        an_earn(100, partner=B),
        an_authorization(10),
    )

    balance = ledger.wallets[MEMBER].balance()

    assert balance == Balance(pending=25, available=50, held=10, clawback_due=0)
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(40)).operation
    submit(ledger, an_earn(9, partner=B), a_burn(40), a_return(earn))
    assert ledger.wallets[MEMBER].balance() == Balance(available=9, clawback_due=40)
    assert ledger.wallets[MEMBER].balance().shown == -31


def test_a_hold_keeps_whom_it_is_for_and_what_each_slice_was_pinned_to() -> None:
    ledger = a_ledger(an_earn(10, obligor=8, tariff=4, expires_at=START + 9 * DAY), an_earn(10))
    hold = (
        accepted(ledger, an_authorization(15, partner=B, outlet=6, terms=77, expires_at=START + DAY)).hold
        or 0
    )
    wallet = ledger.wallets[MEMBER]
    first, second = wallet.lots

    slices = [
        Slice(0, first, A, 8, 4, START, START + 9 * DAY, 10),
        Slice(1, second, A, A, A, START, FAR, 5),
    ]
    assert wallet.holds == {hold: Hold(hold, MEMBER, B, 6, 77, START + DAY, True, False, slices)}

    submit(ledger, a_capture(hold, 12), a_void(hold))
    assert [(part.captured, part.released) for part in wallet.holds[hold].slices] == [(10, 0), (2, 3)]
    assert (wallet.holds[hold].is_open, wallet.holds[hold].has_lapsed) == (False, False)


def test_what_is_due_next_is_the_soonest_of_all_and_it_is_told_when_that_is_news() -> None:
    wallet = a_ledger(
        an_earn(10, available_at=START + 5 * DAY),
        an_earn(10, expires_at=START + 4 * DAY),
        an_authorization(3, expires_at=START + 3 * DAY),
    ).wallets[MEMBER]
    assert wallet.next_due_at == START + 3 * DAY
    assert wallet.look_ahead() is False

    wallet.rest_due_at = START + 2 * DAY
    assert wallet.look_ahead() is True
    assert wallet.next_due_at == START + 2 * DAY
    wallet.rest_due_at = START + 6 * DAY
    wallet.holds.clear()
    assert wallet.look_ahead() is True
    assert wallet.next_due_at == START + 4 * DAY


def test_lots_begin_with_the_first_that_has_points_or_with_what_was_not_read() -> None:
    ledger = a_ledger()
    later = accepted(ledger, an_earn(40)).operation
    sooner = accepted(ledger, an_earn(30, expires_at=FAR - DAY)).operation
    wallet = ledger.wallets[MEMBER]

    assert wallet.lots_from() == (instant(FAR - DAY), lot_id(sooner, 0))
    submit(ledger, a_burn(30))
    assert wallet.lots_from() == (instant(FAR), lot_id(later, 0))
    wallet.unread_from = (instant(FAR), 5)
    assert wallet.lots_from() == (instant(FAR), 5)
    submit(ledger, a_burn(40))
    wallet.unread_from = NONE_LEFT
    assert wallet.lots_from() == NONE_LEFT == (INFINITY, 0)
    waiting = accepted(ledger, an_earn(7, available_at=START + DAY)).operation
    assert wallet.lots_from() == (instant(FAR), lot_id(waiting, 0))


def test_a_wallet_stands_where_its_sums_say_and_is_due_when_something_is() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(40)).operation
    submit(ledger, an_earn(9, partner=B, available_at=START + DAY), a_burn(40), a_return(earn))
    wallet = ledger.wallets[MEMBER]

    assert wallet.stands() == (9, 0, 0, 40, instant(START + DAY))
    submit(ledger, an_earn(60, partner=B), an_authorization(5))
    assert wallet.stands()[:4] == (9, 15, 5, 0)
    assert new_wallet(MEMBER).stands() == (0, 0, 0, 0, INFINITY)


def test_a_wallet_that_was_never_stored_is_new() -> None:
    wallet = new_wallet(MEMBER)

    assert (wallet.member, wallet.is_new, wallet.balance()) == (MEMBER, True, Balance())
    assert wallet.next_due_at is None


def test_a_lots_id_names_its_bucket_and_sorts_as_lots_are_earned() -> None:
    assert lot_id(compose(7, 3), 5) == compose(7, 3 * 32_768 + 5)
    assert lot_id(compose(7, 3), 0) < lot_id(compose(7, 3), 32_767) < lot_id(compose(7, 4), 0)
    assert LOTS_PER_OPERATION == 32_768
    for ordinal in (-1, 32_768):
        with pytest.raises(ValueError, match=r"^an operation makes at most 32,768 lots$"):
            lot_id(compose(7, 3), ordinal)


def test_an_operation_is_remembered_with_all_that_its_return_needs() -> None:
    ledger = a_ledger(an_earn(50, obligor=8, tariff=4, terms=78, outlet=6))
    items = (an_item(3, pieces=2, points_burned=20),)
    held = accepted(
        ledger, an_authorization(20, partner=B, outlet=6, terms=77, receipt=a_receipt("R-9"), items=items)
    )
    wallet = ledger.wallets[MEMBER]
    assert wallet.purchases is not None
    (lot,) = wallet.lots

    earn, hold = wallet.purchases.originals.values()
    assert earn == Original(
        id=compose(7, 1), kind="earn", partner=A, outlet=6, terms=78, origin_period=1, points=50
    )
    assert hold == Original(
        id=held.operation,
        kind="authorize",
        partner=B,
        outlet=6,
        terms=77,
        origin_period=1,
        points=20,
        terminal="1",
        receipt="R-9",
        hold=held.operation,
        items=items,
        slices=(SliceTaken(lot=lot, issuer=A, obligor=8, tariff=4, points=20),),
    )


def test_a_batch_remembers_of_itself_what_can_be_bought_with() -> None:
    """Its own captures and returns are not asked for before they are in the database."""
    ledger = a_ledger(an_earn(50))
    wallet = ledger.wallets[MEMBER]
    assert wallet.purchases is not None
    hold = accepted(ledger, an_authorization(20)).hold or 0
    capture = a_capture(hold)
    outcome = accepted(ledger, capture)
    wallet.purchases.originals.clear()

    wallet.purchases.note(capture, outcome, 1)
    assert wallet.purchases.originals == {}
    burn = a_burn(5)
    outcome = accepted(ledger, burn)
    wallet.purchases.originals.clear()
    wallet.purchases.note(burn, outcome, 9)
    assert [each.origin_period for each in wallet.purchases.originals.values()] == [9]


def test_a_batch_that_is_decided_again_starts_from_what_it_had_loaded() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(10)).operation
    loaded = ledger.wallets[MEMBER].purchases
    assert loaded is not None

    decided = loaded.copy()
    assert decided == loaded
    decided.originals.clear()
    decided.marks[earn, 0] = Mark(earn, 0, 1_000, 10, 0)

    assert (list(loaded.originals), loaded.marks) == ([earn], {})
