"""What runs by itself, and how often: one line a job, each of them a room's use case."""

from __future__ import annotations

from typing import Final

import structlog

from ledger import proof as points
from partners import drive_novations as novate
from partners import ensure_calendar
from settlement import proof as money

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


async def drive_transits(services: Services) -> None:
    """Take points that are between two members to where they belong."""
    ended = await services.ledger.drive_all()
    if ended:
        _log.info("transits_ended", transits=ended)


async def drive_novations(services: Services) -> None:
    """Bring the points of partners that left into other hands, some thousand wallets a turn."""
    await novate(services.database, services.ledger, at=services.clock.now())


async def extend_calendar(services: Services) -> None:
    """Keep the periods of the next two years in the calendar."""
    programme = services.directories.current.programme
    if programme is not None:
        async with services.database.writer.begin() as connection:
            await ensure_calendar(connection, programme, services.clock.now())


async def prove(services: Services) -> None:
    """Run every invariant; what breaks one is an error in the log, row by row."""
    proof = await points.prove(services.database.writer, (*points.INVARIANTS, *money.INVARIANTS))
    for finding in proof.findings:
        _log.error("invariant_broken", invariant=finding.invariant, bucket=finding.bucket, row=finding.row)
    _log.info("proved", ok=proof.is_ok, operations=proof.operations, lines=proof.lines)


JOBS: Final = (
    Job(name="sweep", task=sweep, seconds=_EVERY_TEN_SECONDS),
    Job(name="drive_transits", task=drive_transits, seconds=frozenset(range(5, 60, 10))),
    Job(name="drive_novations", task=drive_novations, seconds=frozenset({20, 50})),
    Job(name="extend_calendar", task=extend_calendar, minute=3),
    Job(name="prove", task=prove, minute=17, timeout_seconds=1800),
)
