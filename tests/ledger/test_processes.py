"""Several processes on one database: the calendar and the clock that one moves, all follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, text, update

from ledger import Ledger, fence
from ledger.kernel.clock import WallClock
from ledger.kernel.database import Database, metadata
from ledger.kernel.ids import compose
from ledger.kernel.tables import clock as clock_table
from ledger.tables import HISTORY, operations
from tests.servers import Urls

from . import proving
from .builders import FAR, MEMBER, START, a_counter, a_transfer, an_earn
from .instances import a_process, codes, extend_calendar

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

_COLUMNS = text("""
    SELECT i.inhrelid::regclass, a.attname, (a.attstorage, a.attnotnull), (p.attstorage, p.attnotnull)
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'p'
    JOIN pg_attribute p ON p.attrelid = i.inhparent AND p.attnum > 0
    JOIN pg_attribute a ON a.attrelid = i.inhrelid AND a.attname = p.attname
""")
_INDEXES = text("""
    SELECT c.relname, count(i.inhrelid) FROM pg_class c LEFT JOIN pg_inherits i ON i.inhparent = c.oid
    WHERE c.relkind = 'I' GROUP BY 1
""")


async def test_a_process_started_before_the_programme_serves_it_once_it_exists(
    database: Database, urls: Urls
) -> None:
    async with a_process(urls) as early:
        async with database.writer.begin() as connection:
            await fence.extend(connection, [(1, START, FAR)], "UTC")

        assert codes([await early.submit(an_earn(5))]) == ["OK"]


async def test_a_process_whose_calendar_is_old_learns_of_new_periods_by_itself(
    database: Database, urls: Urls
) -> None:
    async with database.writer.begin() as connection:
        await fence.extend(connection, [(1, START, FEBRUARY)], "UTC")
    async with a_process(urls) as old:
        async with database.writer.begin() as connection:
            await fence.extend(connection, [(2, FEBRUARY, MARCH), (3, MARCH, FAR)], "UTC")
        async with a_process(urls) as informed:
            await informed.advance(MARCH + timedelta(days=1))

        earned = await old.submit(an_earn(5, occurred_at=MARCH + timedelta(hours=1)))

        recorded = await old.operation(earned.operation)
    assert recorded is not None
    assert (recorded.period, recorded.origin_period) == (3, 3)


async def test_a_process_whose_clock_is_behind_still_finds_a_place_for_history(
    database: Database, urls: Urls
) -> None:
    async with database.writer.begin() as connection:
        await fence.extend(connection, [(1, START, FAR)], "UTC")
    async with a_process(urls) as behind, a_process(urls) as ahead:
        await behind.submit(an_earn(5))
        await ahead.advance(datetime(2026, 6, 1, tzinfo=UTC))

        outcome = await behind.submit(an_earn(5))

    assert codes([outcome]) == ["OK"]
    assert outcome.recorded_at == datetime(2026, 6, 1, tzinfo=UTC)


class FastClock(WallClock):
    """The clock of a machine that is a month ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(days=31)


