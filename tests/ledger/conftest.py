"""A running ledger on a database of its own, with two periods of 2026 in its calendar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from ledger import Ledger, fence
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database


@pytest.fixture
async def ledger(database: Database, driven_clock: DrivenClock) -> AsyncIterator[Ledger]:
    async with database.writer.begin() as connection:
        months = [
            (n, datetime(2026, n, 1, tzinfo=UTC), datetime(2026, n + 1, 1, tzinfo=UTC)) for n in range(1, 12)
        ]
        await fence.extend(connection, months, "UTC")
    opened = Ledger(database, driven_clock)
    await opened.start()
    yield opened
    await opened.drain()
