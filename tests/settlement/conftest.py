"""The coalition of the golden example, and a ledger of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledger import Ledger
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from tests.settlement.coalition import Coalition, found_coalition
from tests.settlement.scenarios import golden_inputs


@pytest.fixture
async def coalition(database: Database) -> Coalition:
    return await found_coalition(database, golden_inputs())


@pytest.fixture
async def ledger(
    coalition: Coalition, database: Database, driven_clock: DrivenClock
) -> AsyncIterator[Ledger]:
    opened = Ledger(database, driven_clock)
    await opened.start()
    yield opened
    await opened.drain()