async def test_a_machine_whose_clock_is_ahead_takes_nobody_along(database: Database) -> None:
    this = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ends = (this + timedelta(days=32)).replace(day=1)
    async with database.writer.begin() as connection:
        await fence.extend(connection, [(1, this, ends), (2, ends, ends + timedelta(days=99))], "UTC")
    await _set_clock(database, this)
    ledger = Ledger(database, FastClock())
    await ledger.start()

    outcome = await ledger.submit(an_earn(5, occurred_at=this, expires_at=FAR + timedelta(days=999)))

    recorded = await ledger.operation(outcome.operation)
    await ledger.drain()
    assert abs(outcome.recorded_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert recorded is not None
    assert recorded.period == 1


async def test_a_month_turns_while_somebody_reads_history(ledger: Ledger, database: Database) -> None:
    """A dump or a proof holds its locks for hours; the first batch of a month makes the next one's tables."""
    await ledger.submit(an_earn(5))
    async with database.writer.connect() as reader:
        for table in HISTORY:
            await reader.execute(text(f"SELECT count(*) FROM {table}"))

        async with asyncio.timeout(10):
            await ledger.advance(FEBRUARY)
            earned = await ledger.submit(an_earn(5))
            history = await ledger.history(MEMBER)

    assert codes([earned]) == ["OK"]
    assert len(history) == 2


async def test_a_month_that_is_made_is_stored_and_found_like_the_others(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(5))

    async with database.writer.connect() as connection:
        columns = (await connection.execute(_COLUMNS)).all()
        indexes = (await connection.execute(_INDEXES)).all()

    assert len(columns) == 2 * sum(len(metadata.tables[table].columns) for table in HISTORY)
    assert all(partition == parent for *_, partition, parent in columns)
    assert [count for *_, count in indexes] == [2, 2, 2, 2]


async def test_a_process_that_is_behind_is_told_the_present_when_it_drives_the_clock(
    ledger: Ledger, urls: Urls
) -> None:
    async with a_process(urls) as behind:
        await ledger.advance(MARCH)

        assert await behind.advance(FEBRUARY) == MARCH


async def test_a_clock_beyond_a_calendar_that_nobody_extended_hangs_no_till(
    database: Database, urls: Urls
) -> None:
    async with database.writer.begin() as connection:
        await fence.extend(connection, [(1, START, FEBRUARY)], "UTC")
    async with a_process(urls) as behind, a_process(urls) as ahead:
        await behind.submit(an_earn(5))
        await ahead.advance(MARCH)

        async with asyncio.timeout(10):
            outcome = await behind.submit(an_earn(5))

    assert codes([outcome]) == ["OK"]


async def _set_clock(database: Database, at: datetime) -> None:
    """So that history may be made in that month, and is not ahead of the installation's clock."""
    async with database.writer.begin() as connection:
        await connection.execute(update(clock_table).values(now=at))


class SetClock:
    """A machine's clock, as fast or slow as it is set."""

    is_driven = False

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


@asynccontextmanager
async def a_gateway(urls: Urls, at: datetime) -> AsyncIterator[tuple[Ledger, SetClock]]:
    """A process that follows its own machine's clock."""
    database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
    clock = SetClock(at)
    ledger = Ledger(database, clock)
    await ledger.start()
    try:
        yield ledger, clock
    finally:
        await ledger.drain()
        await database.close()


async def test_a_wall_clock_that_is_behind_records_nothing_earlier(database: Database, urls: Urls) -> None:
    await extend_calendar(database)
    await _set_clock(database, FEBRUARY + SECOND)
    async with (
        a_gateway(urls, FEBRUARY + SECOND) as (ahead, _),
        a_gateway(urls, FEBRUARY - SECOND) as (behind, _),
    ):
        shared = (a_counter(60, 100, name="all", is_shared=True),)
        first = await ahead.submit(an_earn(60, counters=shared))
        second = await behind.submit(an_earn(5))
        too_much = await behind.submit(an_earn(60, counters=shared))
        recorded = await behind.operation(second.operation)

    assert codes([first, second, too_much]) == ["OK", "OK", "LIMIT_EXCEEDED"]
    assert second.recorded_at == first.recorded_at
    assert recorded is not None
    assert recorded.period == 2
    await proving.holds(database)


async def test_points_that_arrive_ahead_of_a_slow_clock_are_taken_in_later(
    database: Database, urls: Urls
) -> None:
    await extend_calendar(database)
    await _set_clock(database, START + 2 * SECOND)
    other = compose(40, 1)
    async with a_gateway(urls, START + SECOND) as (ahead, _), a_gateway(urls, START) as (behind, clock):
        await ahead.submit(an_earn(50))
        sent = await ahead.submit(a_transfer(20, to_member=other))
        early = await behind.drive(sent.operation)
        clock.at = START + 2 * SECOND
        later = await behind.drive(sent.operation)

        balance = await behind.balance(other)
    assert early is not None
    assert later is not None
    assert (early.state, later.state, balance.available) == ("open", "arrived", 20)
    await proving.holds(database)


async def test_two_who_drive_the_clock_do_everything_at_its_instant(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    hours = [START + timedelta(hours=n) for n in range(1, 25)]
    await ledger.submit_many(
        [an_earn(1, member=compose(n, 1), available_at=at) for n, at in enumerate(hours)]
    )
    async with a_process(urls) as other:
        await asyncio.gather(ledger.advance(hours[-1]), other.advance(hours[-1]))

    async with database.writer.connect() as connection:
        released = select(operations.c.recorded_at).where(operations.c.kind == "release")
        assert sorted(await connection.scalars(released)) == hours
    await proving.holds(database)
