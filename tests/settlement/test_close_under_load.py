"""Month after month is closed under full load: each operation is in one period, once, and in its cells."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from ledger import Ledger
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from settlement.close import advance
from settlement.periods import Stage
from tests.ledger.instances import a_process
from tests.servers import Urls
from tests.settlement.coalition import STAFF, Coalition, found_coalition
from tests.settlement.scenarios import golden_inputs
from tests.settlement.test_close_of_traffic import findings, traffic

MONTHS = 6
"""Closed one after the other; a seventh takes what is late."""

_BY_CELLS = text("SELECT period, sum(points)::bigint, sum(count)::bigint FROM cells GROUP BY period")
_BY_LINES = text("""
    SELECT period, sum(amount)::bigint, count(*) FROM lines
    WHERE unit = 'PTS' AND credit <> 4 AND debit <> 4 GROUP BY period
""")
_KEYS = text("SELECT key FROM operations WHERE key <> '' AND kind IN ('earn', 'burn')")


@pytest.fixture
async def coalition(database: Database) -> Coalition:
    return await found_coalition(database, golden_inputs(), vat_ppm=200_000)


@pytest.fixture
async def ledger(
    coalition: Coalition, database: Database, driven_clock: DrivenClock
) -> AsyncIterator[Ledger]:
    opened = Ledger(database, driven_clock)
    await opened.start()
    yield opened
    await opened.drain()


@pytest.mark.soak
async def test_months_closed_under_load_lose_nothing_and_count_nothing_twice(
    coalition: Coalition,
    database: Database,
    ledger: Ledger,
    urls: Urls,
    soak_seconds: float,
    chance: random.Random,
) -> None:
    sent: Counter[str] = Counter()
    is_over = asyncio.Event()

    async def trade(own: Ledger) -> None:
        while not is_over.is_set():
            commands = traffic(coalition, ledger.clock.now(), 12, seed=chance.randrange(1 << 30))
            await own.submit_many(commands)
            sent.update(command.key for command in commands)
            await asyncio.sleep(0.02)

    async with a_process(urls) as other:
        tills = [asyncio.create_task(trade(own)) for own in (ledger, other, ledger, other)]
        for month in range(1, MONTHS + 1):
            await asyncio.sleep(soak_seconds / MONTHS)
            await _end(month, ledger)
            closings = (advance(database, own, month, at=_ends(month), by=STAFF) for own in (ledger, other))
            for closed in await asyncio.gather(*closings):
                assert closed.stage is Stage.PROPOSED
        is_over.set()
        await asyncio.gather(*tills)
    await _end(MONTHS + 1, ledger)
    await advance(database, ledger, MONTHS + 1, at=_ends(MONTHS + 1), by=STAFF)

    async with database.writer.connect() as connection:
        by_cells = {tuple(row) for row in await connection.execute(_BY_CELLS)}
        by_lines = {tuple(row) for row in await connection.execute(_BY_LINES)}
        stored = Counter(await connection.scalars(_KEYS))
    assert by_cells == by_lines
    assert {period for period, _, _ in by_cells} == set(range(1, MONTHS + 2))
    assert stored == sent
    assert await findings(database) == ()


async def _end(month: int, ledger: Ledger) -> None:
    """Half a day into the next month: what is sent meanwhile falls before and after the fence."""
    started = time.monotonic()
    await ledger.advance(_ends(month) + timedelta(hours=12))
    assert time.monotonic() - started < 60, "the clock was held up by the load"


def _ends(month: int) -> datetime:
    return datetime(2026, month + 1, 1, tzinfo=UTC)
