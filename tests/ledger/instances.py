"""Ledgers of several processes on one database: each has a pool, lanes and a copy of the clock of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from ledger import Ledger, Outcome, fence
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from tests.servers import Urls

from .builders import START


async def extend_calendar(database: Database, zone: str = "UTC") -> None:
    """The months of 2026 as the periods 1 to 11."""
    months = [
        (n, datetime(2026, n, 1, tzinfo=UTC), datetime(2026, n + 1, 1, tzinfo=UTC)) for n in range(1, 12)
    ]
    async with database.writer.begin() as connection:
        await fence.extend(connection, months, zone)


@asynccontextmanager
async def a_process(urls: Urls, **settings: Any) -> AsyncIterator[Ledger]:
    """Another process's ledger, drained and closed at the end."""
    database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
    ledger = Ledger(database, DrivenClock(START), **settings)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.drain()
        await database.close()


def code(outcome: Outcome) -> str:
    """OK, or the code of the refusal."""
    return "OK" if outcome.refused is None else outcome.refused.code


def codes(outcomes: Sequence[Outcome]) -> list[str]:
    """The codes of outcomes, in order."""
    return [code(outcome) for outcome in outcomes]
