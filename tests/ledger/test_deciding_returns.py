"""Deciding returns without a database: what is restored, what is taken back and what is owed, line by line.

Figures are worked out by hand. Money is in micro-units; what a price is in does not matter here, so
lines cost small round numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.accounts import AVAILABLE, CANCELLED, CLAWBACK_DUE, IN_TRANSIT, ISSUED, PENDING, REDEEMED
from ledger.commands import Refused
from ledger.decide import Situation, decide
from ledger.decide.restoring import newest_first
from ledger.dues import Due
from ledger.journal import Journal, Line, Undoing
from ledger.lots import Lot
from ledger.outcomes import LineBack, LotBack, Returned
from ledger.refunds import MONEY_FIRST, POINTS_FIRST, PROPORTIONAL
from ledger.refusals import OperationNotFound
from ledger.returned import Mark
from ledger.wallet import lot_id, new_wallet

from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    C,
    a_burn,
    a_capture,
    a_grant,
    a_novation,
    a_receipt,
    a_return,
    a_reversal,
    a_void,
    an_adjustment,
    an_authorization,
    an_earn,
    an_item,
)
from .memory import (
    DAY,
    UTC_ZONE,
    a_ledger,
    accepted,
    figures,
    go_to,
    last,
    line_of,
    lots_of,
    refused,
    submit,
    undone,
)

RECEIPT = a_receipt()


# Taking back what was earned


def test_a_returned_earn_takes_back_the_points_of_its_lot() -> None:
    ledger = a_ledger(an_earn(30), an_earn(5, obligor=8))
    purchase = accepted(ledger, an_earn(100, obligor=8, tariff=4)).operation

    outcome = accepted(ledger, a_return(purchase))

    lot = lots_of(ledger)[-1]
    back = LineBack(line=0, quantity_milli=1_000, points_taken=100, points_restored=0, money_micro=0)
    assert last(ledger) == Journal(
        kind="return",
        points=0,
        lines=(line_of(lot, AVAILABLE, CANCELLED, 100),),
        undoes=Undoing(
            Returned(purchase=purchase, lines=(back,), cancelled=0, taken=100, due=0, lots=()),
            (Mark(purchase, 0, 1_000, 100, 0),),
            origin_period=1,
            due=None,
        ),
    )
    assert (outcome.balance.available, outcome.balance.clawback_due) == (35, 0)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.booleans())
@settings(deadline=None)
def test_what_expired_is_taken_last_and_moves_nothing_in_however_many_parts(
    pieces: list[int], is_corrected: bool
) -> None:
    """Of 90 points 60 were spent and the rest expired, or some was corrected away before that."""
    items = (an_item(pieces=9, points_earned=90),)
    ledger = a_ledger(an_earn(300, partner=A, obligor=8, expires_at=FAR))
    purchase = accepted(ledger, an_earn(90, obligor=A, items=items, expires_at=START + 2 * DAY)).operation
    accepted(ledger, a_burn(60))
    if is_corrected:
        accepted(ledger, an_adjustment(-10, obligor=A))
    go_to(ledger, 2)

    outcomes = [accepted(ledger, a_return(purchase, (0, each * 1_000))) for each in pieces]
    if sum(pieces) < 9:
        outcomes.append(accepted(ledger, a_return(purchase)))

    backs = [outcome.returned for outcome in outcomes if outcome.returned is not None]
    assert [back.forfeited > 0 for back in backs] == sorted(back.forfeited > 0 for back in backs)
    assert sum(back.forfeited for back in backs) == 30
    assert sum(back.due for back in backs) == 60
    assert outcomes[-1].balance.available == 300
    assert outcomes[-1].balance.clawback_due == 60


def test_points_that_came_back_too_late_and_expired_once_more_are_not_owed_either() -> None:
    ledger = a_ledger()
    purchase = accepted(ledger, an_earn(50, obligor=A, expires_at=START + 2 * DAY)).operation
    burn = accepted(ledger, a_burn(20)).operation
    go_to(ledger, 3)
    accepted(ledger, a_return(burn, partner=B))
    go_to(ledger, 30)

    outcome = accepted(ledger, a_return(purchase))

    assert last(ledger).lines == ()
    assert outcome.returned is not None
    assert outcome.returned.forfeited == 50
    assert outcome.balance.clawback_due == 0


def test_its_own_lot_gives_before_others_though_it_expires_last() -> None:
    ledger = a_ledger(an_earn(60, expires_at=START + DAY))
    purchase = accepted(ledger, an_earn(50)).operation

    accepted(ledger, a_return(purchase))

    assert last(ledger).lines == (line_of(lots_of(ledger)[-1], AVAILABLE, CANCELLED, 50),)


def test_points_still_pending_are_cancelled_and_pending_points_of_others_are_let_alone() -> None:
    later: dict[str, Any] = {"available_at": START + 5 * DAY}
    ledger = a_ledger(an_earn(70, **later))
    items = (an_item(pieces=4, points_earned=100),)
    purchase = accepted(ledger, an_earn(100, obligor=A, items=items, **later)).operation

    outcome = accepted(ledger, a_return(purchase, (0, 3_000)))

    own = lots_of(ledger)[-1]
    assert last(ledger).lines == (line_of(own, PENDING, CANCELLED, 75),)
    assert figures(outcome) == (0, 75, 0, 0)
    assert outcome.balance.pending == 95


def test_what_its_lot_lacks_is_taken_of_lots_like_it_and_then_owed() -> None:
    """Of the lot 5 are left; its like give 10 and 30, the sooner to expire first; so 55 of 100 are owed."""
    like: dict[str, Any] = {"obligor": 8}
    ledger = a_ledger(
        an_earn(30, tariff=3, expires_at=START + 30 * DAY, **like),
        an_earn(40, partner=B, **like),
        an_earn(50, obligor=9),
    )
    own: dict[str, Any] = {"tariff": 4, "expires_at": START + 2 * DAY, **like}
    purchase = accepted(ledger, an_earn(100, **own)).operation
    submit(ledger, an_earn(10, tariff=5, expires_at=START + 20 * DAY, **like), a_burn(95))

    outcome = accepted(ledger, a_return(purchase))

    late, _, _, lot, early = lots_of(ledger)
    assert last(ledger).lines == (
        line_of(lot, AVAILABLE, CANCELLED, 5),
        line_of(early, AVAILABLE, CANCELLED, 10),
        line_of(late, AVAILABLE, CANCELLED, 30),
        line_of(lot, CLAWBACK_DUE, CANCELLED, 55),
    )
    assert figures(outcome) == (0, 0, 45, 55)
    assert undone(ledger).due == Due(outcome.operation, A, 8, 4, purchase, 55, 55)
    assert ledger.wallets[MEMBER].dues == {outcome.operation: undone(ledger).due}


def test_of_lots_that_expire_together_the_first_earned_gives_first() -> None:
    ledger = a_ledger(an_earn(20), an_earn(20))
    purchase = accepted(ledger, an_earn(30, expires_at=START + DAY)).operation
    submit(ledger, a_burn(30))

    accepted(ledger, a_return(purchase))

    first, second, _ = lots_of(ledger)
    assert last(ledger).lines == (
        line_of(first, AVAILABLE, CANCELLED, 20),
        line_of(second, AVAILABLE, CANCELLED, 10),
    )


def test_what_the_return_restores_is_there_to_be_taken() -> None:
    """40 burned of A's older lot come back to it, and 25 of them replace what B has redeemed of the earn."""
    ledger = a_ledger(an_earn(40, obligor=8, tariff=4, expires_at=START + 9 * DAY))
    submit(ledger, a_burn(40, partner=A, receipt=RECEIPT))
    purchase = accepted(ledger, an_earn(25, obligor=8, receipt=RECEIPT)).operation
    submit(ledger, a_burn(25))

    outcome = accepted(ledger, a_return(purchase))

    older, _ = lots_of(ledger)
    assert last(ledger).lines == (
        line_of(older, REDEEMED, AVAILABLE, 40, redeemer=A, terms=11),
        line_of(older, AVAILABLE, CANCELLED, 25),
    )
    assert figures(outcome) == (40, 0, 25, 0)
    assert (last(ledger).points, outcome.balance.available) == (40, 15)


