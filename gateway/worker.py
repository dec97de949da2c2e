"""What runs by itself, and how often: one line a job, each of them a room's use case."""

from __future__ import annotations

from typing import Final

import structlog

from .jobs import Job, work
from .services import Services, open_services
from .settings import Settings

_log = structlog.get_logger(__name__)

_EVERY_TEN_SECONDS: Final = frozenset(range(0, 60, 10))


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what is under way."""
    async with open_services(settings) as services:
        await work(settings.require("redis_url"), JOBS, services)


async def sweep(services: Services) -> None:
    """Apply releases, lapses and expiries on wallets that nobody touches."""
    await services.ledger.reload_calendar()
    visited = await services.ledger.sweep(services.clock.now())
    if visited:
        _log.info("swept", wallets=visited)


JOBS: Final = (Job(name="sweep", task=sweep, seconds=_EVERY_TEN_SECONDS),)
