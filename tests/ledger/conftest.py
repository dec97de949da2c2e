"""A running ledger on a database of its own, with eleven periods of 2026 in its calendar."""

from __future__ import annotations

import os
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


@pytest.fixture
def soak_seconds(request: pytest.FixtureRequest) -> float:
    """How long a test of the long profile goes on: its share of `make soak`, a moment otherwise."""
    told = os.environ.get("KOPILKA_SOAK_SECONDS")
    if told is None:
        return 2.0
    sharing = [item for item in request.session.items if item.get_closest_marker("soak")]
    return float(told) / max(len(sharing), 1)
