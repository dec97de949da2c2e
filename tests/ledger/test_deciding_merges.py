"""Deciding merges without a database: what a member has or owes goes to the survivor, and nothing is lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.accounts import AVAILABLE, CANCELLED, CLAWBACK_DUE, IN_TRANSIT, PENDING
from ledger.commands import Arrive, Conclude
from ledger.decide import decide, follow
from ledger.dues import Due
from ledger.journal import Journal, Line
from ledger.kernel.ids import compose
from ledger.lots import Lot
from ledger.transits import Conclusion, Part, Transit
from ledger.wallet import lot_id

from .builders import (
    MEMBER,
    START,
    A,
    B,
    a_burn,
    a_capture,
    a_freeze,
    a_merge,
    a_return,
    a_transfer,
    a_void,
    an_authorization,
    an_earn,
    an_unfreeze,
)
from .memory import (
    DAY,
    MemoryLedger,
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


def kinds(ledger: MemoryLedger, member: int = MEMBER) -> list[str]:
    return [journal.kind for whose, journal in ledger.journals if whose == member]


def test_everything_sets_off_to_the_survivor() -> None:
    """Lot by lot as they were earned, what is pending before what is available; holds stay."""
    ledger = a_ledger(
        an_earn(60, obligor=8, tariff=4),
        an_earn(30, partner=B, available_at=START + DAY),
        an_authorization(20),
    )
    merge = accepted(ledger, a_merge(FRIEND))

    one, two = lots_of(ledger)
    sent = merge.operation + 1
    assert ledger.journals[-2][1] == Journal(kind="merge", points=0, merges_into=FRIEND)
    assert last(ledger) == Journal(
        kind="merge_out",
        points=70,
        lines=(
            line_of(one, AVAILABLE, IN_TRANSIT, 40, counterpart=sent),
            line_of(two, PENDING, IN_TRANSIT, 30, counterpart=sent),
        ),
        occurred_at=START,
        reference=sent,
        sends=Transit(
            sent,
            "merge",
            MEMBER,
            FRIEND,
            START,
            (part_of(one, AVAILABLE, 40), part_of(two, PENDING, 30, available_at=START + DAY)),
        ),
    )

    drive(ledger)
    first, second = lots_of(ledger, FRIEND)
    assert (first.available, first.available_at) == (40, None)
    assert (second.pending, second.available_at, second.armed_at) == (30, START + DAY, None)
    assert kinds(ledger, FRIEND) == ["merge_in"]
    assert kinds(ledger)[-1] == "merge_done"
    assert last(ledger).concludes == Conclusion(sent, "arrived")
    go_to(ledger, 1)
    assert ledger.wallets[FRIEND].available == 70
    assert ledger.wallets[MEMBER].balance() == msgspec.structs.replace(
        ledger.wallets[MEMBER].balance(), available=0, pending=0
    )


def test_pending_points_whose_time_passes_on_their_way_wait_for_their_release() -> None:
    """Only what is available gets grace: the lot is released first, and expires when it must."""
    ledger = a_ledger(an_earn(30, available_at=START + 3 * DAY, expires_at=START + 4 * DAY))
    accepted(ledger, a_merge(FRIEND))
    (transit,) = ledger.transits()
    ledger.clock.see(START + 5 * DAY)

    accepted(ledger, Arrive.of(transit))

    (lot,) = lots_of(ledger, FRIEND)
    assert (lot.pending, lot.expires_at) == (30, START + 4 * DAY)


def test_what_a_hold_of_before_gives_back_follows() -> None:
    ledger = a_ledger(an_earn(60))
    holds = [accepted(ledger, an_authorization(20)).hold or 0 for _ in range(2)]
    submit(ledger, a_merge(FRIEND))
    drive(ledger)

    submit(ledger, a_capture(holds[0], 5, final=True))
    drive(ledger)
    go_to(ledger, 2)
    drive(ledger)

    assert ledger.wallets[FRIEND].available == 55
    assert ledger.wallets[MEMBER].available == 0


def test_a_merge_of_nothing_sends_nothing() -> None:
    ledger = a_ledger(an_earn(60), a_burn(60), a_merge(FRIEND))

    assert kinds(ledger) == ["earn", "burn", "merge"]
    wallet = ledger.wallets[MEMBER]
    assert follow(wallet, ledger.situation(wallet)) is None


def test_nobody_is_merged_twice_or_into_itself() -> None:
    ledger = a_ledger(an_earn(60))
    itself = refused(ledger, a_merge(MEMBER))
    submit(ledger, a_merge(FRIEND))
    twice = refused(ledger, a_merge(THIRD))

    assert (itself.code, itself.field, itself.message) == (
        "INVALID_INPUT",
        ("survivor",),
        "a member is merged into somebody else",
    )
    assert twice.code == "MEMBER_MERGED"


def test_chains_end_at_the_last() -> None:
    ledger = a_ledger(an_earn(60), an_earn(5, member=FRIEND), an_earn(1, member=THIRD))
    hold = accepted(ledger, an_authorization(10)).hold or 0
    submit(ledger, a_merge(FRIEND), a_merge(THIRD, member=FRIEND))
    submit(ledger, a_void(hold), an_earn(3))
    drive(ledger)

    assert [ledger.wallets[each].available for each in (MEMBER, FRIEND, THIRD)] == [0, 0, 69]


def test_a_frozen_survivor_takes_a_merge_in_and_refuses_a_transfer() -> None:
    ledger = a_ledger(an_earn(60), an_earn(7, member=THIRD), a_freeze(member=FRIEND))
    submit(ledger, a_merge(FRIEND), a_transfer(7, member=THIRD, to_member=FRIEND))
    drive(ledger)

    assert [ledger.wallets[each].available for each in (FRIEND, THIRD)] == [60, 7]
    submit(ledger, an_unfreeze(member=FRIEND))
    assert ledger.wallets[FRIEND].is_frozen is False


# Debts that follow


def a_due_line(debit: int, credit: int, points: int, *, transfer: int, obligor: int = 8) -> Line:
    """The line of a debt of an earn of A under tariff 4, which belongs to no lot."""
    return Line(debit, credit, points, A, obligor, 4, 0, START, START, counterpart=transfer)


def a_merged_debtor(*, points: int = 60) -> tuple[MemoryLedger, int]:
    """MEMBER owes `points` of an earn of A, and was merged into FRIEND; the earn."""
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(points, obligor=8, tariff=4)).operation
    submit(ledger, a_burn(points), a_return(earn))
    submit(ledger, a_merge(FRIEND))
    return ledger, earn


def test_a_debt_sets_off_after_the_points_and_is_no_longer_owed_here() -> None:
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(60, obligor=8, tariff=4)).operation
    submit(ledger, a_burn(60))
    debt = accepted(ledger, a_return(earn)).operation

    merge = accepted(ledger, a_merge(FRIEND)).operation

    sent = merge + 1
    part = Part(
        account=CLAWBACK_DUE,
        lot=earn,
        issuer=A,
        obligor=8,
        tariff=4,
        points=60,
        earned_at=START,
        expires_at=START,
    )
    assert last(ledger) == Journal(
        kind="merge_out",
        points=0,
        lines=(a_due_line(IN_TRANSIT, CLAWBACK_DUE, 60, transfer=sent),),
        occurred_at=START,
        reference=sent,
        sends=Transit(sent, "merge", MEMBER, FRIEND, START, (part,)),
        recovers=((debt, 60),),
    )
    assert ledger.wallets[MEMBER].clawback_due == 0


def test_the_oldest_debt_sets_off_first_and_only_what_is_left_of_it() -> None:
    """60 and 40 were owed and 70 paid: the first is done with, and 30 of the second are sent."""
    ledger = a_ledger()
    earns = [accepted(ledger, an_earn(points)).operation for points in (60, 40, 20)]
    submit(ledger, a_burn(120), *map(a_return, earns), an_earn(70, partner=B))

    submit(ledger, a_merge(FRIEND))

    sent = [journal.sends for _, journal in ledger.journals if journal.sends is not None]
    assert [(part.lot, part.points) for each in sent for part in each.parts] == [
        (earns[1], 30),
        (earns[2], 20),
    ]


def test_a_survivor_that_has_nothing_of_those_points_owes_them() -> None:
    ledger, earn = a_merged_debtor()
    (transit,) = ledger.transits()
    submit(ledger, an_earn(9, member=FRIEND, obligor=9), an_earn(9, member=FRIEND, partner=B, obligor=8))

    arrival = accepted(ledger, Arrive.of(transit))

    assert ledger.journals[-1][1] == Journal(
        kind="merge_in",
        points=0,
        lines=(a_due_line(CLAWBACK_DUE, IN_TRANSIT, 60, transfer=transit.id),),
        reference=transit.id,
        owes=Due(arrival.operation, A, 8, 4, earn, 60, 60),
    )
    assert (arrival.balance.available, arrival.balance.clawback_due) == (18, 60)
    accepted(ledger, Conclude.of(transit))
    submit(ledger, an_earn(50, member=FRIEND, partner=B))
    assert ledger.wallets[FRIEND].clawback_due == 10


def a_lot_of_points(id_: int, points: int, *, pending: int = 0, days: int = 9, **given: Any) -> Lot:
    """A lot of A that the obligor 8 answers for."""
    lot = Lot(id_, A, 8, 4, START, START + days * DAY, points + pending, pending, points)
    for name, value in given.items():
        setattr(lot, name, value)
    return lot


@pytest.mark.parametrize("more", [0, 3])
def test_what_is_there_of_a_debts_points_is_taken_as_the_return_would_have(more: int) -> None:
    """First what is pending of the earn itself, then what is available of it, then lots like it.

    5 + 7 + 20 + 1 + 10 are found: 43 of what the return cancelled as a debt are cancelled here.
    """
    ledger, earn = a_merged_debtor(points=43 + more)
    (transit,) = ledger.transits()
    own = lot_id(earn, 0)
    lots = [
        a_lot_of_points(1, 50, issuer=B),
        a_lot_of_points(2, 50, obligor=9),
        a_lot_of_points(3, 10, days=2),
        a_lot_of_points(4, 20, days=1, tariff=5),
        a_lot_of_points(5, 1, days=1),
        a_lot_of_points(6, 0, pending=40, days=1),
        a_lot_of_points(7, 7, days=1, parent=own),
        a_lot_of_points(8, 0, pending=5, parent=own),
        a_lot_of_points(9, 0, parent=own),
    ]
    wallet = ledger.wallet(FRIEND)
    wallet.lots.update({lot.id: lot for lot in reversed(lots)})
    situation = ledger.situation(wallet)

    journal = decide(wallet, Arrive.of(transit), situation)

    found = ((PENDING, 8, 5), (AVAILABLE, 7, 7), (AVAILABLE, 4, 20), (AVAILABLE, 5, 1), (AVAILABLE, 3, 10))
    owed = a_due_line(CLAWBACK_DUE, IN_TRANSIT, more, transfer=transit.id)
    assert journal == Journal(
        kind="merge_in",
        points=0,
        lines=(
            *(line_of(wallet.lots[lot], account, CANCELLED, points) for account, lot, points in found),
            a_due_line(CANCELLED, IN_TRANSIT, 43, transfer=transit.id),
            *((owed,) if more else ()),
        ),
        reference=transit.id,
        owes=Due(situation.operation, A, 8, 4, earn, more, more) if more else None,
    )


def test_a_purchase_of_before_is_returned_where_its_points_are_now() -> None:
    """Of 100 points 30 were held and followed later; the survivor spent 60, so 60 are owed."""
    ledger = a_ledger()
    earn = accepted(ledger, an_earn(100)).operation
    hold = accepted(ledger, an_authorization(30)).hold or 0
    submit(ledger, a_merge(FRIEND))
    drive(ledger)
    submit(ledger, a_void(hold))
    drive(ledger)
    submit(ledger, a_burn(60))

    submit(ledger, a_return(earn))
    drive(ledger)

    balance = ledger.wallets[FRIEND].balance()
    assert (balance.available, balance.clawback_due) == (0, 60)
    assert ledger.wallets[MEMBER].balance() == msgspec.structs.replace(balance, clawback_due=0)
    assert {lot.parent for lot in lots_of(ledger, FRIEND)} == {lot_id(earn, 0)}
    submit(ledger, an_earn(80))
    assert ledger.wallets[FRIEND].balance().shown == 20
