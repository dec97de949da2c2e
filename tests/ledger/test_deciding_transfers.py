"""Deciding transfers without a database: points leave, arrive with all that they are, or come back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from ledger.accounts import AVAILABLE, IN_TRANSIT
from ledger.commands import Arrive, Conclude
from ledger.decide import Situation, decide
from ledger.journal import Journal
from ledger.kernel.ids import compose
from ledger.lots import Lot
from ledger.refusals import AheadOfClock
from ledger.transits import Conclusion, Transit
from ledger.wallet import lot_id

from .builders import (
    FAR,
    MEMBER,
    START,
    B,
    a_burn,
    a_freeze,
    a_return,
    a_transfer,
    an_earn,
)
from .memory import (
    DAY,
    TOKYO,
    UTC_ZONE,
    a_ledger,
    accepted,
    drive,
    go_to,
    last,
    line_of,
    lots_of,
    part_of,
    refused,
    submit,
)

FRIEND = compose(40, 1)
THIRD = compose(50, 1)


def what_it_is(lot: Lot) -> tuple[Any, ...]:
    """All that a lot at the other end inherits."""
    return lot.issuer, lot.obligor, lot.tariff, lot.earned_at, lot.expires_at, lot.available_at, lot.armed_at


def test_a_transfer_takes_the_soonest_to_expire_first_and_sends_all_that_they_are() -> None:
    ledger = a_ledger(
        an_earn(60, obligor=8, tariff=4), an_earn(50, obligor=9, tariff=5, expires_at=FAR - DAY)
    )

    outcome = accepted(ledger, a_transfer(70, to_member=FRIEND))

    late, early = lots_of(ledger)
    operation = outcome.operation
    assert last(ledger) == Journal(
        kind="transfer",
        points=70,
        lines=(
            line_of(early, AVAILABLE, IN_TRANSIT, 50, counterpart=operation),
            line_of(late, AVAILABLE, IN_TRANSIT, 20, counterpart=operation),
        ),
        reference=operation,
        sends=Transit(
            operation,
            "transfer",
            MEMBER,
            FRIEND,
            START,
            (part_of(early, AVAILABLE, 50), part_of(late, AVAILABLE, 20)),
        ),
    )
    assert outcome.balance.available == 40


def test_points_that_travel_twice_know_the_lot_in_which_they_were_earned() -> None:
    ledger = a_ledger(an_earn(60))
    (earned,) = lots_of(ledger)

    for sender, recipient in ((MEMBER, FRIEND), (FRIEND, MEMBER)):
        accepted(ledger, a_transfer(60, member=sender, to_member=recipient))
        drive(ledger)

    (abroad,) = lots_of(ledger, FRIEND)
    assert [lot.parent for lot in lots_of(ledger)] == [None, earned.id]
    assert abroad.parent == earned.id


def test_points_arrive_in_lots_that_inherit_everything() -> None:
    ledger = a_ledger(
        an_earn(60, obligor=8, tariff=4), an_earn(50, obligor=9, tariff=5, expires_at=FAR - DAY)
    )
    sent = accepted(ledger, a_transfer(70, to_member=FRIEND)).operation
    (transit,) = ledger.transits()
    go_to(ledger, 2)

    arrival = accepted(ledger, Arrive.of(transit))

    late, early = lots_of(ledger)
    first, second = lots_of(ledger, FRIEND)
    assert [first.id, second.id] == [lot_id(arrival.operation, 0), lot_id(arrival.operation, 1)]
    assert [what_it_is(first), what_it_is(second)] == [what_it_is(early), what_it_is(late)]
    assert [(lot.parent, lot.earned, lot.available) for lot in (first, second)] == [
        (early.id, 50, 50),
        (late.id, 20, 20),
    ]
    assert last(ledger) == Journal(
        kind="transfer_in",
        points=70,
        lines=(
            line_of(first, IN_TRANSIT, AVAILABLE, 50, counterpart=sent),
            line_of(second, IN_TRANSIT, AVAILABLE, 20, counterpart=sent),
        ),
        new_lots=(first, second),
        reference=sent,
    )

    accepted(ledger, Conclude.of(transit))
    assert last(ledger) == Journal(
        kind="transfer_done", points=0, reference=sent, concludes=Conclusion(sent, "arrived")
    )
    assert ledger.transits() == []


def test_points_that_were_released_arrive_as_available_at_once() -> None:
    ledger = a_ledger(an_earn(60, available_at=START + DAY))
    go_to(ledger, 1)
    accepted(ledger, a_transfer(25, to_member=FRIEND))

    drive(ledger)

    (lot,) = lots_of(ledger, FRIEND)
    assert (lot.available, lot.pending, lot.available_at, lot.armed_at) == (25, 0, None, START + DAY)


def test_points_whose_time_passes_on_their_way_may_be_spent_for_a_fortnight() -> None:
    ledger = a_ledger(an_earn(60, expires_at=START + DAY))
    accepted(ledger, a_transfer(25, to_member=FRIEND))
    go_to(ledger, 1)

    drive(ledger)

    (lot,) = lots_of(ledger, FRIEND)
    assert (lot.available, lot.expires_at) == (25, START + 16 * DAY)
    journal = ledger.journals[-2][1]
    assert journal.lines[0].expires_at == START + 16 * DAY


def test_the_fortnight_of_points_on_their_way_ends_with_a_day_of_the_programmes_time_zone() -> None:
    """At eight in the evening of the second it is the third in Tokyo: the 17th there ends at 15:00 UTC."""
    ledger = a_ledger(an_earn(60, expires_at=START + DAY), zone=TOKYO)
    accepted(ledger, a_transfer(25, to_member=FRIEND))
    go_to(ledger, 1 + 20 / 24)

    drive(ledger)

    assert lots_of(ledger, FRIEND)[0].expires_at == START + 16 * DAY + timedelta(hours=15)


def test_points_that_nobody_was_told_of_arrive_as_they_were() -> None:
    ledger = a_ledger(an_earn(60, expires_at=START + DAY), has_notices=True)
    accepted(ledger, a_transfer(25, to_member=FRIEND))
    go_to(ledger, 2)

    drive(ledger)

    (lot,) = lots_of(ledger, FRIEND)
    assert (lot.available, lot.expires_at, lot.armed_at) == (25, START + DAY, None)


@pytest.mark.parametrize(
    ("points", "to_member", "code", "field", "message"),
    [
        (101, FRIEND, "INSUFFICIENT_POINTS", "points", "101 points needed, 100 available"),
        (0, FRIEND, "INVALID_INPUT", "points", "more than 0 points are transferred"),
        (-5, FRIEND, "INVALID_INPUT", "points", "more than 0 points are transferred"),
        (10, MEMBER, "TRANSFER_TO_SELF", "to", "points are transferred to somebody else"),
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused(
    points: int, to_member: int, code: str, field: str, message: str
) -> None:
    ledger = a_ledger(an_earn(100))

    refusal = refused(ledger, a_transfer(points, to_member=to_member))

    assert (refusal.code, refusal.field, refusal.message) == (code, (field,), message)


def test_one_point_may_be_transferred() -> None:
    ledger = a_ledger(an_earn(1))
    accepted(ledger, a_transfer(1, to_member=FRIEND))
    drive(ledger)
    assert ledger.wallets[FRIEND].available == 1


def test_a_leg_waits_for_a_clock_that_is_behind_the_one_it_left_by() -> None:
    ledger = a_ledger(an_earn(60))
    accepted(ledger, a_transfer(25, to_member=FRIEND))
    (transit,) = ledger.transits()
    friend, leg = ledger.wallet(FRIEND), Arrive.of(transit)

    with pytest.raises(AheadOfClock):
        decide(friend, leg, Situation(compose(40, 1), START - timedelta(microseconds=1), UTC_ZONE))
    assert decide(friend, leg, Situation(compose(40, 1), START, UTC_ZONE)).points == 25


def test_what_a_frozen_member_refuses_goes_back_to_the_very_lots() -> None:
    ledger = a_ledger(an_earn(60, obligor=8, tariff=4), an_earn(50, obligor=9, expires_at=FAR - DAY))
    submit(ledger, a_freeze(member=FRIEND))
    sent = accepted(ledger, a_transfer(70, to_member=FRIEND)).operation

    drive(ledger)

    late, early = lots_of(ledger)
    assert last(ledger) == Journal(
        kind="transfer_back",
        points=70,
        lines=(
            line_of(early, IN_TRANSIT, AVAILABLE, 50, counterpart=sent),
            line_of(late, IN_TRANSIT, AVAILABLE, 20, counterpart=sent),
        ),
        reference=sent,
        concludes=Conclusion(sent, "returned", "MEMBER_FROZEN"),
    )
    assert (late.available, early.available) == (60, 50)


def test_points_that_go_back_to_a_lot_whose_time_has_passed_go_to_a_child_of_it() -> None:
    ledger = a_ledger(an_earn(60), an_earn(50, obligor=9, tariff=5, expires_at=START + DAY))
    submit(ledger, a_freeze(member=FRIEND))
    sent = accepted(ledger, a_transfer(70, to_member=FRIEND)).operation
    go_to(ledger, 1)

    drive(ledger)

    whole, gone, child = lots_of(ledger)
    assert child.id == lot_id(sent + 1, 0)
    assert (child.parent, child.earned, child.expires_at) == (gone.id, 50, START + 16 * DAY)
    assert last(ledger).new_lots == (child,)
    assert last(ledger).lines == (
        line_of(whole, IN_TRANSIT, AVAILABLE, 20, counterpart=sent),
        line_of(child, IN_TRANSIT, AVAILABLE, 50, counterpart=sent),
    )
    assert last(ledger).points == 70
    assert ledger.wallets[MEMBER].available == 110


def test_a_transit_is_concluded_once_and_where_it_began() -> None:
    ledger = a_ledger(an_earn(60), an_earn(1, member=FRIEND))
    accepted(ledger, a_transfer(25, to_member=FRIEND))
    (transit,) = ledger.transits()
    accepted(ledger, Arrive.of(transit))
    end = Conclude.of(transit)

    elsewhere = msgspec.structs.replace(end, member=FRIEND)
    assert refused(ledger, elsewhere).code == "TRANSFER_NOT_FOUND"
    for wrong in ({"member": FRIEND}, {"state": "arrived"}):
        wallet = ledger.wallets[MEMBER]
        wallet.transits[transit.id] = msgspec.structs.replace(transit, **wrong)
        assert refused(ledger, end).code == "TRANSFER_NOT_FOUND"
    wallet.transits[transit.id] = transit
    accepted(ledger, end)
    assert refused(ledger, end).code == "TRANSFER_NOT_FOUND"


def test_points_that_are_sent_pay_what_their_recipient_owes() -> None:
    ledger = a_ledger(an_earn(100, partner=B, member=FRIEND))
    earn = accepted(ledger, an_earn(60)).operation
    submit(ledger, a_burn(60), a_return(earn), a_transfer(90, member=FRIEND, to_member=MEMBER))

    drive(ledger)

    assert ledger.wallets[MEMBER].balance().shown == 30
    assert ledger.wallets[MEMBER].clawback_due == 0