def test_what_is_restored_to_a_child_is_there_to_be_taken_too() -> None:
    ledger = a_ledger(an_earn(40, obligor=8, tariff=4, expires_at=START + DAY))
    submit(ledger, a_burn(40, partner=A, receipt=RECEIPT))
    purchase = accepted(ledger, an_earn(25, obligor=8, receipt=RECEIPT)).operation
    submit(ledger, a_burn(25))
    go_to(ledger, 2)

    outcome = accepted(ledger, a_return(purchase))

    older, _, child = lots_of(ledger)
    assert (child.parent, child.expires_at) == (older.id, START + 17 * DAY)
    assert last(ledger).new_lots == (child,)
    assert last(ledger).lines == (
        line_of(child, REDEEMED, AVAILABLE, 40, redeemer=A, terms=11),
        line_of(child, AVAILABLE, CANCELLED, 25),
    )
    assert outcome.balance.available == 15


@pytest.mark.parametrize(("earned", "taken", "owed"), [(25, 25, 0), (40, 30, 10)])
def test_all_that_a_lot_gets_back_can_be_taken_and_no_more(
    earned: int, taken: int, owed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burn of 10 and a hold of 20 paid for one line, out of one lot, which gets 30 back."""
    # Older versions let both have one receipt, and what they took can come back for years.
    monkeypatch.setattr("ledger.keys._CLAIMED_AS", {})
    ledger = a_ledger(an_earn(30, expires_at=START + 9 * DAY))
    paid = {"pieces": 1, "price": 200}
    items = [(an_item(**paid, points_burned=points, money_off_micro=points),) for points in (10, 20)]
    submit(ledger, a_burn(10, partner=A, receipt=RECEIPT, items=items[0]))
    hold = accepted(ledger, an_authorization(20, partner=A, receipt=RECEIPT, items=items[1])).hold or 0
    submit(ledger, a_capture(hold, partner=A))
    purchase = accepted(ledger, an_earn(earned, receipt=RECEIPT)).operation
    submit(ledger, a_burn(earned))

    outcome = accepted(ledger, a_return(purchase))

    assert figures(outcome) == (30, 0, taken, owed)
    assert outcome.returned is not None
    assert outcome.returned.lines == (
        LineBack(line=0, quantity_milli=1_000, points_taken=earned, points_restored=30, money_micro=200 - 30),
    )


def test_an_earn_of_nothing_gives_nothing_back() -> None:
    ledger = a_ledger(an_earn(7))
    purchase = accepted(ledger, an_earn(0, items=(an_item(price=50),))).operation

    outcome = accepted(ledger, a_return(purchase))

    assert figures(outcome) == (0, 0, 0, 0)
    assert (last(ledger).lines, outcome.balance.available) == ((), 7)
    assert undone(ledger).returned.money_micro == 50


# Restoring what was burned


def test_burned_points_come_back_to_their_lots_the_last_taken_first() -> None:
    """60 were taken as 30, 20 and 10. First the last 20 of them come back, then 25, then 15."""
    days = (10, 20, 30)
    ledger = a_ledger(
        *(
            an_earn(points, obligor=8, tariff=4, expires_at=START + day * DAY)
            for points, day in zip((30, 20, 50), days, strict=True)
        )
    )
    items = (an_item(pieces=12, points_burned=60),)
    burned = accepted(ledger, a_burn(60, partner=B, terms=77, items=items)).operation
    lots = lots_of(ledger)

    backs = []
    for milli in (4_000, 5_000, 3_000):
        outcome = accepted(ledger, a_return(burned, (0, milli), partner=B))
        assert outcome.returned is not None
        assert outcome.returned.lots == tuple(
            LotBack(lot=line.lot, points=line.points, expires_at=line.expires_at)
            for line in last(ledger).lines
        )
        assert outcome.points == outcome.returned.restored
        backs.append(last(ledger).lines)

    def back(lot: Lot, points: int) -> Any:
        return line_of(lot, REDEEMED, AVAILABLE, points, redeemer=B, terms=77)

    assert backs == [
        (back(lots[2], 10), back(lots[1], 10)),
        (back(lots[1], 10), back(lots[0], 15)),
        (back(lots[0], 15),),
    ]
    assert last(ledger).new_lots == ()


def test_points_whose_lots_have_expired_come_back_to_children_for_a_fortnight() -> None:
    """Both lots are gone by the second of January, emptied or not, so both give a child."""
    ledger = a_ledger(
        an_earn(10, obligor=8, tariff=4, expires_at=START + DAY),
        an_earn(10, obligor=7, tariff=3, expires_at=START + DAY),
        an_earn(5),
    )
    burned = accepted(ledger, a_burn(17)).operation
    go_to(ledger, 1)

    outcome = accepted(ledger, a_return(burned, partner=B))

    second, first = last(ledger).new_lots
    parents = lots_of(ledger)
    assert [second.id, first.id] == [lot_id(outcome.operation, 0), lot_id(outcome.operation, 1)]
    assert [(lot.parent, lot.issuer, lot.obligor, lot.tariff) for lot in (second, first)] == [
        (parents[1].id, A, 7, 3),
        (parents[0].id, A, 8, 4),
    ]
    assert [(lot.earned, lot.available, lot.earned_at, lot.armed_at) for lot in (second, first)] == [
        (7, 7, START, START),
        (10, 10, START, START),
    ]
    assert {second.expires_at, first.expires_at} == {START + 16 * DAY}
    assert last(ledger).lines == (
        line_of(second, REDEEMED, AVAILABLE, 7, redeemer=B, terms=12),
        line_of(first, REDEEMED, AVAILABLE, 10, redeemer=B, terms=12),
    )


def test_a_burn_comes_back_to_who_paid_for_it_and_the_successor_takes_it_over() -> None:
    """Two lots of A's were burned and are C's by now; a third, B's own, changed hands with nobody."""
    ledger = a_ledger(
        an_earn(10, expires_at=START + DAY), an_earn(20, expires_at=START + 2 * DAY), an_earn(30, partner=B)
    )
    burn = accepted(ledger, a_burn(33)).operation
    accepted(ledger, a_novation(A, C, tariff=A))

    outcome = accepted(ledger, a_return(burn, partner=B))

    def taken_over(lot: Lot, points: int) -> tuple[Line, Line]:
        way = {"counterpart": outcome.operation}
        return (
            line_of(lot, IN_TRANSIT, ISSUED, points, obligor=A, **way),
            line_of(lot, ISSUED, IN_TRANSIT, points, obligor=C, **way),
        )

    first, second, third = lots_of(ledger)
    paid = {"redeemer": B, "terms": 12}
    assert last(ledger).lines == (
        line_of(third, REDEEMED, AVAILABLE, 3, **paid),
        line_of(second, REDEEMED, AVAILABLE, 20, obligor=A, **paid),
        line_of(first, REDEEMED, AVAILABLE, 10, obligor=A, **paid),
        *taken_over(second, 20),
        *taken_over(first, 10),
    )
    assert {lot.obligor for lot in (first, second)} == {C}
    assert last(ledger).points == 33
    assert outcome.balance.available == 60


def test_what_a_hold_was_captured_for_comes_back_to_who_paid_for_each_part() -> None:
    """Of one lot 12 are A's when they are captured, and 8 are C's, after a novation between the parts."""
    ledger = a_ledger(an_earn(30))
    hold = accepted(ledger, an_authorization(20, partner=B, terms=12)).operation
    accepted(ledger, a_capture(hold, 12, partner=B, final=False))
    accepted(ledger, a_novation(A, C, tariff=A))
    accepted(ledger, a_capture(hold, partner=B))

    accepted(ledger, a_return(hold, partner=B))

    (lot,) = lots_of(ledger)
    paid = {"redeemer": B, "terms": 12}
    assert last(ledger).lines[:2] == (
        line_of(lot, REDEEMED, AVAILABLE, 8, obligor=C, **paid),
        line_of(lot, REDEEMED, AVAILABLE, 12, obligor=A, **paid),
    )
    assert [(line.obligor, line.points) for line in last(ledger).lines[2:]] == [(A, 12), (C, 12)]


def test_a_copy_of_purchases_has_all_of_them_and_stays_as_it_is() -> None:
    ledger = a_ledger(an_earn(30))
    hold = accepted(ledger, an_authorization(20, partner=B)).operation
    accepted(ledger, a_capture(hold, 12, partner=B, final=False))
    purchases = ledger.wallet(MEMBER).purchases
    assert purchases is not None

    copy = purchases.copy()

    assert copy == purchases
    accepted(ledger, a_capture(hold, partner=B))
    assert sum(taken.points for taken in copy.captured[hold]) == 12


def test_what_was_forfeited_before_this_batch_counts_too() -> None:
    ledger = a_ledger()
    purchase = accepted(ledger, an_earn(50, obligor=A, expires_at=START + 2 * DAY)).operation
    go_to(ledger, 3)
    wallet = ledger.wallets[MEMBER]
    assert wallet.purchases is not None
    # As it is read: the lot is empty, and what it has forfeited stands beside it.
    (lot,) = lots_of(ledger)
    lot.forfeits = 0
    wallet.purchases.forfeited = {lot.id: 50}
    wallet.purchases = wallet.purchases.copy()

    outcome = accepted(ledger, a_return(purchase))

    assert outcome.returned is not None
    assert (outcome.returned.forfeited, outcome.returned.due) == (50, 0)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.lists(st.integers(0, 20), max_size=5))
