"""Several processes on one database: the calendar and the clock that one moves, all follow."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import text, update

from ledger import Ledger, fence
from ledger.kernel.clock import WallClock
from ledger.kernel.database import Database, metadata
from ledger.kernel.tables import clock
from ledger.tables import HISTORY
from tests.servers import Urls

from .builders import FAR, MEMBER, START, an_earn
from .instances import a_process, codes

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)

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
        await connection.execute(update(clock).values(now=this))  # history of this month may be made
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
