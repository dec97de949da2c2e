"""A server that is away for a moment: whoever waits goes on waiting, and is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, event, text, update
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from ledger import Counter, Earn, Ledger, fence, findings, lane, windows
from ledger.batch import run
from ledger.kernel.database import LANE_SETTINGS, LONGEST_SILENCE, Database, is_server_lost
from ledger.kernel.ids import compose
from ledger.kernel.tables import clock
from ledger.kernel.wire import ServerRefused, Statement, Wire
from ledger.proof import Finding
from tests.servers import Urls

from .builders import START, a_burn, an_earn
from .instances import a_process, code, codes, extend_calendar

AFTER_THE_LAST = datetime(2026, 12, 5, tzinfo=UTC)


async def test_the_server_may_be_away_when_the_calendar_is_read_again(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.submit(an_earn(50, expires_at=AFTER_THE_LAST + timedelta(days=9)))
    async with database.writer.begin() as connection:
        december = datetime(2026, 12, 1, tzinfo=UTC)
        await fence.extend(connection, [(12, december, december.replace(year=2027, month=1))], "UTC")
    read, failures = fence.load_calendar, [OSError("gone"), ConnectionResetError("and again")]

    async def load_calendar(connection: object) -> fence.Calendar | None:
        if failures:
            raise failures.pop()
        return await read(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(lane, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(fence, "load_calendar", load_calendar)

    async with asyncio.timeout(10):
        await ledger.advance(AFTER_THE_LAST)
        outcomes = [await ledger.submit(a_burn(10)) for _ in range(5)]

    assert {code(outcome) for outcome in outcomes} == {"OK"}
    assert failures == []


async def test_whoever_came_to_a_standby_goes_on_when_the_address_names_the_primary(
    ledger: Ledger, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "RETRY_SECONDS", 0.01)
    other = await asyncpg.connect(urls.owner, server_settings={"default_transaction_read_only": "off"})
    await other.execute(f"ALTER DATABASE {urls.name} SET default_transaction_read_only = on")
    database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
    async with a_process(urls) as till, asyncio.timeout(10):
        waiting = asyncio.create_task(till.submit_many([an_earn(5), an_earn(5)]))
        with pytest.raises(DBAPIError, match="read-only") as refused:
            await _move_the_clock(database)
        await asyncio.sleep(0.2)
        assert not waiting.done()

        await other.execute(f"ALTER DATABASE {urls.name} RESET default_transaction_read_only")

        outcomes = await waiting
        await _move_the_clock(database)

    assert codes(outcomes) == ["OK", "OK"]
    assert is_server_lost(refused.value)
    await database.close()
    await other.close()


async def _move_the_clock(database: Database) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(update(clock).values(now=clock.c.now))


async def test_a_lane_that_asks_for_a_primary_waits_while_there_is_none(
    urls: Urls, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "RETRY_SECONDS", 0.01)
    await extend_calendar(database)
    other = await asyncpg.connect(urls.owner, server_settings={"default_transaction_read_only": "off"})
    asking = replace(urls, writer=f"{urls.writer}?target_session_attrs=read-write")
    async with a_process(asking) as till, asyncio.timeout(10):
        await other.execute(f"ALTER DATABASE {urls.name} SET default_transaction_read_only = on")
        waiting = asyncio.create_task(till.submit(an_earn(5)))
        await asyncio.sleep(0.2)
        assert not waiting.done()

        await other.execute(f"ALTER DATABASE {urls.name} RESET default_transaction_read_only")

        assert code(await waiting) == "OK"
    await other.close()


async def test_a_batch_that_meets_a_deadlock_says_so_and_is_posted_after_a_pause(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ServerRefused({"C": lane.DEADLOCK, "M": "deadlock detected"})]

    async def run_after_a_deadlock(*given: Any, **settings: Any) -> Any:
        if failures:
            raise failures.pop()
        return await run(*given, **settings)

    monkeypatch.setattr(lane, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr("ledger.lane.run", run_after_a_deadlock)
    began_at = monotonic()

    with capture_logs() as said:
        outcome = await ledger.submit(an_earn(50))

    assert code(outcome) == "OK"
    assert [entry["event"] for entry in said] == ["lane.deadlock"]
    assert monotonic() - began_at >= 0.3


async def test_what_a_server_that_goes_says_is_known_however_it_is_wrapped(database: Database) -> None:
    async with database.writer.connect() as victim, database.writer.connect() as other:
        pid = (await victim.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(DBAPIError) as ended:
            await victim.execute(text("SELECT 1"))
        with pytest.raises(DBAPIError) as mistaken:
            await other.execute(text("SELECT 1 / 0"))

    assert is_server_lost(ended.value)
    assert not is_server_lost(mistaken.value)


async def test_a_lane_that_falls_silent_is_let_go_by_the_server(database: Database, urls: Urls) -> None:
    """A gateway that freezes in mid-batch must not keep its buckets from the others."""
    assert LANE_SETTINGS["idle_in_transaction_session_timeout"] == LONGEST_SILENCE == "30s"
    impatient = LANE_SETTINGS | {"idle_in_transaction_session_timeout": "200ms"}
    wire = await Wire.open(urls.writer, impatient)
    other = await asyncpg.connect(urls.writer)
    flight = wire.flight()
    flight.run(Statement("begin", "BEGIN"))
    flight.run(Statement("lock", "SELECT 1 FROM heads WHERE bucket = 3 FOR UPDATE"))
    await flight.land()

    async with asyncio.timeout(10):
        await other.execute("SELECT 1 FROM heads WHERE bucket = 3 FOR UPDATE")

    await asyncio.sleep(0.1)
    assert wire.is_lost
    await other.close()


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
async def test_a_lane_waits_for_a_head_whatever_the_database_is_set_to(
    ledger: Ledger, urls: Urls, setting: str
) -> None:
    other = await asyncpg.connect(urls.owner)
    await other.execute(f"ALTER DATABASE {urls.name} SET {setting} = '50ms'")
    async with a_process(urls) as till, asyncio.timeout(10):
        async with other.transaction():
            await other.execute("SELECT 1 FROM heads WHERE bucket = 7 FOR UPDATE")
            waiting = asyncio.create_task(till.submit(an_earn(5)))
            await asyncio.sleep(0.5)
        outcome = await waiting

    assert code(outcome) == "OK"
    await other.close()


async def test_whoever_else_locks_heads_and_falls_silent_is_let_go_too(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """Taking findings down, lifting them, calling escrow back: they hold what a batch holds."""
    found = [Finding("wallets", 7, "forged")]
    others = [_an_earn_of_few(1, bucket) for bucket in range(8)]
    await ledger.submit_many(others)
    with _locking_heads(database) as silences:
        async with database.writer.begin() as connection:
            known = [each.id for each in await findings.record(connection, found, at=START)]
        async with database.writer.begin() as connection:
            await findings.lift(connection, 7, known, by="staff:anna", because="not so", at=START)
        await ledger.submit(_an_earn_of_few(9_992, 9))

    assert len(silences) >= 2 + len(others)
    assert set(silences) == {LONGEST_SILENCE}


def _an_earn_of_few(points: int, bucket: int) -> Earn:
    """Of 10,000 points, which all buckets share."""
    shared = Counter(name="issued/1", window=windows.EVER, increment=points, ceiling=10_000, is_shared=True)
    return an_earn(points, member=compose(bucket, 1), counters=(shared,))


@contextmanager
def _locking_heads(database: Database) -> Iterator[list[str]]:
    """How long each transaction of the engines that lock heads may be silent."""
    silences: list[str] = []

    def listen(connection: Connection, _cursor: object, sql: str, *_: object) -> None:
        if "FROM heads" in sql and "FOR UPDATE" in sql:
            silences.extend(connection.scalars(text("SHOW idle_in_transaction_session_timeout")))

    locking = [engine.sync_engine for engine in (database.writer, database.lanes)]
    for engine in locking:
        event.listen(engine, "before_cursor_execute", listen)
    yield silences
    for engine in locking:
        event.remove(engine, "before_cursor_execute", listen)


async def test_the_server_gives_up_whoever_vanished(database: Database) -> None:
    asked = text("SELECT current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_count')")

    for engine in (database.writer, database.lanes, database.reader):
        async with engine.connect() as connection:
            assert (await connection.execute(asked)).one() == ("10", "4")
