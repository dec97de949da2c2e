"""Deciding novations without a database: another obligor answers for what one that leaves answered for."""

from __future__ import annotations

from typing import Any

import msgspec

from ledger import Novate
from ledger.accounts import AVAILABLE, IN_TRANSIT, ISSUED
from ledger.commands import Arrive, Conclude
from ledger.journal import Journal, Line, LotChange
from ledger.kernel.ids import compose
from ledger.lots import Lot

from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    C,
    a_burn,
    a_capture,
    a_freeze,
    a_transfer,
    an_authorization,
    an_earn,
)
from .memory import (
    DAY,
    a_ledger,
    accepted,
    last,
    line_of,
    lots_of,
    refused,
    submit,
)

FRIEND = compose(40, 1)
THIRD = compose(50, 1)


def a_novation(successor: int = 0, *, leaver: int = C, tariff: int = 4, **given: Any) -> Novate:
    """The operator takes over what C answers for under tariff 4."""
    return Novate(
        principal="staff:finance",
        key=f"novate {leaver} {tariff} {successor}",
        digest=b"",
        member=given.pop("member", MEMBER),
        occurred_at=START,
        partner=0,
        leaver=leaver,
        successor=successor,
        tariff=tariff,
        **given,
    )


def test_lots_held_slices_and_pending_change_hands_alike() -> None:
    ledger = a_ledger(
        an_earn(60, partner=C, tariff=4),
        an_earn(5, partner=A, tariff=4),
        an_earn(30, partner=C, tariff=4, available_at=START + DAY),
        an_earn(10, partner=A, obligor=C, tariff=4, expires_at=FAR + DAY),
        an_earn(8, partner=C, tariff=5),
        an_earn(3, partner=C, tariff=4, expires_at=START + 8 * DAY),
        a_burn(3),
    )
    hold = accepted(ledger, an_authorization(20, expires_at=START + 9 * DAY)).hold or 0
    before = ledger.wallets[MEMBER].balance()
    one, others, pending, shown_as_a, other_tariff, empty = lots_of(ledger)

    outcome = accepted(ledger, a_novation())

    def exchange(lot: Lot, points: int) -> tuple[Line, Line]:
        way = {"counterpart": outcome.operation}
        return (
            line_of(lot, IN_TRANSIT, ISSUED, points, obligor=C, **way),
            line_of(lot, ISSUED, IN_TRANSIT, points, obligor=0, **way),
        )

    changed = (one, pending, shown_as_a, empty)
    assert last(ledger) == Journal(
        kind="novate",
        points=100,
        lines=(
            *exchange(one, 60),
            line_of(pending, ISSUED, ISSUED, 30, obligor=0, counterpart=C),
            *exchange(shown_as_a, 10),
        ),
        changes=(
            LotChange(one.id, 0, FAR, START),
            LotChange(pending.id, 0, FAR, None),
            LotChange(shown_as_a.id, 0, FAR + DAY, START),
            LotChange(empty.id, 0, START + 8 * DAY, START),
        ),
    )
    assert {lot.obligor for lot in changed} == {0}
    assert (others.obligor, other_tariff.obligor) == (A, C)
    assert [(part.lot, part.obligor) for part in ledger.wallets[MEMBER].holds[hold].slices] == [(one.id, 0)]
    assert outcome.balance == before
    accepted(ledger, msgspec.structs.replace(a_novation(), key="again"))
    assert (last(ledger).lines, last(ledger).points) == ((), 0)


def test_all_of_a_lot_that_several_holds_share_changes_hands() -> None:
    """40 of 60 are held by two holds and 5 of those are captured: 55 are still owed to the member."""
    ledger = a_ledger(an_earn(60, partner=C, tariff=4))
    holds = [accepted(ledger, an_authorization(20)).hold or 0 for _ in range(2)]
    submit(ledger, a_capture(holds[0], 5))

    submit(ledger, a_novation(B))

    assert [(line.points, line.obligor) for line in last(ledger).lines] == [(55, C), (55, B)]
    assert last(ledger).points == 55


def test_of_a_hold_only_what_is_left_of_novated_lots_changes_hands() -> None:
    """Of four slices one is captured, one of another obligor and one of another tariff."""
    day = iter(range(9, 99))
    ledger = a_ledger(
        *(
            an_earn(5, partner=partner, tariff=tariff, expires_at=START + next(day) * DAY)
            for partner, tariff in ((C, 4), (A, 4), (C, 5), (C, 4))
        )
    )
    hold = accepted(ledger, an_authorization(20)).hold or 0
    submit(ledger, a_capture(hold, 5))

    submit(ledger, a_novation(B))

    parts = ledger.wallets[MEMBER].holds[hold].slices
    assert [part.obligor for part in parts] == [C, A, C, B]
    assert [line.points for line in last(ledger).lines] == [5, 5]


def test_an_obligor_does_not_relieve_itself() -> None:
    refusal = refused(a_ledger(an_earn(60, partner=C, tariff=4)), a_novation(C))

    assert (refusal.code, refusal.field, refusal.message) == (
        "INVALID_INPUT",
        ("successor",),
        "an obligor is relieved by another one",
    )


def test_points_that_come_back_to_a_lot_novated_meanwhile_follow_it() -> None:
    """They left as C's, so they come back as C's, and the operator takes them over in the same journal."""
    ledger = a_ledger(
        an_earn(60, partner=C, tariff=4), an_earn(9, expires_at=START + DAY), a_freeze(member=FRIEND)
    )
    sent = accepted(ledger, a_transfer(29, to_member=FRIEND)).operation
    (transit,) = ledger.transits()
    submit(ledger, a_novation())
    assert [line.points for line in last(ledger).lines] == [40, 40]
    refused(ledger, Arrive.of(transit))

    outcome = accepted(ledger, Conclude.of(transit, refusal="MEMBER_FROZEN"))

    lot, other = lots_of(ledger)
    way = {"counterpart": outcome.operation}
    assert last(ledger).lines == (
        line_of(other, IN_TRANSIT, AVAILABLE, 9, counterpart=sent),
        line_of(lot, IN_TRANSIT, AVAILABLE, 20, obligor=C, counterpart=sent),
        line_of(lot, IN_TRANSIT, ISSUED, 20, obligor=C, **way),
        line_of(lot, ISSUED, IN_TRANSIT, 20, obligor=0, **way),
    )
    assert outcome.balance.available == 69
