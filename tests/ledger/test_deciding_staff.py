"""Deciding without a database what no till asks for: notices, freezes, grants, adjustments; and counters."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from ledger import Command, windows
from ledger.accounts import ADJUST, AVAILABLE, ISSUED
from ledger.allowances import Allowance
from ledger.commands import Arrive, Conclude, Refused
from ledger.decide import Situation, decide, follows_survivor, kind_of
from ledger.journal import Journal, LotChange
from ledger.kernel.ids import compose
from ledger.lots import Lot
from ledger.outcomes import Counted
from ledger.refusals import LimitExceeded, MemberFrozen
from ledger.transits import Transit
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
    a_counter,
    a_donation,
    a_freeze,
    a_grant,
    a_merge,
    a_return,
    a_reversal,
    a_transfer,
    a_void,
    an_adjustment,
    an_arming,
    an_authorization,
    an_earn,
    an_opening_lot,
    an_unfreeze,
)
from .memory import (
    DAY,
    TOKYO,
    UTC_ZONE,
    MemoryLedger,
    a_ledger,
    accepted,
    go_to,
    last,
    line_of,
    lots_of,
    refused,
    submit,
)
from .test_deciding_novation import a_novation
from .test_opening import an_opening

FRIEND = compose(40, 1)


# Telling members before points expire


def told(ledger: MemoryLedger, *, until: datetime, notice_days: int = 30, **given: Any) -> Journal:
    accepted(ledger, an_arming(until=until, notice_days=notice_days, **given))
    return last(ledger)


def test_told_in_time_points_expire_as_promised() -> None:
    """Lots that expire by the named instant are armed, that very instant included, and no month changes."""
    end = START + 50 * DAY
    ledger = a_ledger(
        an_earn(60, expires_at=end - DAY),
        an_earn(7, expires_at=end),
        an_earn(9, expires_at=end + DAY),
        has_notices=True,
    )
    one, two, later = lots_of(ledger)

    journal = told(ledger, until=end)

    assert journal == Journal(
        kind="arm_expiry",
        points=67,
        changes=(LotChange(one.id, A, end - DAY, START), LotChange(two.id, A, end, START)),
    )
    assert [lot.armed_at for lot in (one, two, later)] == [START, START, None]
    go_to(ledger, 60)
    assert ledger.wallets[MEMBER].available == 9


def test_told_late_they_expire_at_the_end_of_the_last_day_of_the_notice() -> None:
    """Told on the 36th day at three: thirty days later is the 66th, whose end is the 67th's beginning.

    Stock moves what is available and what holds have pinned; what is pending is in no stock yet.
    """
    end = START + 31 * DAY
    ledger = a_ledger(
        an_earn(60, obligor=8, tariff=4, expires_at=end),
        an_earn(30, expires_at=end, available_at=START + 40 * DAY),
        an_earn(8, expires_at=end),
        an_authorization(65, expires_at=START + 90 * DAY),
        an_authorization(3, expires_at=START + 90 * DAY),
        has_notices=True,
    )
    holds = list(ledger.wallets[MEMBER].holds.values())
    submit(ledger, a_capture(holds[0].id, 20))
    go_to(ledger, 35.125)
    one, pending, emptied = lots_of(ledger)

    journal = told(ledger, until=end)

    at, later = ledger.clock.now(), START + 66 * DAY
    assert journal == Journal(
        kind="arm_expiry",
        points=40 + 30 + 8,
        changes=tuple(LotChange(lot.id, lot.obligor, later, at) for lot in (one, pending, emptied)),
        restocks=(
            line_of(one, AVAILABLE, AVAILABLE, 40, expired_at=end),
            line_of(emptied, AVAILABLE, AVAILABLE, 8, expired_at=end),
        ),
    )
    assert {part.expires_at for hold in holds for part in hold.slices if part.left} == {later}
    assert {lot.expires_at for lot in (one, pending, emptied)} == {later}
    go_to(ledger, 66)
    assert (ledger.wallets[MEMBER].available, ledger.wallets[MEMBER].held) == (0, 48)


def test_a_notice_ends_with_a_day_of_the_programmes_time_zone() -> None:
    """At eight in the evening of the first it is the second in Tokyo: a day later ends at 15:00 UTC."""
    ledger = a_ledger(an_earn(60, expires_at=START + DAY), has_notices=True, zone=TOKYO)
    go_to(ledger, 20 / 24)

    told(ledger, until=START + DAY, notice_days=1)

    assert lots_of(ledger)[0].expires_at == START + 2 * DAY + timedelta(hours=15)


def test_lots_are_armed_once_and_empty_ones_never() -> None:
    end = START + 31 * DAY
    ledger = a_ledger(
        an_earn(60, expires_at=end), an_earn(5, expires_at=end - DAY), a_burn(5), has_notices=True
    )

    assert told(ledger, until=end).points == 60
    assert told(ledger, until=end) == Journal(kind="arm_expiry", points=0)


def test_only_the_lots_that_were_named_are_armed() -> None:
    end = START + 50 * DAY
    ledger = a_ledger(an_earn(60, expires_at=end), an_earn(40, expires_at=end), has_notices=True)
    first, second = lots_of(ledger)

    journal = told(ledger, until=end, lots=(second.id,))

    assert [change.lot for change in journal.changes] == [second.id]
    assert (journal.points, first.armed_at, second.armed_at) == (40, None, START)


def test_lots_are_armed_in_the_order_in_which_they_were_earned() -> None:
    ledger = a_ledger(*(an_earn(60, expires_at=START + days * DAY) for days in (50, 40)), has_notices=True)
    wallet = ledger.wallets[MEMBER]
    wallet.lots = dict(reversed(wallet.lots.items()))

    journal = told(ledger, until=FAR)

    assert [change.lot for change in journal.changes] == [lot.id for lot in lots_of(ledger)]


def test_where_a_release_arms_a_notice_arms_nothing() -> None:
    ledger = a_ledger(an_earn(60, available_at=START + DAY), an_earn(5))

    assert told(ledger, until=FAR) == Journal(kind="arm_expiry", points=0)


# Freezing


def test_a_freeze_stops_the_wallet_and_its_end_lets_it_go_on() -> None:
    ledger = a_ledger(an_earn(100), a_freeze())

    assert last(ledger) == Journal(kind="freeze", points=0, freezes=True)
    assert refused(ledger, a_burn(1)) == Refused(
        code="MEMBER_FROZEN", message="the member is frozen", field=("member",)
    )
    submit(ledger, a_freeze(), an_unfreeze())
    assert last(ledger) == Journal(kind="unfreeze", points=0, freezes=False)
    assert ledger.wallets[MEMBER].is_frozen is False
    accepted(ledger, a_burn(1))


def an_arrival(sort: Any) -> Arrive:
    """Points of a friend that come in."""
    sent = accepted(
        friend := a_ledger(an_earn(9, member=FRIEND)), a_transfer(5, member=FRIEND, to_member=MEMBER)
    )
    assert sent.operation
    (transit,) = friend.transits()
    return Arrive.of(msgspec.structs.replace(transit, kind=sort))


def every_command(hold: int, earn: int) -> dict[str, Command]:
    """One of each, by the name of its operation, as it could be asked of MEMBER."""
    commands: list[Command] = [
        an_earn(1),
        a_burn(1),
        an_authorization(1),
        a_donation(1),
        a_grant(1),
        an_opening(),
        a_transfer(1, to_member=FRIEND),
        a_merge(FRIEND),
        an_adjustment(1),
        a_capture(hold, 1),
        a_void(hold),
        a_return(earn),
        a_reversal(earn),
        a_novation(),
        an_arming(until=FAR, notice_days=1),
        an_unfreeze(),
        a_freeze(),
    ]
    return {kind_of(command): command for command in commands}


def test_a_frozen_member_neither_earns_nor_spends_and_nothing_else_waits() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(100)).operation
    hold = accepted(ledger, an_authorization(10)).hold or 0
    submit(ledger, a_freeze())

    stopped = set()
    for kind, command in every_command(hold, earn).items():
        try:
            decide(ledger.wallets[MEMBER], command, ledger.situation(ledger.wallets[MEMBER]))
        except MemberFrozen:
            stopped.add(kind)
    assert stopped == {"earn", "burn", "authorize", "donate", "grant", "opening", "transfer", "merge"}


def test_a_frozen_member_takes_in_what_a_merge_brings_and_no_transfer() -> None:
    ledger = a_ledger(a_freeze())

    assert refused(ledger, an_arrival("transfer")).code == "MEMBER_FROZEN"
    accepted(ledger, an_arrival("merge"))
    assert ledger.wallets[MEMBER].available == 5


def test_the_end_of_a_transfer_is_noted_though_its_sender_was_frozen_meanwhile() -> None:
    ledger = a_ledger(an_earn(9), a_transfer(5, to_member=FRIEND), a_freeze())
    (transit,) = ledger.transits()

    accepted(ledger, Arrive.of(transit))
    accepted(ledger, Conclude.of(transit))

    assert ledger.wallets[FRIEND].available == 5


def test_commands_of_a_merged_member_are_the_survivors_but_for_what_is_about_the_past() -> None:
    following = {kind for kind, command in every_command(1, 1).items() if follows_survivor(command)}

    assert following == {
        "earn",
        "burn",
        "authorize",
        "donate",
        "grant",
        "adjust",
        "freeze",
        "unfreeze",
        "transfer",
    }
    assert follows_survivor(an_arrival("merge"))
    assert not follows_survivor(Conclude.of(Transit(1, "merge", MEMBER, FRIEND, START, ())))


# Granting


def test_a_grant_is_a_lot_that_another_pays_for_than_who_is_shown() -> None:
    ledger = a_ledger()

    outcome = accepted(ledger, a_grant(40, partner=B, obligor=8, tariff=4))

    (lot,) = lots_of(ledger)
    assert lot == Lot(lot_id(outcome.operation, 0), B, 8, 4, START, FAR, 40, available=40, armed_at=START)
    assert last(ledger) == Journal(
        kind="grant",
        points=40,
        lines=(line_of(lot, ISSUED, AVAILABLE, 40),),
        new_lots=(lot,),
        expires_at=FAR,
    )


@pytest.mark.parametrize(
    ("command", "field", "message"),
    [
        (a_grant(0), "points", "a grant gives 1 to 1000000000 points"),
        (a_grant(-5), "points", "a grant gives 1 to 1000000000 points"),
        (a_grant(10**9 + 1), "points", "a grant gives 1 to 1000000000 points"),
        (a_grant(5, expires_at=START), "expiresAt", "the points would have expired already"),
        (an_adjustment(0), "points", "an adjustment moves 1 to 1000000000 points"),
        (an_adjustment(10**9 + 1), "points", "an adjustment moves 1 to 1000000000 points"),
        (
            an_opening(an_opening_lot(10**9), an_opening_lot(1)),
            "lots",
            "a member brings at most 1000000000 points",
        ),
        (an_adjustment(5, expires_at=START), "expiresAt", "the points would have expired already"),
    ],
)
def test_points_that_nobody_could_have_are_not_given(command: Command, field: str, message: str) -> None:
    assert refused(a_ledger(), command) == Refused(code="INVALID_INPUT", message=message, field=(field,))


@pytest.mark.parametrize("command", [a_grant(1), an_adjustment(1)])
def test_one_point_for_a_moment_can_be_given(command: Any) -> None:
    soon = msgspec.structs.replace(command, expires_at=START + timedelta(microseconds=1))

    assert accepted(a_ledger(), soon).balance.available == 1


# Adjusting


def test_points_given_by_hand_are_a_lot_of_the_obligor_that_answers_for_them() -> None:
    ledger = a_ledger()

    outcome = accepted(ledger, an_adjustment(40, obligor=B, tariff=7, reason=3))

    (lot,) = lots_of(ledger)
    assert lot == Lot(lot_id(outcome.operation, 0), B, B, 7, START, FAR, 40, available=40, armed_at=START)
    assert last(ledger) == Journal(
        kind="adjust",
        points=40,
        lines=(line_of(lot, ADJUST, AVAILABLE, 40, counterpart=3),),
        new_lots=(lot,),
        expires_at=FAR,
    )


def test_points_taken_by_hand_come_of_the_obligors_lots_the_soonest_to_expire_first() -> None:
    ledger = a_ledger(
        an_earn(50, partner=A, obligor=B, tariff=7),
        an_earn(50, partner=A, tariff=7, expires_at=START + DAY),
        an_earn(20, partner=B, tariff=7, expires_at=FAR - DAY),
        an_earn(9, partner=B, tariff=8, expires_at=START + DAY),
    )

    outcome = accepted(ledger, an_adjustment(-30, obligor=B, tariff=7, reason=3))

    late, _, early, other = lots_of(ledger)
    assert last(ledger) == Journal(
        kind="adjust",
        points=-30,
        lines=(
            line_of(early, AVAILABLE, ADJUST, 20, counterpart=3),
            line_of(late, AVAILABLE, ADJUST, 10, counterpart=3),
        ),
    )
    assert outcome.balance.available == 99
    submit(ledger, an_adjustment(-49, obligor=B, tariff=0))
    assert [(line.lot, line.points) for line in last(ledger).lines] == [(other.id, 9), (late.id, 40)]


def test_no_more_is_taken_by_hand_than_the_obligor_has_there() -> None:
    ledger = a_ledger(an_earn(50, partner=B), an_earn(50), an_authorization(40))

    refusal = refused(ledger, an_adjustment(-11, obligor=B))

    assert (refusal.code, refusal.message) == ("INSUFFICIENT_POINTS", "11 points needed, 10 available")
    assert refused(ledger, an_adjustment(-1, obligor=B, tariff=77)).message == "1 points needed, 0 available"
    assert refused(ledger, an_adjustment(-1, obligor=C)).code == "INSUFFICIENT_POINTS"
    assert accepted(ledger, an_adjustment(-10, obligor=B)).balance.available == 50
    accepted(ledger, an_adjustment(-1))


# Counting


def test_what_a_commands_counters_come_to_stands_in_its_journal() -> None:
    ledger = a_ledger(an_earn(60, counters=(a_counter(60),)))

    accepted(ledger, an_earn(30, counters=(a_counter(30, 90, thresholds=(50, 80)),)))

    assert last(ledger).counted == (
        Counted(
            name="points", window=windows.DAY, cell=START.toordinal(), increment=30, total=90, crossed=(80,)
        ),
    )
    assert refused(ledger, an_earn(1, counters=(a_counter(1, 90),))).limit == "points"
    assert ledger.wallets[MEMBER].available == 90


def test_a_day_of_a_counter_is_one_of_the_programmes_time_zone() -> None:
    """Late on the first of January it is the second in Tokyo."""
    at = START + timedelta(hours=20)
    situation = Situation(1, at, TOKYO)

    journal = decide(new_wallet(MEMBER), an_earn(60, counters=(a_counter(60),)), situation)

    assert [counted.cell for counted in journal.counted] == [START.toordinal() + 1]


def test_a_shared_counter_draws_on_the_escrow_of_the_members_bucket() -> None:
    shared = a_counter(60, 1_000, is_shared=True)
    place = (MEMBER >> 56, "points", windows.DAY)
    wallet, command = new_wallet(MEMBER), an_earn(60, counters=(shared,))

    def journal(**escrow: Any) -> Journal:
        return decide(wallet, command, Situation(1, START, UTC_ZONE, **escrow))

    (counted,) = journal(escrow={place: Allowance(5, 1_000, 100, 40)}).counted
    assert counted == Counted(
        name="points", window=windows.DAY, cell=5, increment=60, total=100, is_shared=True
    )
    for escrow in ({place: Allowance(5, 1_000, 100, 41)}, {(8, *place[1:]): Allowance(5, 1_000, 100, 0)}):
        with pytest.raises(LimitExceeded):
            journal(escrow=escrow)
    with pytest.raises(LimitExceeded):
        journal()
