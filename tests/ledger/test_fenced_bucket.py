"""A bucket whose proof failed is read-only: it refuses for now, and nothing in it is written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sqlalchemy import func, select

from ledger import Ledger
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import blocks, heads, operations, stock_at_fence
from tests.servers import Urls

from .builders import MEMBER, a_burn, an_earn
from .instances import code, codes


async def test_a_fenced_bucket_refuses_for_now_and_stores_nothing(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit(an_earn(50, key="before"))
    await _fence(urls, "the proof failed")

    refused = await ledger.submit_many([a_burn(10, key="k"), an_earn(10)])
    elsewhere = await ledger.submit(an_earn(10, member=compose(8, 1)))
    repeated = await ledger.submit(an_earn(50, key="before"))
    await _fence(urls, None)
    lifted = await ledger.submit(a_burn(10, key="k"))

    assert codes(refused) == ["READ_ONLY", "READ_ONLY"]
    assert all(outcome.refused is not None and outcome.refused.retryable for outcome in refused)
    assert [outcome.operation for outcome in refused] == [0, 0]
    assert code(elsewhere) == "OK"
    assert repeated.replayed
    assert code(lifted) == "OK"
    assert not lifted.replayed
    assert await _count(database, operations) == 3


async def test_a_fenced_bucket_is_not_written_when_its_period_ends(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit(an_earn(50))
    await _fence(urls, "the proof failed")
    before = await _head(database)

    async with asyncio.timeout(20):
        await ledger.advance(datetime(2026, 2, 3, tzinfo=UTC))
    await ledger.submit(an_earn(10))

    assert await _head(database) == before
    async with database.writer.connect() as connection:
        written = select(func.count()).select_from(blocks).where(blocks.c.bucket == MEMBER >> 56)
        frozen = select(func.count()).select_from(stock_at_fence).where(stock_at_fence.c.bucket == 7)
        assert await connection.scalar(written) == 1
        assert await connection.scalar(frozen) == 0


async def _fence(urls: Urls, reason: str | None) -> None:
    connection = await asyncpg.connect(urls.owner)
    await connection.execute("UPDATE heads SET fenced = $1 WHERE bucket = $2", reason, MEMBER >> 56)
    await connection.close()


async def _head(database: Database) -> Any:
    async with database.writer.connect() as connection:
        return (await connection.execute(select(heads).where(heads.c.bucket == MEMBER >> 56))).one()


async def _count(database: Database, table: Any) -> int:
    async with database.writer.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()
