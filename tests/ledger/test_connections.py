"""Requests may hold every connection of their pool while they wait for a lane: lanes need none of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from sqlalchemy import QueuePool, text

from ledger import Counter, Earn, Ledger, fence, windows
from ledger.kernel.database import Database
from ledger.kernel.ids import compose

from . import proving
from .builders import an_earn
from .instances import code


@asynccontextmanager
async def every_connection_held(database: Database) -> AsyncIterator[None]:
    """As eight merges at once hold them. Whoever would wait for one has no answer in time."""
    pool = database.writer.pool
    assert isinstance(pool, QueuePool)
    async with AsyncExitStack() as stack:
        for _ in range(pool.size()):
            await stack.enter_async_context(database.writer.connect())
        async with asyncio.timeout(10):
            yield


def an_earn_under(ceiling: int, points: int, bucket: int) -> Earn:
    """An earn that draws on a ceiling all members share."""
    shared = Counter(name="issued/1", window=windows.EVER, increment=points, ceiling=ceiling, is_shared=True)
    return an_earn(points, member=compose(bucket, 1), counters=(shared,))


async def test_what_another_bucket_has_not_used_is_called_back(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn_under(25_600, 1, bucket=3))

    async with every_connection_held(database):
        outcome = await ledger.submit(an_earn_under(25_600, 25_599, bucket=4))

    assert code(outcome) == "OK"
    await proving.holds(database)


async def test_the_calendar_is_read_again_when_time_has_left_it(ledger: Ledger, database: Database) -> None:
    async with database.writer.begin() as connection:
        december = datetime(2026, 12, 1, tzinfo=UTC)
        await fence.extend(connection, [(12, december, december.replace(year=2027, month=1))], "UTC")
        await connection.execute(text("UPDATE clock SET now = :at"), {"at": december})

    async with every_connection_held(database):
        outcome = await ledger.submit(an_earn(10))

    assert code(outcome) == "OK"
    recorded = await ledger.operation(outcome.operation)
    assert recorded is not None
    assert recorded.period == 12
    await proving.holds(database)
