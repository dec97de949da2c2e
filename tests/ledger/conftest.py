"""A running ledger on a database of its own, with eleven periods of 2026 in its calendar."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledger import Ledger
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database

from .instances import extend_calendar


@pytest.fixture
async def ledger(database: Database, driven_clock: DrivenClock) -> AsyncIterator[Ledger]:
    await extend_calendar(database)
    opened = Ledger(database, driven_clock)
    await opened.start()
    yield opened
    await opened.drain()
