"""A novation is driven with one connection of the pool at a time, by one driver at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ledger import Ledger
from ledger.kernel.database import Database
from partners import Novation, begin_novation, drive_novation, suspend_partner
from tests.ledger.builders import an_earn
from tests.servers import Urls

from .conftest import BY, Coalition


@asynccontextmanager
async def with_one_connection(urls: Urls, coalition: Coalition) -> AsyncIterator[tuple[Database, Ledger]]:
    """A process whose pool has a single connection: who takes two waits for itself."""
    database = await Database.open(writer_url=urls.writer, reader_url=urls.reader, engine_connections=1)
    ledger = Ledger(database, coalition.ledger.clock)
    await ledger.start()
    try:
        yield database, ledger
    finally:
        await ledger.drain()
        await database.close()


async def begun(coalition: Coalition) -> Novation:
    """The bakery leaves with seventy points out, and the operator is to answer for them."""
    leaver, at = coalition.bakery.partner, coalition.now
    await coalition.ledger.submit(an_earn(70, partner=leaver, obligor=leaver, tariff=1, occurred_at=at))
    async with coalition.database.writer.begin() as connection:
        await suspend_partner(connection, leaver, reason="it leaves", at=at, by=BY)
        return await begin_novation(connection, leaver, successor=0, reason="it leaves", at=at, by=BY)


async def test_a_novation_is_driven_to_its_end_with_one_connection(coalition: Coalition, urls: Urls) -> None:
    novation = await begun(coalition)

    async with with_one_connection(urls, coalition) as (database, ledger), asyncio.timeout(15):
        for _ in range(2):
            driven = await drive_novation(database, ledger, novation.id, at=coalition.now)

    assert driven.done_at == coalition.now


async def test_eight_at_once_wait_for_nobody(coalition: Coalition, urls: Urls) -> None:
    novation = await begun(coalition)

    async with with_one_connection(urls, coalition) as (database, ledger), asyncio.timeout(15):
        drivers = (drive_novation(database, ledger, novation.id, at=coalition.now) for _ in range(8))
        driven = await asyncio.gather(*drivers)
        last = await drive_novation(database, ledger, novation.id, at=coalition.now)

    assert {each.id for each in driven} == {novation.id}
    assert last.done_at == coalition.now
