"""What every test may ask for: a database of its own on one shared server, a clock, a queue."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, Phase, is_hypothesis_test, settings

from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from tests import servers
from tests.servers import Running, Urls

START = datetime(2026, 1, 1, tzinfo=UTC)

SOAK = "KOPILKA_SOAK_SECONDS"
"""How long all tests marked `soak` may take together; without it each is done with in a moment."""
_SEED = "KOPILKA_SOAK_SEED"


# How fast a machine is says nothing of the code; the first text drawn takes a second.
settings.register_profile("tests", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("tests")

MUTANTS = "mutants"
"""The profile of `make mutants`: the same examples each time, whatever the machine does meanwhile, and no
search for the smallest one that fails, since nobody looks at it."""
settings.register_profile(
    MUTANTS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=(HealthCheck.too_slow,),
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A mutant's tests end with the first that fails, so those that are over soon come first."""
    if config.getoption("--hypothesis-profile") == MUTANTS:
        items.sort(key=_is_property)


def _is_property(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and is_hypothesis_test(item.function)


def pytest_configure(config: pytest.Config) -> None:
    """With xdist the run's first process starts the servers, since it ends last, and picks the seed."""
    os.environ.setdefault(_SEED, str(secrets.randbelow(1_000_000)))
    if SOAK in os.environ and not servers.is_worker(config):
        print(f"{_SEED}={os.environ[_SEED]}", flush=True)  # noqa: T201
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


@pytest.fixture
def soak_seconds(request: pytest.FixtureRequest) -> float:
    """How long a test of the long profile goes on: its share of `make soak`, a moment otherwise."""
    told = os.environ.get(SOAK)
    if told is None:
        return 2.0
    sharing = [item for item in request.session.items if item.get_closest_marker("soak")]
    return float(told) / max(len(sharing), 1)


@pytest.fixture
def seed() -> int:
    """The run's seed, shown with a failure: it repeats what is drawn, not when the machine does what."""
    number = int(os.environ[_SEED])
    print(f"{_SEED}={number}")  # noqa: T201
    return number


@pytest.fixture
def chance(request: pytest.FixtureRequest, seed: int) -> random.Random:
    """Chance of a test's own, from the run's seed."""
    return random.Random(f"{seed} {request.node.name}")
