"""What every test may ask for: a database of its own on one shared server, a clock, a queue."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from tests import servers
from tests.servers import Running, Urls

START = datetime(2026, 1, 1, tzinfo=UTC)


def pytest_configure(config: pytest.Config) -> None:
    """With xdist the run's first process starts the servers, since it ends last."""
    if not servers.is_worker(config) and config.getoption("numprocesses", None):
        servers.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Runs after an interruption too."""
    if not servers.is_worker(config):
        servers.stop()


@pytest.fixture(scope="session")
def run() -> Running:
    """The run's PostgreSQL and Valkey."""
    return servers.running()


@pytest.fixture
async def urls(run: Running) -> AsyncIterator[Urls]:
    """A fresh, migrated database with a driven clock at `START`, dropped afterwards."""
    fresh = await servers.fresh_database(START)
    yield fresh
    await servers.drop_database(fresh)


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    """`urls`, opened as writer and reader."""
    opened = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
    yield opened
    await opened.close()


@pytest.fixture
def driven_clock() -> DrivenClock:
    """Programme time, standing at `START`."""
    return DrivenClock(START)


@pytest.fixture
def redis_url(run: Running) -> str:
    """The run's Valkey."""
    return run.redis_url