def test_parts_restored_one_after_another_are_the_whole_from_its_end(
    sizes: list[int], asked: list[int]
) -> None:
    slices = [(lot, size, B) for lot, size in enumerate(sizes)]
    restored, back = 0, []
    for points in [*asked, sum(sizes)]:
        part = min(points, sum(sizes) - restored)
        back += [lot for lot, share, _ in newest_first(slices, restored, part) for _ in range(share)]
        restored += part

    assert back == [lot for lot, size, _ in reversed(slices) for _ in range(size)]


def test_more_than_was_redeemed_is_a_fault_of_ours() -> None:
    assert newest_first([(1, 5, A), (2, 5, B)], 3, 7) == [(2, 2, B), (1, 5, A)]
    with pytest.raises(ValueError, match=r"^more points are to be restored than were redeemed$"):
        newest_first([(1, 5, A), (2, 5, B)], 3, 8)


# What a purchase is


def test_a_purchase_is_all_that_was_posted_for_its_receipt() -> None:
    """An earn and a hold captured in part; of 50 points that were to pay, 31 did: 19 and 12 of the lines.

    At half of line 0 (200 in money, 19 of it in points) money is given back first: 100 of 181. The
    rest gives 81 and the 19 points. Line 1 gives 38 in money and 12 points, since it cost 50.
    """
    ledger = a_ledger(an_earn(100, partner=C))
    bought = (an_item(0, pieces=2, price=200, points_earned=20), an_item(1, price=50, points_earned=5))
    earn = accepted(ledger, an_earn(25, receipt=RECEIPT, items=bought)).operation
    paid = (
        an_item(0, pieces=2, price=200, points_burned=30, money_off_micro=30),
        an_item(1, price=50, points_burned=20, money_off_micro=20),
    )
    held = accepted(ledger, an_authorization(50, partner=A, receipt=RECEIPT, items=paid))
    assert held.hold is not None
    captured = accepted(ledger, a_capture(held.hold, 31, partner=A, final=True)).operation

    half = accepted(ledger, a_return(captured, (0, 1_000)))
    marks = undone(ledger).marks
    rest = accepted(ledger, a_return(earn))

    assert half.returned is not None
    assert rest.returned is not None
    assert (half.returned.purchase, rest.returned.purchase) == (earn, earn)
    assert half.returned.lines == (
        LineBack(line=0, quantity_milli=1_000, points_taken=10, points_restored=0, money_micro=100),
    )
    assert marks == (Mark(earn, 0, 1_000, 10, 100), Mark(held.operation, 0, 1_000, 0, 100))
    assert rest.returned.lines == (
        LineBack(line=0, quantity_milli=1_000, points_taken=10, points_restored=19, money_micro=81),
        LineBack(line=1, quantity_milli=1_000, points_taken=5, points_restored=12, money_micro=38),
    )
    assert undone(ledger).marks == (
        Mark(earn, 0, 2_000, 20, 181),
        Mark(held.operation, 0, 2_000, 19, 181),
        Mark(earn, 1, 1_000, 5, 38),
        Mark(held.operation, 1, 1_000, 12, 38),
    )
    assert rest.balance.available == 100


