"""Deciding reversals without a database: what was posted by mistake is undone whole, and once."""

from __future__ import annotations

from datetime import timedelta

from ledger.accounts import AVAILABLE, CANCELLED, CLAWBACK_DUE, HELD, REDEEMED
from ledger.dues import Due
from ledger.journal import Journal, Undoing
from ledger.outcomes import LotBack, Returned
from ledger.returned import WHOLE, Mark

from .builders import (
    FAR,
    START,
    A,
    B,
    C,
    a_burn,
    a_capture,
    a_receipt,
    a_return,
    a_reversal,
    a_void,
    an_authorization,
    an_earn,
    an_item,
)
from .memory import (
    DAY,
    TOKYO,
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


def test_a_reversed_earn_is_taken_back_whole_and_marked_once() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(100, obligor=8, tariff=4, items=(an_item(points_earned=100),))).operation
    submit(ledger, a_burn(70))

    outcome = accepted(ledger, a_reversal(earn))

    (lot,) = lots_of(ledger)
    due = Due(outcome.operation, A, 8, 4, earn, 70, 70)
    assert last(ledger) == Journal(
        kind="reverse",
        points=0,
        lines=(line_of(lot, AVAILABLE, CANCELLED, 30), line_of(lot, CLAWBACK_DUE, CANCELLED, 70)),
        undoes=Undoing(
            Returned(purchase=earn, cancelled=0, taken=30, due=70, lots=()),
            (Mark(earn, WHOLE, 0, 100, 0),),
            origin_period=1,
            due=due,
        ),
    )
    again = refused(ledger, a_reversal(earn))
    assert (again.code, again.message) == ("ALREADY_REVERSED", "this operation was reversed already")
    assert refused(ledger, a_return(earn)).code == "ALREADY_REVERSED"


def test_a_reversed_earn_that_is_pending_is_cancelled() -> None:
    ledger = a_ledger(an_earn(5))
    earn = accepted(ledger, an_earn(100, available_at=START + DAY)).operation

    outcome = accepted(ledger, a_reversal(earn))

    assert figures(outcome) == (0, 100, 0, 0)
    assert outcome.balance.available == 5
    assert undone(ledger).marks == (Mark(earn, WHOLE, 0, 100, 0),)


def test_a_reversed_burn_gives_every_point_back() -> None:
    ledger = a_ledger(an_earn(60, expires_at=START + 40 * DAY), an_earn(60, obligor=8, tariff=4))
    burn = accepted(ledger, a_burn(100, partner=B, terms=77)).operation
    go_to(ledger, 45)

    outcome = accepted(ledger, a_reversal(burn, partner=B, occurred_at=START + 45 * DAY))

    _, later, child = lots_of(ledger)
    assert last(ledger) == Journal(
        kind="reverse",
        points=100,
        lines=(
            line_of(later, REDEEMED, AVAILABLE, 40, redeemer=B, terms=77),
            line_of(child, REDEEMED, AVAILABLE, 60, redeemer=B, terms=77),
        ),
        new_lots=(child,),
        undoes=Undoing(
            Returned(
                purchase=burn,
                lots=(
                    LotBack(lot=later.id, points=40, expires_at=FAR),
                    LotBack(lot=child.id, points=60, expires_at=START + 60 * DAY),
                ),
            ),
            (Mark(burn, WHOLE, 0, 100, 0),),
            origin_period=1,
        ),
    )
    assert child.expires_at == START + 60 * DAY
    assert outcome.balance.available == 120


def test_a_reversed_hold_is_voided_and_what_was_captured_of_it_restored() -> None:
    """Both come back to children, since the lot is gone: first what was held, then what was captured."""
    ledger = a_ledger(an_earn(100, obligor=8, tariff=4, expires_at=START + DAY))
    held = accepted(ledger, an_authorization(90, terms=77, expires_at=START + 9 * DAY))
    hold = held.hold or 0
    submit(ledger, a_capture(hold, 50))
    go_to(ledger, 2)

    outcome = accepted(ledger, a_reversal(hold, partner=B))

    _, first, second = lots_of(ledger)
    assert [first.earned, second.earned] == [40, 50]
    assert last(ledger) == Journal(
        kind="reverse",
        points=90,
        lines=(
            line_of(first, HELD, AVAILABLE, 40, hold=hold, slice_no=0, expired_at=START + DAY),
            line_of(second, REDEEMED, AVAILABLE, 50, redeemer=B, terms=77),
        ),
        new_lots=(first, second),
        hold=hold,
        closes=True,
        undoes=Undoing(
            Returned(purchase=hold, lots=(LotBack(lot=second.id, points=50, expires_at=START + 17 * DAY),)),
            (Mark(hold, WHOLE, 0, 50, 0),),
            origin_period=1,
        ),
    )
    assert outcome.balance.available == 90
    for command, code in (
        (a_reversal(hold, partner=B), "ALREADY_REVERSED"),
        (a_return(hold, partner=B), "ALREADY_REVERSED"),
        (a_capture(hold), "HOLD_CLOSED"),
    ):
        assert refused(ledger, command).code == code


