"""Deciding without a database: wallets in memory, and each decision in detail.

Here nothing but the deciders, lots, holds and the wallet runs, so that it runs often: this is what
`make mutants` holds their mutants against.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import Command
from ledger.accounts import AVAILABLE, EXPIRED, HELD, ISSUED, OPENING, PENDING, REDEEMED
from ledger.commands import Refused, Settle
from ledger.decide import Situation, decide, kind_of, next_due
from ledger.decide.giving_back import end_of_day
from ledger.journal import Journal
from ledger.kernel.refusals import Refusal
from ledger.refusals import InsufficientPoints, MemberFrozen
from ledger.wallet import lot_id, new_wallet

from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    a_burn,
    a_capture,
    a_donation,
    a_grant,
    a_void,
    an_adjustment,
    an_authorization,
    an_earn,
)
from .instances import code
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
from .test_opening import a_lot, an_opening

scripts = st.lists(
    st.tuples(
        st.sampled_from(["earn", "pending", "burn", "hold", "capture", "void", "wait"]),
        st.integers(1, 40),
        st.integers(0, 5),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(scripts)
def test_a_wallet_keeps_its_promises_whatever_happens(script: Sequence[tuple[str, int, int, bool]]) -> None:
    """After each journal available equals its lots, held its slices, and all sums to zero."""
    ledger, holds, days = MemoryLedger(START), [0], 0
    for kind, points, number, flag in script:
        hold, at = holds[number % len(holds)], ledger.clock.now()
        if kind == "wait":
            days += number
            go_to(ledger, days)
            continue
        commands: dict[str, Command] = {
            "earn": an_earn(points, expires_at=at + (number + 1) * DAY),
            "pending": an_earn(points, available_at=at + 2 * DAY, expires_at=at + (number + 3) * DAY),
            "burn": a_burn(points),
            "hold": an_authorization(points, expires_at=at + (number + 1) * DAY),
            "capture": a_capture(hold, points, final=flag),
            "void": a_void(hold),
        }
        (outcome,) = submit(ledger, commands[kind])
        if kind == "hold" and outcome.hold:
            holds.append(outcome.hold)


def test_an_earn_makes_one_lot_with_everything_it_is_pinned_to() -> None:
    ledger = a_ledger(an_earn(70, partner=A, obligor=9, tariff=5, available_at=START + DAY))
    journal = last(ledger)

    (line,) = journal.lines
    (lot,) = journal.new_lots
    assert (line.debit, line.credit, line.points, line.issuer, line.obligor, line.tariff) == (
        ISSUED,
        PENDING,
        70,
        A,
        9,
        5,
    )
    assert (line.lot, line.earned_at, line.expires_at) == (lot.id, START, FAR)
    assert (line.redeemer, line.terms, line.hold) == (0, 0, 0)
    assert (lot.issuer, lot.obligor, lot.tariff, lot.earned, lot.earned_at, lot.expires_at) == (
        A,
        9,
        5,
        70,
        START,
        FAR,
    )
    assert (lot.available_at, lot.armed_at, lot.parent) == (START + DAY, None, None)
    assert lot.id == lot_id(MEMBER >> 56 << 56 | 1, 0)
    assert (journal.kind, journal.points, journal.available_at, journal.expires_at) == (
        "earn",
        70,
        START + DAY,
        FAR,
    )


def test_an_earn_whose_release_is_now_is_available_at_once() -> None:
    ledger = a_ledger(an_earn(70, available_at=START))
    journal = last(ledger)

    assert (journal.lines[0].credit, journal.available_at) == (AVAILABLE, None)
    assert journal.new_lots[0].available_at is None
    assert journal.new_lots[0].armed_at == START


def test_an_earn_of_nothing_makes_nothing() -> None:
    ledger = a_ledger(an_earn(0))

    assert last(ledger) == Journal(kind="earn", points=0)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(seconds=1)])
def test_an_earn_that_has_expired_is_refused(late: timedelta) -> None:
    (outcome,) = submit(MemoryLedger(START), an_earn(5, expires_at=START - late))

    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.field) == ("INVALID_INPUT", ("occurredAt",))
    assert outcome.refused.message == "the points would have expired already"


def test_a_burn_writes_which_lot_gave_how_much_and_for_whom() -> None:
    ledger = a_ledger(
        an_earn(30, obligor=8, tariff=4, expires_at=START + 9 * DAY),
        an_earn(30, expires_at=START + 8 * DAY),
        a_burn(40, partner=B, terms=77),
    )
    journal = last(ledger)

    assert [(line.debit, line.credit, line.points, line.redeemer, line.terms) for line in journal.lines] == [
        (AVAILABLE, REDEEMED, 30, B, 77),
        (AVAILABLE, REDEEMED, 10, B, 77),
    ]
    assert [
        (line.issuer, line.obligor, line.tariff, line.earned_at, line.expires_at) for line in journal.lines
    ] == [
        (A, A, A, START, START + 8 * DAY),
        (A, 8, 4, START, START + 9 * DAY),
    ]
    assert [line.hold for line in journal.lines] == [0, 0]
    assert (journal.kind, journal.points) == ("burn", 40)
    assert list(journal.new_lots) == []


def test_a_donation_is_a_burn_by_another_name() -> None:
    journal = last(a_ledger(an_earn(30), a_donation(20, partner=B, terms=77)))

    (line,) = journal.lines
    assert (journal.kind, journal.points) == ("donate", 20)
    assert (line.debit, line.credit, line.points, line.redeemer, line.terms) == (
        AVAILABLE,
        REDEEMED,
        20,
        B,
        77,
    )


def test_more_than_there_is_is_refused_and_says_how_much_there_is() -> None:
    ledger = a_ledger(an_earn(30))
    outcomes = submit(ledger, a_burn(31), an_authorization(31), a_burn(30), a_burn(1))

    assert [code(outcome) for outcome in outcomes] == [
        "INSUFFICIENT_POINTS",
        "INSUFFICIENT_POINTS",
        "OK",
        "INSUFFICIENT_POINTS",
    ]
    assert outcomes[0].refused is not None
    assert outcomes[0].refused.message == "31 points needed, 30 available"


def test_points_that_are_owed_cannot_be_spent() -> None:
    wallet = a_ledger(an_earn(30)).wallets[MEMBER]
    wallet.sums[5] = -40

    with pytest.raises(InsufficientPoints, match="1 points needed, 0 available"):
        decide(wallet, a_burn(1), Situation(1, START, UTC_ZONE))
    wallet.sums[5] = -29
    assert decide(wallet, a_burn(1), Situation(1, START, UTC_ZONE)).points == 1


def test_a_hold_pins_lots_and_is_captured_in_their_order() -> None:
    expires_at = START + DAY
    ledger = a_ledger(
        an_earn(10, obligor=8, tariff=4, expires_at=START + 8 * DAY),
        an_earn(10),
        an_authorization(15, partner=B, outlet=6, terms=77, expires_at=expires_at),
    )
    held = last(ledger)
    assert held.opens is not None
    hold = held.hold

    assert (held.kind, held.points, held.hold_left, held.expires_at) == ("authorize", 15, 15, expires_at)
    assert (held.opens.partner, held.opens.outlet, held.opens.terms, held.opens.expires_at) == (
        B,
        6,
        77,
        expires_at,
    )
    assert held.lines == tuple(
        line_of(lot, AVAILABLE, HELD, points) for lot, points in zip(lots_of(ledger), (10, 5), strict=True)
    )
    assert [(part.issuer, part.obligor, part.tariff, part.points) for part in held.opens.slices] == [
        (A, 8, 4, 10),
        (A, A, A, 5),
    ]
    assert [part.lot for part in held.opens.slices] == [line.lot for line in held.lines]

    (first,) = submit(ledger, a_capture(hold, 12))
    captured = last(ledger)
    assert [
        (line.debit, line.credit, line.points, line.redeemer, line.terms, line.hold, line.slice_no)
        for line in captured.lines
    ] == [(HELD, REDEEMED, 10, B, 77, hold, 0), (HELD, REDEEMED, 2, B, 77, hold, 1)]
    assert [(line.issuer, line.obligor, line.tariff, line.lot) for line in captured.lines] == [
        (part.issuer, part.obligor, part.tariff, part.lot) for part in held.opens.slices
    ]
    assert [line.expires_at for line in captured.lines] == [START + 8 * DAY, FAR]
    assert (first.kind, first.points, first.hold, first.hold_left) == ("capture", 12, hold, 3)
    assert (captured.closes, captured.lapses, captured.opens) == (False, False, None)

    (rest,) = submit(ledger, a_capture(hold))
    assert (rest.points, rest.hold_left, last(ledger).closes) == (3, 0, True)
    assert ledger.wallets[MEMBER].holds[hold].has_lapsed is False
    assert [code(each) for each in submit(ledger, a_capture(hold, 1), a_void(hold))] == ["HOLD_CLOSED"] * 2


def test_a_final_capture_gives_the_rest_back_to_its_lots() -> None:
    ledger = a_ledger(an_earn(10), an_earn(10), an_authorization(15))
    hold = last(ledger).hold
    (outcome,) = submit(ledger, a_capture(hold, 4, final=True))

    journal = last(ledger)
    assert (outcome.points, outcome.hold_left, journal.closes, journal.hold) == (4, 0, True, hold)
    assert [(line.debit, line.credit, line.points, line.slice_no) for line in journal.lines] == [
        (HELD, REDEEMED, 4, 0),
        (HELD, AVAILABLE, 6, 0),
        (HELD, AVAILABLE, 5, 1),
    ]
    assert [line.hold for line in journal.lines] == [hold] * 3
    assert outcome.balance.available == 16


def test_a_capture_of_more_than_is_held_says_how_much_is() -> None:
    ledger = a_ledger(an_earn(10), an_authorization(7))
    (outcome,) = submit(ledger, a_capture(last(ledger).hold, 8))

    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.message) == (
        "CAPTURE_EXCEEDS_HOLD",
        "8 points asked, 7 left on the hold",
    )


def test_a_void_gives_everything_back() -> None:
    ledger = a_ledger(an_earn(10), an_earn(10), an_authorization(15))
    hold = last(ledger).hold
    (outcome,) = submit(ledger, a_void(hold))

    journal = last(ledger)
    assert (outcome.kind, outcome.points, outcome.hold, outcome.hold_left) == ("void", 15, hold, 0)
    assert (journal.closes, journal.lapses, list(journal.new_lots)) == (True, False, [])
    assert outcome.balance.available == 20


def test_a_final_capture_after_the_lot_expired_makes_a_child() -> None:
    ledger = a_ledger(an_earn(10, expires_at=START + DAY), an_authorization(8, expires_at=START + 9 * DAY))
    hold = last(ledger).hold
    go_to(ledger, 2)
    (outcome,) = submit(ledger, a_capture(hold, 3, final=True))

    journal = last(ledger)
    (child,) = journal.new_lots
    assert (child.earned, child.expires_at, outcome.balance.available) == (5, START + 17 * DAY, 5)
    assert [line.earned_at for line in journal.lines] == [START, START]


def test_another_partners_hold_is_no_hold() -> None:
    ledger = a_ledger(an_earn(10), an_authorization(5, partner=B))
    hold = last(ledger).hold

    for command in (a_capture(hold, partner=A), a_void(hold, partner=A), a_void(hold + 1, member=MEMBER)):
        assert [code(outcome) for outcome in submit(ledger, command)] == ["HOLD_NOT_FOUND"]


def test_what_is_given_back_after_its_lot_expired_lives_a_fortnight_in_a_child() -> None:
    ledger = a_ledger(
        an_earn(10, obligor=8, tariff=4, expires_at=START + DAY),
        an_earn(10, expires_at=START + 40 * DAY),
        an_authorization(20, expires_at=START + 9 * DAY),
    )
    hold = last(ledger).hold
    parent = next(iter(ledger.wallets[MEMBER].lots))
    go_to(ledger, 2.5)
    submit(ledger, a_capture(hold, 3), a_void(hold))

    journal = last(ledger)
    (child,) = journal.new_lots
    assert child.id == lot_id(MEMBER >> 56 << 56 | 5, 0)
    assert (child.parent, child.issuer, child.obligor, child.tariff, child.earned) == (parent, A, 8, 4, 7)
    assert (child.earned_at, child.armed_at, child.expires_at) == (START, START, START + 17 * DAY)
    assert (child.available_at, child.available, child.pending) == (None, 7, 0)
    assert [(line.lot, line.points, line.expires_at, line.expired_at) for line in journal.lines] == [
        (child.id, 7, START + 17 * DAY, START + DAY),
        (journal.lines[1].lot, 10, START + 40 * DAY, None),
    ]
    assert [(line.issuer, line.obligor, line.tariff, line.earned_at) for line in journal.lines] == [
        (A, 8, 4, START),
        (A, A, A, START),
    ]


def test_two_lapsed_slices_make_two_children() -> None:
    ledger = a_ledger(
        an_earn(10, expires_at=START + DAY),
        an_earn(10, expires_at=START + DAY),
        an_authorization(15, expires_at=START + 2 * DAY),
    )
    go_to(ledger, 2)

    journal = last(ledger)
    assert (journal.kind, journal.points, journal.lapses, journal.closes) == ("lapse", 15, True, True)
    assert journal.occurred_at == START + 2 * DAY
    assert [lot.earned for lot in journal.new_lots] == [10, 5]
    assert len({lot.id for lot in journal.new_lots}) == 2
    assert [line.lot for line in journal.lines] == [lot.id for lot in journal.new_lots]
    assert journal.hold in ledger.wallets[MEMBER].holds
    assert ledger.wallets[MEMBER].holds[journal.hold].has_lapsed is True
    assert [code(each) for each in submit(ledger, a_void(journal.hold))] == ["HOLD_EXPIRED"]


def test_a_lot_that_expires_at_this_very_instant_is_gone() -> None:
    ledger = a_ledger(an_earn(10, expires_at=START + DAY), an_authorization(4, expires_at=START + DAY))
    go_to(ledger, 1)

    kinds = [journal.kind for _, journal in ledger.journals]
    assert kinds == ["earn", "authorize", "lapse", "expire"]
    (child,) = ledger.journals[2][1].new_lots
    assert (child.expires_at, ledger.wallets[MEMBER].available) == (START + 16 * DAY, 4)


def test_what_is_due_comes_in_the_order_of_its_instants() -> None:
    ledger = a_ledger(
        an_earn(1, expires_at=START + 3 * DAY),
        an_earn(10, available_at=START + DAY, expires_at=START + 5 * DAY),
        an_earn(20, available_at=START + DAY),
        an_earn(40, expires_at=START + 5 * DAY),
    )
    assert (
        next_due(ledger.wallets[MEMBER], Situation(1, START + DAY - timedelta(microseconds=1), UTC_ZONE))
        is None
    )
    go_to(ledger, 6)

    due = [journal for _, journal in ledger.journals[4:]]
    assert [(each.kind, each.points, each.occurred_at) for each in due] == [
        ("release", 30, START + DAY),
        ("expire", 1, START + 3 * DAY),
        ("expire", 50, START + 5 * DAY),
    ]
    assert [(line.debit, line.credit, line.points) for line in due[0].lines] == [
        (PENDING, AVAILABLE, 10),
        (PENDING, AVAILABLE, 20),
    ]
    assert [(line.debit, line.credit, line.points) for line in due[2].lines] == [
        (AVAILABLE, EXPIRED, 10),
        (AVAILABLE, EXPIRED, 40),
    ]
    line = due[1].lines[0]
    assert (line.issuer, line.obligor, line.tariff, line.earned_at, line.expires_at) == (
        A,
        A,
        A,
        START,
        START + 3 * DAY,
    )
    assert ledger.wallets[MEMBER].available == 20


def test_each_lot_is_released_at_its_own_instant() -> None:
    ledger = a_ledger(
        an_earn(10, available_at=START + DAY), an_earn(20, available_at=START + 2 * DAY), an_earn(5)
    )
    go_to(ledger, 3)

    due = [journal for _, journal in ledger.journals[3:]]
    assert [(each.points, each.occurred_at) for each in due] == [
        (10, START + DAY),
        (20, START + 2 * DAY),
    ]


def test_holds_that_lapse_together_lapse_in_the_order_in_which_they_were_made() -> None:
    ledger = a_ledger(an_earn(10), an_authorization(3), an_authorization(4))
    wallet = ledger.wallets[MEMBER]
    first, second = wallet.holds
    wallet.holds = dict(reversed(wallet.holds.items()))
    go_to(ledger, 1)

    assert [journal.hold for _, journal in ledger.journals[3:]] == [first, second]


def test_what_falls_due_in_lots_that_are_not_there_is_not_made_up() -> None:
    """A wallet may be there in part: then it is known that something is due, and not what."""
    wallet = a_ledger(an_earn(10)).wallets[MEMBER]
    wallet.rest_due_at = START
    wallet.look_ahead()

    assert next_due(wallet, Situation(1, START, UTC_ZONE)) is None


def test_the_fortnight_ends_with_a_day_of_the_programmes_time_zone() -> None:
    """Given back at noon UTC on the third, it is the third in Tokyo still: the 17th there ends at 15:00 UTC.

    What lapses at eight in the evening does so on the fourth in Tokyo.
    """
    soon, evening = START + 2 * DAY, START + 2.5 * DAY + timedelta(hours=8)
    ledger = a_ledger(
        an_earn(20, expires_at=START + DAY),
        an_authorization(5, expires_at=FAR),
        an_authorization(5, expires_at=evening),
        zone=TOKYO,
    )
    go_to(ledger, 2.5)
    submit(ledger, a_void(min(ledger.wallets[MEMBER].holds)))
    go_to(ledger, 5)

    _, voided, lapsed = lots_of(ledger)
    assert voided.expires_at == soon + 14 * DAY + timedelta(hours=15)
    assert lapsed.expires_at == soon + 15 * DAY + timedelta(hours=15)


def test_a_released_lot_is_armed_when_it_is_released() -> None:
    ledger = a_ledger(an_earn(10, available_at=START + DAY))
    go_to(ledger, 1)

    (lot,) = ledger.wallets[MEMBER].lots.values()
    assert (lot.armed_at, lot.pending, lot.available) == (START + DAY, 0, 10)


def test_an_unarmed_lot_does_not_expire() -> None:
    ledger = a_ledger(an_earn(10, expires_at=START + DAY))
    (lot,) = ledger.wallets[MEMBER].lots.values()
    lot.armed_at = None
    ledger.wallets[MEMBER].look_ahead()
    go_to(ledger, 2)

    assert ledger.wallets[MEMBER].available == 10


def test_an_opening_makes_every_lot_as_it_was() -> None:
    earned_at = START - 50 * DAY
    ledger = a_ledger(
        an_opening(
            a_lot(30, issuer=2, obligor=8, tariff=4, earned_at=earned_at),
            a_lot(20, available_at=START + DAY),
            a_lot(5, available_at=START),
        )
    )
    journal = last(ledger)

    assert (journal.kind, journal.points) == ("opening", 55)
    assert [(line.debit, line.credit, line.points) for line in journal.lines] == [
        (OPENING, AVAILABLE, 30),
        (OPENING, PENDING, 20),
        (OPENING, AVAILABLE, 5),
    ]
    first = journal.lines[0]
    assert (first.issuer, first.obligor, first.tariff, first.earned_at, first.expires_at) == (
        2,
        8,
        4,
        earned_at,
        FAR,
    )
    assert [lot.id for lot in journal.new_lots] == [lot_id(MEMBER >> 56 << 56 | 1, n) for n in range(3)]
    assert [line.lot for line in journal.lines] == [lot.id for lot in journal.new_lots]
    made = journal.new_lots[0]
    assert (made.issuer, made.obligor, made.tariff, made.earned_at, made.expires_at, made.earned) == (
        2,
        8,
        4,
        earned_at,
        FAR,
        30,
    )
    assert [lot.available_at for lot in journal.new_lots] == [None, START + DAY, None]


@pytest.mark.parametrize(
    ("lots", "field", "message"),
    [
        ((a_lot(), a_lot(expires_at=START)), ("lots", "1", "expires"), "these points have expired"),
        ((a_lot(0),), ("lots", "0", "points"), "points must be more than 0"),
        ((a_lot(1),) * 1_001, ("lots",), "an opening balance has 1 to 1000 lots"),
        ((), ("lots",), "an opening balance has 1 to 1000 lots"),
    ],
)
def test_an_opening_that_makes_no_sense_names_the_lot(
    lots: tuple[Any, ...], field: tuple[str, ...], message: str
) -> None:
    command = msgspec.structs.replace(an_opening(), lots=lots)
    with pytest.raises(Refusal) as refused:
        decide(new_wallet(MEMBER), command, Situation(1, START, UTC_ZONE))

    assert (refused.value.field, refused.value.message) == (field, message)


def test_as_many_lots_as_may_be_are_taken() -> None:
    assert last(a_ledger(an_opening(*[a_lot(1)] * 1_000))).points == 1_000


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (an_earn(-1), "an earn gives 0 to 1000000000 points"),
        (an_earn(10**9 + 1), "an earn gives 0 to 1000000000 points"),
        (a_burn(0), "more than 0 points are taken"),
        (an_authorization(0), "more than 0 points are taken"),
        (a_donation(-1), "more than 0 points are taken"),
    ],
)
def test_points_that_nobody_means_are_refused(command: Command, message: str) -> None:
    assert refused(a_ledger(an_earn(100)), command) == Refused(
        code="INVALID_INPUT", message=message, field=("points",)
    )


@pytest.mark.parametrize(
    "command",
    [
        an_earn(10**9),
        an_earn(0),
        a_grant(10**9),
        an_adjustment(10**9),
        an_opening(a_lot(10**9 - 1), a_lot(1)),
    ],
)
def test_a_billion_points_may_be_made_at_once(command: Command) -> None:
    ledger = a_ledger()

    accepted(ledger, command)
    accepted(ledger, an_earn(5))
    accepted(ledger, a_burn(1))


def test_a_hold_is_captured_and_voided_where_it_was_made() -> None:
    ledger = a_ledger(an_earn(100))
    hold = accepted(ledger, an_authorization(10, outlet=3)).operation
    elsewhere, there = frozenset({1, 2}), frozenset({2, 3})

    assert refused(ledger, a_capture(hold, 4, outlets=elsewhere)).code == "HOLD_NOT_FOUND"
    assert refused(ledger, a_void(hold, outlets=elsewhere)).code == "HOLD_NOT_FOUND"
    accepted(ledger, a_capture(hold, 1, outlets=there))
    accepted(ledger, a_capture(hold, 1))
    accepted(ledger, a_void(hold, outlets=there))


def test_a_frozen_member_moves_nothing() -> None:
    wallet = a_ledger(an_earn(10)).wallets[MEMBER]
    wallet.is_frozen = True

    with pytest.raises(MemberFrozen):
        decide(wallet, an_earn(1), Situation(1, START, UTC_ZONE))


def test_every_command_has_a_name() -> None:
    commands = (
        an_earn(),
        a_burn(),
        an_authorization(),
        a_capture(1),
        a_void(1),
        an_opening(),
        Settle.of(1, START),
    )

    assert [kind_of(command) for command in commands] == [
        "earn",
        "burn",
        "authorize",
        "capture",
        "void",
        "opening",
        "settle",
    ]


@pytest.mark.parametrize(("days", "expected"), [(0, 1), (1, 2), (14, 15)])
def test_a_day_ends_where_the_next_begins(days: int, expected: int) -> None:
    for hours in (0, 12, 23.99):
        at = START + timedelta(hours=hours)
        assert end_of_day(at, UTC_ZONE, after_days=days) == START + expected * DAY
    assert end_of_day(START, UTC_ZONE) == START + DAY
    in_tokyo = end_of_day(START + timedelta(hours=16), TOKYO, after_days=days)
    assert in_tokyo == START + timedelta(hours=15) + expected * DAY
    there = (START + timedelta(hours=16)).astimezone(TOKYO)
    assert end_of_day(there, UTC_ZONE, after_days=days).utcoffset() == there.utcoffset()