def test_points_that_a_hold_did_not_take_took_nothing_off() -> None:
    """7 of 10 points are captured: they took floor(99 × 7 / 10) = 69 off, so 31 were paid in money."""
    ledger = a_ledger(an_earn(50))
    items = (an_item(price=100, points_burned=10, money_off_micro=99), an_item(1, price=40))
    hold = accepted(ledger, an_authorization(10, items=items)).hold or 0
    submit(ledger, a_capture(hold, 7, final=True))

    outcome = accepted(ledger, a_return(hold, partner=B))

    assert outcome.returned is not None
    assert [(line.points_restored, line.money_micro) for line in outcome.returned.lines] == [(7, 31), (0, 40)]


def test_a_hold_captured_whole_is_returned_by_its_own_lines_in_any_order_of_captures() -> None:
    ledger = a_ledger(an_earn(6, expires_at=START + 9 * DAY), an_earn(50))
    items = (an_item(3, pieces=2, price=90, points_burned=10, money_off_micro=40),)
    hold = accepted(ledger, an_authorization(10, terms=77, items=items)).hold or 0
    first = accepted(ledger, a_capture(hold, 7)).operation
    submit(ledger, a_capture(hold))

    outcome = accepted(ledger, a_return(first, (3, 1_000), partner=B, refund_order=POINTS_FIRST))

    one, two = lots_of(ledger)
    assert last(ledger).lines == (
        line_of(two, REDEEMED, AVAILABLE, 4, redeemer=B, terms=77),
        line_of(one, REDEEMED, AVAILABLE, 6, redeemer=B, terms=77),
    )
    assert outcome.returned is not None
    assert outcome.returned.lines == (
        LineBack(line=3, quantity_milli=1_000, points_taken=0, points_restored=10, money_micro=5),
    )