def test_a_hold_that_nothing_was_captured_of_is_voided_by_its_reversal() -> None:
    ledger = a_ledger(an_earn(30), an_earn(30))
    hold = accepted(ledger, an_authorization(40)).hold or 0

    outcome = accepted(ledger, a_reversal(hold, partner=B))

    one, two = lots_of(ledger)
    assert last(ledger).lines == (
        line_of(one, HELD, AVAILABLE, 30, hold=hold, slice_no=0),
        line_of(two, HELD, AVAILABLE, 10, hold=hold, slice_no=1),
    )
    assert (outcome.points, figures(outcome), last(ledger).new_lots) == (40, (0, 0, 0, 0), ())


def test_slices_that_are_captured_whole_are_not_given_back() -> None:
    ledger = a_ledger(an_earn(30), an_earn(30))
    hold = accepted(ledger, an_authorization(40)).hold or 0
    submit(ledger, a_capture(hold, 30))

    submit(ledger, a_reversal(hold, partner=B))

    one, two = lots_of(ledger)
    assert last(ledger).lines == (
        line_of(two, HELD, AVAILABLE, 10, hold=hold, slice_no=1),
        line_of(one, REDEEMED, AVAILABLE, 30, redeemer=B, terms=12),
    )


def test_a_closed_hold_gives_back_what_was_captured_and_is_not_closed_again() -> None:
    ledger = a_ledger(an_earn(50))
    hold = accepted(ledger, an_authorization(40)).hold or 0
    submit(ledger, a_capture(hold, 10), a_capture(hold, 5, final=True))

    outcome = accepted(ledger, a_reversal(hold, partner=B))

    (lot,) = lots_of(ledger)
    assert last(ledger).lines == (line_of(lot, REDEEMED, AVAILABLE, 15, redeemer=B, terms=12),)
    assert (last(ledger).hold, last(ledger).closes, outcome.points) == (0, False, 15)


def test_a_capture_is_reversed_when_it_was_its_holds_only_one() -> None:
    ledger = a_ledger(an_earn(100))
    holds = [accepted(ledger, an_authorization(40)).hold or 0 for _ in range(2)]
    early = accepted(ledger, a_capture(holds[0], 30)).operation
    refusal = refused(ledger, a_reversal(early, partner=B))
    assert (refusal.code, refusal.retryable) == ("HOLD_OPEN", True)
    submit(ledger, a_void(holds[0]))
    part = accepted(ledger, a_capture(holds[1], 30)).operation
    submit(ledger, a_capture(holds[1]))

    outcome = accepted(ledger, a_reversal(early, partner=B))
    refusal = refused(ledger, a_reversal(part, partner=B))

    assert undone(ledger).marks == (Mark(holds[0], WHOLE, 0, 30, 0),)
    assert outcome.balance.available == 60
    assert (refusal.code, refusal.message) == (
        "NOT_RETURNABLE",
        "the hold was captured in parts: reverse the hold, or return the goods",
    )
    assert refused(ledger, a_reversal(early, partner=B)).code == "ALREADY_REVERSED"


def test_what_has_come_back_in_part_is_not_reversed_nor_is_what_undid_it() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(100, items=(an_item(pieces=2, points_earned=100),))).operation
    returned = accepted(ledger, a_return(earn, (0, 1_000))).operation

    refusal = refused(ledger, a_reversal(earn))
    assert refusal.code == "ALREADY_RETURNED"
    refusal = refused(ledger, a_reversal(returned))
    assert (refusal.code, refusal.message) == (
        "NOT_RETURNABLE",
        "only an earn, a burn, a hold or its capture can be reversed",
    )


def test_the_rest_of_a_receipt_can_be_returned_after_one_of_its_operations_was_reversed() -> None:
    """The burn is undone, so two pieces for 200 were paid in money alone."""
    ledger = a_ledger(an_earn(50, partner=C))
    lines = {"pieces": 2, "price": 200}
    earn = accepted(
        ledger, an_earn(10, receipt=RECEIPT, items=(an_item(**lines, points_earned=10),))
    ).operation
    items = (an_item(**lines, points_burned=50, money_off_micro=50),)
    burn = accepted(ledger, a_burn(50, partner=A, receipt=RECEIPT, items=items)).operation

    submit(ledger, a_reversal(burn))
    back = accepted(ledger, a_return(burn))

    assert back.returned is not None
    assert (back.returned.purchase, back.returned.money_micro) == (earn, 200)
    assert back.balance.available == 50


def test_what_comes_back_too_late_lives_until_the_end_of_a_day_of_the_programmes_time_zone() -> None:
    """At eight in the evening of the third it is the fourth in Tokyo: the 18th there ends at 15:00 UTC."""
    ledger = a_ledger(an_earn(10, expires_at=START + DAY), zone=TOKYO)
    burn = accepted(ledger, a_burn(10)).operation
    go_to(ledger, 2 + 20 / 24)

    submit(ledger, a_reversal(burn, partner=B))

    assert lots_of(ledger)[-1].expires_at == START + 17 * DAY + timedelta(hours=15)


def test_a_reversed_earn_tells_what_had_expired() -> None:
    ledger = a_ledger(an_earn(9))
    earn = accepted(ledger, an_earn(50, expires_at=START + DAY)).operation
    go_to(ledger, 2)

    outcome = accepted(ledger, a_reversal(earn))

    assert last(ledger).lines == ()
    assert outcome.returned == Returned(purchase=earn, forfeited=50)
    assert (outcome.balance.available, outcome.balance.clawback_due) == (9, 0)
