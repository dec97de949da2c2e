"""Stopping, refusing and failing: whoever was accepted is answered, whoever was not leaves no trace."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, select

from ledger import Earn, Ledger, LedgerFault, decide
from ledger.block import Block
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.kernel.refusals import Throttled
from ledger.kernel.wire import Flight, Wire
from ledger.tables import operations
from tests.servers import Urls

from . import proving
from .builders import MEMBER, START, a_burn, an_earn
from .instances import a_process, code, codes, extend_calendar


async def test_draining_answers_what_was_accepted_and_refuses_the_rest(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    async with a_process(urls) as till:
        accepted = [
            asyncio.create_task(till.submit(an_earn(1, member=compose(n % 64, 1)))) for n in range(300)
        ]
        await asyncio.sleep(0)

        draining = asyncio.create_task(till.drain())
        await asyncio.sleep(0)
        with pytest.raises(Throttled):
            await till.submit(an_earn(1))
        await draining

        assert all(task.done() for task in accepted)
        assert codes([task.result() for task in accepted]) == ["OK"] * 300
    assert await _count(database, operations) == 300
    await proving.holds(database)


async def test_draining_without_a_server_ends_and_whoever_waits_is_told(
    database: Database, driven_clock: DrivenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a batch for one lane: some is under way, and the rest has not been taken yet."""
    await extend_calendar(database)
    till = Ledger(database, driven_clock, batch_limit=2, drain_seconds=0.2)
    await till.start()
    monkeypatch.setattr(Wire, "open", _no_server)
    waiting = [asyncio.create_task(till.submit(an_earn(1))) for _ in range(5)]
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await till.drain()
        told = await asyncio.gather(*waiting, return_exceptions=True)
        await till.drain()

    assert [type(answer) for answer in told] == [LedgerFault] * 5


async def _no_server(*_: object) -> Wire:
    raise ConnectionRefusedError