def test_a_hold_without_lines_is_one_piece_of_what_was_captured() -> None:
    ledger = a_ledger(an_earn(50))
    hold = accepted(ledger, an_authorization(10)).hold or 0
    submit(ledger, a_capture(hold, 8, final=True))

    half = accepted(ledger, a_return(hold, (0, 500), partner=B))
    rest = accepted(ledger, a_return(hold, partner=B))

    assert [figures(each) for each in (half, rest)] == [(4, 0, 0, 0)] * 2
    assert rest.returned is not None
    assert rest.returned.lines == (
        LineBack(line=0, quantity_milli=500, points_taken=0, points_restored=4, money_micro=0),
    )


def test_a_hold_of_the_receipt_that_came_to_nothing_is_no_part_of_it() -> None:
    ledger = a_ledger(an_earn(50, partner=C))
    hold = accepted(ledger, an_authorization(10, partner=A, receipt=RECEIPT)).hold or 0
    submit(ledger, a_void(hold, partner=A))
    earn = accepted(ledger, an_earn(20, receipt=RECEIPT)).operation

    outcome = accepted(ledger, a_return(hold))

    assert figures(outcome) == (0, 0, 20, 0)
    assert undone(ledger).marks == (Mark(earn, 0, 1_000, 20, 0),)
    assert undone(ledger).returned.purchase == earn


def test_receipts_of_other_partners_and_outlets_are_other_purchases() -> None:
    ledger = a_ledger(an_earn(50, partner=C))
    earn = accepted(ledger, an_earn(20, receipt=RECEIPT)).operation
    submit(
        ledger,
        a_burn(5, partner=B, receipt=RECEIPT),
        a_burn(5, partner=A, outlet=4, receipt=RECEIPT),
        a_burn(5, partner=A, receipt=a_receipt("2")),
        a_burn(5, partner=A, receipt=msgspec.structs.replace(RECEIPT, terminal="2")),
        a_burn(5, partner=A),
    )

    assert figures(accepted(ledger, a_return(earn))) == (0, 0, 20, 0)


