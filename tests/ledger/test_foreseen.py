"""Wallets that are moved while they are read: only when nothing else can become of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import Balance, Command, Ledger
from ledger.binary import INFINITY, instant
from ledger.foreseen import foresee
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.lane import CAREFUL_BATCHES

from . import proving
from .builders import (
    MEMBER,
    START,
    a_burn,
    a_capture,
    a_counter,
    a_freeze,
    a_merge,
    a_receipt,
    a_return,
    an_authorization,
    an_earn,
    an_unfreeze,
)
from .instances import codes, extend_calendar
from .test_statements import Listening, OverheardDatabase

DAY_9 = datetime(2026, 1, 9, tzinfo=UTC)
OTHER = compose(MEMBER >> 56, 2)


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    """A ledger whose lanes' statements are heard."""
    await extend_calendar(database)
    opened = Ledger(
        OverheardDatabase(database.writer, database.reader, database.lanes, database.lane_url),
        DrivenClock(START),
    )
    await opened.start()
    yield opened
    await opened.drain()


def heard() -> set[str]:
    """The statements sent since they were last asked for."""
    names = {said.statement.name.decode() for said in Listening.heard}
    Listening.heard.clear()
    return names


async def _forget_to_be_careful(ledger: Ledger) -> None:
    for _ in range(CAREFUL_BATCHES):
        await ledger.submit(an_earn(1, member=OTHER))


async def test_an_earn_is_written_by_the_statement_that_reads_its_wallet(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(50))
    heard()

    outcomes = await ledger.submit_many([an_earn(5), an_earn(7, available_at=DAY_9)])

    assert "move_wallets" in (names := heard())
    assert not {"wallets", "save_wallets"} & names
    assert [outcome.balance for outcome in outcomes] == [
        Balance(available=55),
        Balance(available=55, pending=7),
    ]
    assert await ledger.balance(MEMBER) == Balance(available=55, pending=7)
    await ledger.advance(DAY_9)
    assert await ledger.balance(MEMBER) == Balance(available=62)
    await proving.holds(database)


@pytest.mark.parametrize(
    "others",
    [
        [an_earn(9, receipt=a_receipt("7")), an_earn(9, receipt=a_receipt("7"))],
        [an_earn(9, key="twice"), an_earn(9, key="twice")],
        [an_earn(9, key="twice"), an_earn(8, key="twice")],
        [an_earn(9, expires_at=START)],
    ],
    ids=["a receipt twice", "a repeat", "a conflict", "expired already"],
)
async def test_an_earn_that_does_not_go_through_moves_nothing(
    ledger: Ledger, database: Database, others: list[Command]
) -> None:
    await ledger.submit(an_earn(50))

    outcomes = await ledger.submit_many([an_earn(1), *others])

    given = 51 + (9 if len(others) == 2 else 0)
    assert outcomes[-1].refused is not None or outcomes[-1].replayed
    assert await ledger.balance(MEMBER) == Balance(available=given)
    await proving.holds(database)


async def test_an_earn_beside_a_capture_that_names_only_its_hold_is_not_counted_twice(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(50, receipt=a_receipt("1")))
    hold = (await ledger.submit(an_authorization(20))).hold
    assert hold is not None

    outcomes = await ledger.submit_many(
        [
            a_capture(hold, 30, member=0),
            an_earn(7, receipt=a_receipt("1")),
            an_earn(5),
            a_capture(hold, 8, member=0),
        ]
    )

    assert codes(outcomes) == ["CAPTURE_EXCEEDS_HOLD", "DUPLICATE_RECEIPT", "OK", "OK"]
    assert await ledger.balance(MEMBER) == Balance(available=35, held=12)

    await _forget_to_be_careful(ledger)
    outcomes = await ledger.submit_many([a_capture(hold, 30, member=0), an_earn(7, expires_at=START)])

    assert codes(outcomes) == ["CAPTURE_EXCEEDS_HOLD", "INVALID_INPUT"]
    assert await ledger.balance(MEMBER) == Balance(available=35, held=12)
    await proving.holds(database)


async def test_a_wallet_with_more_to_it_is_read_and_not_moved(ledger: Ledger, database: Database) -> None:
    due, frozen, merged, debtor = (compose(MEMBER >> 56, number) for number in (11, 12, 13, 14))
    await ledger.submit_many([an_earn(50, member=each) for each in (frozen, merged)])
    await ledger.submit(an_earn(50, member=due, available_at=START + timedelta(hours=1)))
    await ledger.submit_many([a_freeze(member=frozen), a_merge(OTHER, member=merged)])
    bought = await ledger.submit(an_earn(50, member=debtor, receipt=a_receipt()))
    await ledger.submit(a_burn(50, member=debtor))
    await ledger.submit(a_return(bought.operation, member=debtor))
    await ledger.drive_all()
    await ledger.submit(an_earn(1, member=OTHER))
    assert isinstance(ledger.clock, DrivenClock)
    ledger.clock.see(START + timedelta(hours=1))
    heard()

    outcomes = await ledger.submit_many([an_earn(9, member=each) for each in (due, frozen, merged, debtor)])

    assert "save_wallets" in heard()
    assert codes(outcomes) == ["OK", "MEMBER_FROZEN", "OK", "OK"]
    await ledger.submit(an_unfreeze(member=frozen))
    assert await ledger.balance(frozen) == Balance(available=50)
    assert await ledger.balance(OTHER) == Balance(available=60)
    assert (await ledger.balance(debtor)).clawback_due == 41
    await proving.holds(database)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 90), st.booleans(), st.sampled_from("eecb"))))
def test_only_members_who_do_nothing_but_earn_are_foreseen(script: list[tuple[int, int, bool, str]]) -> None:
    commands: list[Command] = []
    for member, points, waits, kind in script:
        available_at = DAY_9 if waits else None
        match kind:
            case "e":
                commands.append(an_earn(points, member=member, available_at=available_at))
            case "c":
                commands.append(an_earn(points, member=member, counters=(a_counter(points, 9),)))
            case _:
                commands.append(a_burn(points, member=member))

    found = foresee(commands, START, arms_at_release=False)

    plain = {
        member
        for member, *_ in script
        if all(kind == "e" and points for each, points, _, kind in script if each == member)
    }
    assert found.keys() == plain
    for member, gain in found.items():
        own = [(points, waits) for each, points, waits, _ in script if each == member]
        assert gain.pending == sum(points for points, waits in own if waits)
        assert gain.available == sum(points for points, waits in own if not waits)
        assert gain.due_at == (instant(DAY_9) if any(waits for _, waits in own) else INFINITY)