async def test_a_full_queue_refuses_and_stores_nothing(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    async with a_process(urls, queue_limit=10) as till:
        waiting = [asyncio.create_task(till.submit(an_earn(1))) for _ in range(10)]
        await asyncio.sleep(0)

        with pytest.raises(Throttled):
            await till.submit(an_earn(1, key="late"))
        with pytest.raises(Throttled):
            await till.submit_many([an_earn(1) for _ in range(11)])
        await asyncio.gather(*waiting)

        assert await _count(database, operations) == 10
        assert not (await till.submit(an_earn(1, key="late"))).replayed


async def test_a_fault_in_one_command_fails_only_that_one(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch)

    bad = [asyncio.create_task(ledger.submit(an_earn(13))) for _ in range(3)]
    good = [asyncio.create_task(ledger.submit(an_earn(5))) for _ in range(20)]
    failed = await asyncio.gather(*bad, return_exceptions=True)

    assert [type(failure) for failure in failed] == [LedgerFault] * 3
    assert codes(await asyncio.gather(*good)) == ["OK"] * 20
    assert (await ledger.balance(MEMBER)).available == 100
    assert await _count(database, operations) == 20
    await proving.holds(database)


async def test_a_key_whose_command_failed_may_be_used_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        _break(broken)
        with pytest.raises(LedgerFault):
            await ledger.submit(an_earn(13, key="k"))

    outcome = await ledger.submit(an_earn(13, key="k"))

    assert code(outcome) == "OK"
    assert not outcome.replayed


@pytest.mark.parametrize("points", [-1, 10**9 + 1, 2**63, 2**64, 2**200])
async def test_points_that_nobody_means_are_refused(ledger: Ledger, database: Database, points: int) -> None:
    good, bad = await ledger.submit_many([an_earn(5), an_earn(points)])

    assert codes([good, bad]) == ["OK", "INVALID_INPUT"]
    assert (await ledger.balance(MEMBER)).available == 5
    await proving.holds(database)


@pytest.mark.parametrize("partner", [-(2**31) - 1, 2**31, 2**64, 2**200])
async def test_a_number_that_no_column_holds_fails_alone_and_at_once(
    ledger: Ledger, database: Database, partner: int
) -> None:
    good = asyncio.create_task(ledger.submit(an_earn(5)))

    with pytest.raises(LedgerFault):
        async with asyncio.timeout(5):
            await ledger.submit(an_earn(partner=partner))

    assert code(await good) == "OK"
    assert code(await ledger.submit(a_burn(5))) == "OK"
    await proving.holds(database)


async def test_balances_that_no_column_holds_fail_one_command_and_not_the_lane(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit_many([an_earn(50), an_earn(50, member=compose(7, 2))])
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("UPDATE wallets SET available = 9223372036854775800 WHERE member = $1", MEMBER)

    with pytest.raises(LedgerFault):
        async with asyncio.timeout(5):
            await ledger.submit(an_earn(50))

    assert code(await ledger.submit(a_burn(5, member=compose(7, 2)))) == "OK"
    await owner.execute("UPDATE wallets SET available = 50 WHERE member = $1", MEMBER)
    await owner.close()
    await proving.holds(database)


async def test_a_wallet_that_cannot_be_settled_keeps_nobody_waiting(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    due = START + timedelta(days=1)
    others = [compose(3, number) for number in range(1, 4)]
    await ledger.submit_many([an_earn(5, member=member, available_at=due) for member in (MEMBER, *others)])
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("UPDATE wallets SET pending = 0 WHERE member = $1", MEMBER)

    async with asyncio.timeout(20):
        with pytest.raises(LedgerFault, match="1 wallets cannot be settled"):
            await ledger.advance(due)
        with pytest.raises(LedgerFault, match="1 wallets cannot be settled"):
            await ledger.advance(due + timedelta(days=40))

    assert [(await ledger.balance(member)).available for member in others] == [5, 5, 5]
    await owner.execute("UPDATE wallets SET pending = 5 WHERE member = $1", MEMBER)
    await owner.close()
    await ledger.advance(due + timedelta(days=40))
    await proving.holds(database)


@pytest.mark.parametrize("lands", [True, False])
async def test_what_was_sent_of_a_batch_that_cannot_be_finished_is_not_there(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    abandoned = _break_halfway(monkeypatch, lands=lands)

    outcomes = await ledger.submit_many([an_earn(5), an_earn(7)])

    # Again one by one, under keys that the first time had sent already.
    assert codes(outcomes) == ["OK", "OK"]
    assert not any(outcome.replayed for outcome in outcomes)
    assert await _count(database, operations) == 2
    assert (await ledger.balance(MEMBER)).available == 12
    assert [wire.is_lost for wire in abandoned] == [not lands]
    await proving.holds(database)


def _break_halfway(monkeypatch: pytest.MonkeyPatch, *, lands: bool) -> list[Wire]:
    """A block that cannot be closed, once, when its operations are on their way; then a flight cannot land.

    Gives the wires on which that happened.
    """
    abandoned: list[Wire] = []
    close, land = Block.close, Flight.land
    to_fail = {"close", "land"} if not lands else {"close"}

    def close_or_fail(block: Block) -> None:
        if "close" in to_fail:
            to_fail.remove("close")
            raise ZeroDivisionError
        close(block)

    async def land_or_fail(flight: Flight) -> Any:
        is_abandoned = "close" not in to_fail and not abandoned
        if is_abandoned:
            abandoned.append(flight._wire)
        rows = await land(flight)
        if is_abandoned and "land" in to_fail:
            to_fail.remove("land")
            raise ZeroDivisionError
        return rows

    monkeypatch.setattr(Block, "close", close_or_fail)
    monkeypatch.setattr(Flight, "land", land_or_fail)
    return abandoned


def _break(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of our own: an earn of thirteen points fails after it was decided."""
    _, earn = decide._DECIDERS[Earn]

    def superstitious(wallet: Any, command: Any, situation: Any) -> Any:
        journal = earn(wallet, command, situation)
        if command.points == 13:
            raise ZeroDivisionError
        return journal

    deciders: dict[Any, Any] = decide._DECIDERS
    monkeypatch.setitem(deciders, Earn, ("earn", superstitious))


async def _count(database: Database, table: Any) -> int:
    async with database.writer.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()