def test_a_purchase_happened_when_the_first_of_its_operations_did() -> None:
    """The earn of February is posted before the burn of January, whose till was offline."""
    ledger = a_ledger(an_earn(50, partner=C))
    go_to(ledger, 40)
    february = START + 40 * DAY
    earn = accepted(ledger, an_earn(20, receipt=RECEIPT, occurred_at=february)).operation
    burn = accepted(ledger, a_burn(5, partner=A, receipt=RECEIPT)).operation

    outcome = accepted(ledger, a_return(burn, occurred_at=february))

    assert outcome.returned is not None
    assert (outcome.returned.purchase, undone(ledger).origin_period) == (earn, 1)
    alone = accepted(ledger, an_earn(20, occurred_at=february)).operation
    submit(ledger, a_return(alone, occurred_at=february))
    assert undone(ledger).origin_period == 2


def test_of_two_receipts_for_one_line_the_larger_counts() -> None:
    """The earn says two pieces for 100, the burn three for 150: a third of it comes back."""
    ledger = a_ledger(an_earn(50, partner=C))
    earn = accepted(
        ledger, an_earn(20, receipt=RECEIPT, items=(an_item(pieces=2, price=100, points_earned=20),))
    ).operation
    paid = (an_item(pieces=3, price=150, points_burned=30, money_off_micro=30),)
    submit(ledger, a_burn(30, partner=A, receipt=RECEIPT, items=paid))

    outcome = accepted(ledger, a_return(earn, (0, 1_000), refund_order=PROPORTIONAL))

    assert outcome.returned is not None
    assert outcome.returned.lines == (
        LineBack(line=0, quantity_milli=1_000, points_taken=6, points_restored=10, money_micro=40),
    )


def test_an_operation_that_has_nothing_on_a_line_gives_nothing_for_it() -> None:
    """Points were earned on one line and burned on another, and each comes back by itself."""
    ledger = a_ledger(an_earn(50, partner=C))
    earn = accepted(ledger, an_earn(20, receipt=RECEIPT, items=(an_item(0, points_earned=20),))).operation
    items = (an_item(1, points_burned=10),)
    burn = accepted(ledger, a_burn(10, partner=A, receipt=RECEIPT, items=items)).operation

    one = accepted(ledger, a_return(earn, (0, 1_000)))
    assert undone(ledger).marks == (Mark(earn, 0, 1_000, 20, 0),)
    other = accepted(ledger, a_return(earn, (1, 1_000)))
    assert undone(ledger).marks == (Mark(burn, 1, 1_000, 10, 0),)

    assert [figures(one), figures(other)] == [(0, 0, 20, 0), (10, 0, 0, 0)]


def test_a_thousandth_of_a_piece_is_a_line_and_so_is_less() -> None:
    ledger = a_ledger()
    for milli in (1, 0):
        item = msgspec.structs.replace(an_item(points_earned=9), quantity_milli=milli)
        earn = accepted(ledger, an_earn(9, items=(item,))).operation
        outcome = accepted(ledger, a_return(earn))

        assert outcome.returned is not None
        assert [line.quantity_milli for line in outcome.returned.lines] == [1]
        assert figures(outcome) == (0, 0, 9, 0)


# How much comes back


@pytest.mark.parametrize(
    ("order", "half", "rest"),
    [(MONEY_FIRST, (0, 50), (30, 20)), (POINTS_FIRST, (30, 20), (0, 50)), (PROPORTIONAL, (15, 35), (15, 35))],
)
def test_half_a_coat_gives_back_first_what_was_asked_for(
    order: str, half: tuple[int, int], rest: tuple[int, int]
) -> None:
    ledger = a_ledger(an_earn(30))
    items = (an_item(price=100, points_burned=30, money_off_micro=30),)
    burn = accepted(ledger, a_burn(30, items=items)).operation

    backs = []
    for lines in (((0, 500),), ()):
        outcome = accepted(ledger, a_return(burn, *lines, partner=B, refund_order=order))
        assert outcome.returned is not None
        (line,) = outcome.returned.lines
        backs.append((line.points_restored, line.money_micro))

    assert backs == [half, rest]


def test_money_is_given_back_in_units_that_can_be_paid() -> None:
    """A third of 100 is 33; in units of 10 that is 30, and the thirds add up to the whole."""
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(0, items=(an_item(pieces=3, price=100),))).operation

    money = []
    for _ in range(3):
        submit(ledger, a_return(earn, (0, 1_000), minor_micro=10))
        money.append(undone(ledger).returned.money_micro)

    assert money == [30, 30, 40]


