"""Fences move under full load: no operation is lost, counted twice, or put in a period it is not of."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import case, func, select, text
from sqlalchemy.exc import IntegrityError

from ledger import Command, Ledger, fence, flows, stock
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import heads, operations, stock_at_fence
from tests.servers import Urls

from . import proving
from .builders import FAR, START, a_burn, a_capture, a_void, an_authorization, an_earn
from .instances import a_process, codes

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)

_SUMS_OF_LINES = text("""
    SELECT period, CASE WHEN debit IN (1, 2) AND credit = 3 THEN 'release'
                        WHEN debit = 1 AND credit = 2 THEN 'earn_pending'
                        WHEN credit = 6 THEN 'burn'
                        WHEN credit = 7 THEN 'expire' END AS operation,
           issuer, redeemer, origin_period, sum(amount)::bigint, count(*)
    FROM lines WHERE unit = 'PTS' AND NOT (debit = 3 AND credit = 4) AND NOT (debit = 4 AND credit = 3)
    GROUP BY 1, 2, 3, 4, 5
""")

_STOCK_BY_LINES = text("""
    SELECT bucket, issuer, obligor, tariff,
           sum(CASE WHEN debit IN (1, 2) AND credit = 3 THEN amount
                    WHEN credit IN (6, 7) THEN -amount ELSE 0 END)::bigint AS points
    FROM lines WHERE unit = 'PTS' AND period <= :period
    GROUP BY bucket, issuer, obligor, tariff
