"""Month after month is closed under full load: each operation is in one period, once, and in its cells."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from ledger import Command, Ledger
from ledger.kernel.database import Database
from ledger.kernel.tables import clock
from settlement.close import advance
from settlement.periods import Stage
from tests.ledger.builders import a_burn, an_earn
from tests.ledger.instances import a_process
from tests.servers import Urls
from tests.settlement.coalition import STAFF, Coalition, found_coalition
from tests.settlement.scenarios import golden_inputs
from tests.settlement.test_close_of_traffic import MEMBERS, findings

MONTHS = 6
"""Closed one after the other; a seventh takes what is late."""

HALF_A_DAY = timedelta(hours=12)
"""So far into the next month the clock goes: what is sent meanwhile falls before and after the fence."""

_BY_CELLS = text("SELECT period, sum(points)::bigint, sum(count)::bigint FROM cells GROUP BY period")
_BY_LINES = text("""
    SELECT period, sum(amount)::bigint, count(*) FROM lines
    WHERE unit = 'PTS' AND credit <> 4 AND debit <> 4 GROUP BY period
""")
_ELSEWHERE = text("""
    SELECT o.id FROM operations o LEFT JOIN lines l ON l.bucket = o.bucket AND l.operation = o.id
    JOIN calendar c ON c.period = o.period
    WHERE o.recorded_at < c.starts_at OR o.recorded_at >= c.ends_at OR l.period <> o.period
""")
"""Operations that are not in the period in which they were recorded, or whose lines are in another."""

_KEYS = text("SELECT key FROM operations WHERE key <> '' AND kind IN ('earn', 'burn')")


@pytest.fixture
async def coalition(database: Database) -> Coalition:
    return await found_coalition(database, golden_inputs(), vat_ppm=200_000)


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
            commands = [_command(coalition, ledger.clock.now(), chance) for _ in range(12)]
            await own.submit_many(commands)
            sent.update(command.key for command in commands)
            await asyncio.sleep(0.02)

    async with a_process(urls) as other:
        tills = [asyncio.create_task(trade(own)) for own in (ledger, other, ledger, other)]
        for month in range(1, MONTHS + 1):
            await asyncio.sleep(soak_seconds / MONTHS)
            # By turns the clock is driven, which moves every fence, or goes on as the wall's does: then
            # batches pass their own fences, and the closings those of the buckets that are idle.
            if month % 2:
                await ledger.advance(_ends(month) + HALF_A_DAY)
            else:
                await _let_time_go_on(database, _ends(month) + HALF_A_DAY)
            closings = (advance(database, own, month, at=_ends(month), by=STAFF) for own in (ledger, other))
            for closed in await asyncio.gather(*closings):
                assert closed.stage is Stage.PROPOSED
        is_over.set()
        await asyncio.gather(*tills)
    await ledger.advance(_ends(MONTHS + 1))
    await advance(database, ledger, MONTHS + 1, at=_ends(MONTHS + 1), by=STAFF)

    async with database.writer.connect() as connection:
        by_cells = {tuple(row) for row in await connection.execute(_BY_CELLS)}
        by_lines = {tuple(row) for row in await connection.execute(_BY_LINES)}
        elsewhere = list(await connection.scalars(_ELSEWHERE))
        stored = Counter(await connection.scalars(_KEYS))
    assert by_cells == by_lines
    assert elsewhere == []
    assert {period for period, _, _ in by_cells} == set(range(1, MONTHS + 2))
    assert stored == sent
    assert await findings(database) == ()


async def _let_time_go_on(database: Database, to: datetime) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(update(clock).values(now=to))


def _command(coalition: Coalition, now: datetime, chance: random.Random) -> Command:
    """An earn, some of them pending, or a burn; one in ten happened a month ago."""
    name = chance.choice("ABCD")
    given: dict[str, Any] = {
        "member": chance.choice(MEMBERS),
        "partner": coalition.partners[name],
        "terms": coalition.terms[name],
        "occurred_at": now - timedelta(days=31) if chance.random() < 0.1 else now,
    }
    if chance.random() < 0.5:
        return a_burn(chance.randint(1, 40), **given)
    # What falls due by itself does so at a few instants, or the clock would stop at thousands.
    soon = (now.replace(day=1, hour=6) + timedelta(days=32)).replace(day=1)
    return an_earn(
        chance.randint(1, 100),
        obligor=coalition.partners[name],
        tariff=coalition.tariffs[name],
        available_at=soon if chance.random() < 0.5 else None,
        expires_at=soon + timedelta(days=chance.choice([45, 80, 400])),
        **given,
    )


def _ends(month: int) -> datetime:
    return datetime(2026, month + 1, 1, tzinfo=UTC)