def test_a_line_that_is_named_twice_comes_back_by_the_sum_and_lines_come_in_order() -> None:
    items = (an_item(1, pieces=4, points_earned=40), an_item(0, pieces=2, points_earned=10))
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(50, items=items)).operation

    outcome = accepted(ledger, a_return(earn, (1, 1_000), (0, 2_000), (1, 2_000)))
    rest = accepted(ledger, a_return(earn))

    assert outcome.returned is not None
    assert [(line.line, line.quantity_milli, line.points_taken) for line in outcome.returned.lines] == [
        (0, 2_000, 10),
        (1, 3_000, 30),
    ]
    assert rest.returned is not None
    assert [(line.line, line.quantity_milli, line.points_taken) for line in rest.returned.lines] == [
        (1, 1_000, 10)
    ]


def test_no_more_comes_back_than_was_bought_and_the_refusal_says_how_much_can() -> None:
    items = (an_item(0, pieces=2, points_earned=60), an_item(1, points_earned=40))
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(100, items=items)).operation

    def no(*lines: tuple[int, int]) -> str:
        refusal = refused(ledger, a_return(earn, *lines))
        assert (refusal.code, refusal.field) == ("RETURN_EXCEEDS_ORIGINAL", ("lines",))
        return refusal.message

    assert no((0, 2_001)) == "of line 0, 2 can come back and 2.001 should"
    assert no((1, 500), (1, 600)) == "of line 1, 1 can come back and 1.1 should"
    assert no((2, 1)) == "the purchase has no line 2"
    submit(ledger, a_return(earn, (0, 1_500)))
    assert no((0, 12_340)) == "of line 0, 0.5 can come back and 12.34 should"
    submit(ledger, a_return(earn))
    assert no((1, 10_000)) == "of line 1, 0 can come back and 10 should"
    assert no() == "everything has come back already"


def test_an_earn_that_comes_after_part_of_its_receipt_came_back_is_made_up_for() -> None:
    """Of three pieces one is back before the earn of 30 arrives. The second takes 20, not 10."""
    ledger = a_ledger(an_earn(60, partner=C))
    burn = accepted(
        ledger, a_burn(60, partner=A, receipt=RECEIPT, items=(an_item(pieces=3, points_burned=60),))
    ).operation
    submit(ledger, a_return(burn, (0, 1_000)))
    earn = accepted(
        ledger, an_earn(30, receipt=RECEIPT, items=(an_item(pieces=3, points_earned=30),))
    ).operation

    second = accepted(ledger, a_return(burn, (0, 1_000)))
    assert undone(ledger).marks == (Mark(burn, 0, 2_000, 40, 0), Mark(earn, 0, 2_000, 20, 0))
    rest = accepted(ledger, a_return(earn))

    assert [figures(second), figures(rest)] == [(20, 0, 20, 0), (20, 0, 10, 0)]


def test_nothing_that_was_given_is_asked_back_when_more_joins_the_receipt() -> None:
    """One of two pieces came back for 50 and 10 points. Then the receipt grows to eight pieces, 80 off.

    A quarter of it (two pieces of eight) would be 20 in money and 5 points: less than was given, so
    nothing moves but the quantity and the points that were burned.
    """
    ledger = a_ledger(an_earn(80, partner=C))
    bought = (an_item(pieces=2, price=100, points_earned=20),)
    earn = accepted(ledger, an_earn(20, receipt=RECEIPT, items=bought)).operation
    submit(ledger, a_return(earn, (0, 1_000)))
    paid = (an_item(pieces=8, price=100, points_burned=40, money_off_micro=80),)
    burn = accepted(ledger, a_burn(40, partner=A, receipt=RECEIPT, items=paid)).operation

    outcome = accepted(ledger, a_return(earn, (0, 1_000), refund_order=PROPORTIONAL))

    assert outcome.returned is not None
    assert outcome.returned.lines == (
        LineBack(line=0, quantity_milli=1_000, points_taken=0, points_restored=10, money_micro=0),
    )
    assert undone(ledger).marks == (Mark(earn, 0, 2_000, 10, 50), Mark(burn, 0, 2_000, 10, 50))


def test_restored_points_are_not_asked_back_either() -> None:
    """A half is back by points first, all 30 of them; in proportion three quarters would be 22."""
    ledger = a_ledger(an_earn(30))
    items = (an_item(price=100, points_burned=30, money_off_micro=30),)
    burn = accepted(ledger, a_burn(30, items=items)).operation
    submit(ledger, a_return(burn, (0, 500), partner=B, refund_order=POINTS_FIRST))

    outcome = accepted(ledger, a_return(burn, (0, 250), partner=B, refund_order=PROPORTIONAL))

    assert outcome.returned is not None
    assert [(line.points_restored, line.money_micro) for line in outcome.returned.lines] == [(0, 32)]