""")


async def test_periods_that_overlap_are_not_added_in_silence(ledger: Ledger, database: Database) -> None:
    again = [(n, datetime(2026, n, 1, tzinfo=UTC), datetime(2026, n + 1, 1, tzinfo=UTC)) for n in (10, 11)]

    async with database.writer.begin() as connection:
        await fence.extend(connection, again, "UTC")
    with pytest.raises(IntegrityError, match="ex_calendar_overlap"):
        async with database.writer.begin() as connection:
            await fence.extend(connection, [(12, datetime(2026, 11, 30, tzinfo=UTC), FAR)], "UTC")


@pytest.mark.soak
async def test_fences_that_move_under_load_lose_nothing_and_count_nothing_twice(
    ledger: Ledger, database: Database, urls: Urls, soak_seconds: float
) -> None:
    sent: list[str] = []
    is_over = asyncio.Event()
    async with a_process(urls) as other:
        tills = [
            asyncio.create_task(_trade(own, ledger, seed, is_over, sent))
            for seed in range(2)
            for own in (ledger, other)
        ]
        for month in range(2, 9):
            await asyncio.sleep(soak_seconds / 7)
            await ledger.advance(datetime(2026, month, 1, 12, tzinfo=UTC))
        is_over.set()
        await asyncio.gather(*tills)
    async with database.writer.connect() as connection:
        assert await fence.all_past(connection, 7)
        periods = [await flows.so_far(connection, period) for period in range(1, 9)]
        by_flows = {
            (f.period, f.operation, f.issuer, f.redeemer, f.origin_period): (f.points, f.count)
            for of_period in periods
            for f in of_period
        }
        by_lines = {tuple(row[:5]): tuple(row[5:]) for row in await connection.execute(_SUMS_OF_LINES)}
        stored = Counter(await connection.scalars(select(operations.c.key).where(operations.c.key != "")))
        misplaced = await connection.scalar(
            select(func.count()).where(operations.c.period != _period_of(operations.c.recorded_at))
        )
        for period in range(1, 8):
            await _same_stock(connection, period)

    assert by_flows == by_lines
    assert stored == Counter(sent)
    assert misplaced == 0
    await proving.holds(database)


async def test_a_late_item_belongs_to_the_open_period_and_names_its_own(
    ledger: Ledger, database: Database
) -> None:
    await ledger.advance(FEBRUARY + timedelta(days=3))

    late = await ledger.submit(an_earn(30, occurred_at=START + timedelta(days=9)))
    on_time = await ledger.submit(an_earn(20, occurred_at=FEBRUARY))

    recorded = [await ledger.operation(outcome.operation) for outcome in (late, on_time)]
    async with database.writer.connect() as connection:
        moved = {(f.origin_period, f.points) for f in await flows.so_far(connection, 2)}
    assert [(r.period, r.origin_period) for r in recorded if r] == [(2, 1), (2, 2)]
    assert moved == {(1, 30), (2, 20)}


async def test_the_last_instant_of_a_period_is_its_own_and_its_end_is_the_next_ones(
    ledger: Ledger, database: Database
) -> None:
    await ledger.advance(FEBRUARY - timedelta(microseconds=1))
    last = await ledger.submit(an_earn(1))
    await ledger.advance(FEBRUARY)
    first = await ledger.submit(an_earn(2))

    recorded = [await ledger.operation(outcome.operation) for outcome in (last, first)]
    async with database.writer.connect() as connection:
        at_fence = await stock.at_fence(connection, 1)

    assert [r.period for r in recorded if r] == [1, 2]
    assert [cell.points for cell in at_fence] == [1]


async def test_a_bucket_that_slept_through_two_periods_freezes_its_stock_at_both(
    ledger: Ledger, database: Database, driven_clock: DrivenClock
) -> None:
    await ledger.submit(an_earn(70))
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE clock SET now = '2026-03-05T00:00:00Z'"))
    driven_clock.see(datetime(2026, 3, 5, tzinfo=UTC))

    await ledger.submit(a_burn(20))

    async with database.writer.connect() as connection:
        frozen = [[cell.points for cell in await stock.at_fence(connection, period)] for period in (1, 2, 3)]
    assert frozen == [[70], [70], []]
    await proving.holds(database)


async def test_passing_a_fence_twice_or_too_early_changes_nothing(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(70))
    await ledger.pass_fences(1)
    async with database.writer.connect() as connection:
        assert not await fence.all_past(connection, 1)

    await ledger.advance(FEBRUARY)
    await asyncio.gather(*(ledger.pass_fences(1) for _ in range(4)))

    async with database.writer.connect() as connection:
        assert set(await connection.scalars(select(heads.c.period))) == {2}
        assert await connection.scalar(select(func.count()).select_from(stock_at_fence)) == 1
    await proving.holds(database)


async def _trade(own: Ledger, driver: Ledger, seed: int, is_over: asyncio.Event, sent: list[str]) -> None:
    """Earn, hold, capture, void and burn until told to stop; one in five happened a month ago."""
    chance = random.Random(seed)
    while not is_over.is_set():
        await asyncio.sleep(0.04)
        now = driver.clock.now()
        commands = [_command(chance, now) for _ in range(6)]
        outcomes = await own.submit_many(commands)
        sent += [command.key for command in commands]
        follow: list[Command] = [
            chance.choice((a_capture, a_void))(outcome.hold, partner=command.partner)
            for command, outcome in zip(commands, outcomes, strict=True)
            if outcome.kind == "authorize" and outcome.hold is not None and outcome.refused is None
        ]
        answers = await own.submit_many(follow)
        assert set(codes(answers)) <= {"OK", "HOLD_EXPIRED"}
        sent += [command.key for command in follow]


def _command(chance: random.Random, now: datetime) -> Command:
    common: dict[str, Any] = {
        "member": compose(chance.randrange(0, 64, 3), chance.randrange(1, 4)),
        "partner": chance.randrange(1, 4),
        "occurred_at": now - timedelta(days=31) if chance.random() < 0.2 else now,
    }
    # What falls due by itself does so at a few instants, or the clock would stop at thousands.
    soon = (now.replace(day=1, hour=0) + timedelta(days=32)).replace(day=1)
    kind = chance.random()
    if kind < 0.5:
        pending = soon + timedelta(hours=6) if kind < 0.2 else None
        # Long enough not to have run out when the clock jumps a month before it is posted.
        expires_at = soon + timedelta(days=chance.choice((45, 80, 400)))
        return an_earn(chance.randrange(1, 90), available_at=pending, expires_at=expires_at, **common)
    if kind < 0.8:
        return a_burn(chance.randrange(1, 40), **common)
    return an_authorization(chance.randrange(1, 40), expires_at=soon, **common)


def _period_of(recorded_at: Any) -> Any:
    month = func.extract("month", func.timezone("UTC", recorded_at))
    return case((month <= 11, month), else_=0)


async def _same_stock(connection: Any, period: int) -> None:
    by_lines = {
        tuple(row[:4]): row.points
        for row in await connection.execute(_STOCK_BY_LINES, {"period": period})
        if row.points
    }
    cell = [getattr(stock_at_fence.c, name) for name in ("bucket", "issuer", "obligor", "tariff")]
    query = select(*cell, func.sum(stock_at_fence.c.points)).where(stock_at_fence.c.period == period)
    at_fence = {tuple(row[:4]): int(row[4]) for row in await connection.execute(query.group_by(*cell))}
    assert at_fence == by_lines