@st.composite
def a_purchase_and_its_returns(draw: st.DrawFn) -> tuple[list[Any], list[Any], list[tuple[int, int]], str]:
    """Lines that earned, the same as they were paid for, the parts in which they come back, the order."""
    bought, paid, parts = [], [], []
    for number in range(draw(st.integers(1, 3))):
        pieces, off = draw(st.integers(1, 4)), draw(st.integers(0, 50))
        price = off + draw(st.integers(0, 200))
        earned, burned = draw(st.integers(0, 30)), draw(st.integers(0, 40))
        bought.append(an_item(number, pieces=pieces, price=price, points_earned=earned))
        paid.append(an_item(number, pieces=pieces, price=price, points_burned=burned, money_off_micro=off))
        cuts = sorted({*draw(st.lists(st.integers(1, pieces * 1_000 - 1), max_size=3)), pieces * 1_000})
        parts += [(number, after - before) for before, after in zip([0, *cuts], cuts, strict=False)]
    order = draw(st.sampled_from((MONEY_FIRST, POINTS_FIRST, PROPORTIONAL)))
    return bought, paid, draw(st.permutations(parts)), order


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(a_purchase_and_its_returns())
def test_any_sequence_of_partial_returns_leaves_what_one_full_return_leaves(
    drawn: tuple[list[Any], list[Any], list[tuple[int, int]], str],
) -> None:
    bought, paid, parts, order = drawn
    earned = sum(item.points_earned for item in bought)
    burned = sum(item.points_burned for item in paid)

    def after(returns: Sequence[tuple[tuple[int, int], ...]]) -> tuple[Any, ...]:
        ledger = a_ledger(an_earn(60, partner=C), an_earn(60, partner=C, expires_at=FAR + DAY))
        purchase = accepted(ledger, an_earn(earned, receipt=RECEIPT, items=tuple(bought))).operation
        if burned:
            submit(ledger, a_burn(burned, partner=A, receipt=RECEIPT, items=tuple(paid)))
        outcomes = [accepted(ledger, a_return(purchase, *each, refund_order=order)) for each in returns]
        backs = [outcome.returned for outcome in outcomes if outcome.returned is not None]
        left = [(lot.issuer, lot.available) for lot in lots_of(ledger) if lot.available]
        return (
            sum(back.money_micro for back in backs),
            sum(back.restored for back in backs),
            sum(back.taken + back.due for back in backs),
            left,
            dict(ledger.flows),
        )

    whole = after([()])
    assert whole[1:3] == (burned, earned)
    assert whole[3] == [(C, 60), (C, 60)]
    assert after([(part,) for part in parts])[:4] == whole[:4]


# What cannot be returned


def test_strangers_operations_are_not_found_and_not_told_from_none() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(10)).operation
    not_found = Refused(code="OPERATION_NOT_FOUND", message="no such operation", field=("operation",))

    for undo in (a_return, a_reversal):
        assert refused(ledger, undo(earn, partner=B)) == not_found
        assert refused(ledger, undo(earn + 500)) == not_found
        assert refused(ledger, undo(earn, member=MEMBER + 1)) == not_found
    with pytest.raises(OperationNotFound):
        decide(new_wallet(MEMBER), a_return(earn), Situation(1, START, UTC_ZONE))


def test_nothing_was_bought_with_a_return_a_grant_or_what_was_refused() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(10)).operation
    returned = accepted(ledger, a_return(earn)).operation
    grant = accepted(ledger, a_grant(10)).operation
    (burn,) = submit(ledger, a_burn(99, partner=A))

    for operation in (returned, grant, burn.operation):
        refusal = refused(ledger, a_return(operation))
        assert (refusal.code, refusal.field) == ("NOT_RETURNABLE", ("operation",))
        assert refusal.message == "nothing was bought with this operation"


def test_points_that_are_still_held_are_to_be_captured_or_voided_first() -> None:
    ledger = a_ledger(an_earn(50, partner=C))
    earn = accepted(ledger, an_earn(10, receipt=RECEIPT)).operation
    hold = accepted(ledger, an_authorization(10, partner=A, receipt=RECEIPT)).hold or 0

    refusal = refused(ledger, a_return(earn))

    assert (refusal.code, refusal.retryable) == ("HOLD_OPEN", True)
    submit(ledger, a_capture(hold, 4, partner=A))
    assert refused(ledger, a_return(earn)).code == "HOLD_OPEN"
    submit(ledger, a_void(hold, partner=A))
    assert figures(accepted(ledger, a_return(earn))) == (4, 0, 10, 0)


def test_a_hold_that_came_to_nothing_cannot_be_returned() -> None:
    ledger = a_ledger(an_earn(50))
    voided = accepted(ledger, an_authorization(10)).hold or 0
    lapsed = accepted(ledger, an_authorization(10)).hold or 0
    submit(ledger, a_void(voided))
    go_to(ledger, 1)

    for hold in (voided, lapsed):
        for undo in (a_return, a_reversal):
            refusal = refused(ledger, undo(hold, partner=B))
            assert refusal.code == "NOT_RETURNABLE"
    assert refused(ledger, a_return(lapsed, partner=B)).message == (
        "the hold of this purchase was voided or has lapsed: its points are back already"
    )
    assert refused(ledger, a_reversal(lapsed, partner=B)).message == (
        "the hold was voided or has lapsed: its points are back already"
    )
