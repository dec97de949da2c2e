"""What runs by itself, and how often: one line a job, each of them a room's use case."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import structlog

from ledger import tallies
from ledger.evidence import sealing
from ledger.proof import Invariant
from partners import drive_novations as novate
from partners import ensure_calendar
from settlement import audits

from .jobs import Job, work
from .services import Services, open_services
from .settings import Settings

_log = structlog.get_logger(__name__)

_EVERY_TEN_SECONDS: Final = frozenset(range(0, 60, 10))
_WHOLE_NIGHT: Final = 6 * 3_600
_FOLDING_SECONDS: Final = 30.0
"""A long history is folded in several turns."""


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish what is under way."""
    async with open_services(settings) as services:
        await work(settings.require("redis_url"), jobs(settings), services)


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
    directory = services.directories.current
    if directory.has_programme:
        async with services.database.writer.begin() as connection:
            await ensure_calendar(connection, directory.programme, services.clock.now())


async def seal(services: Services) -> None:
    """Seal every period that all buckets have left, in order."""
    async with services.database.writer.connect() as connection:
        due = await sealing.due(connection)
    for span in due:
        async with services.database.writer.begin() as connection:
            sealed = await sealing.seal_period(connection, span, services.seal_keys, at=services.clock.now())
        _log.info("sealed", period=span.period, root=sealed.root.hex(), blocks=sealed.blocks)


async def fold_tallies(services: Services) -> None:
    """Add what was posted to the tallies, so that a standing is told from few rows."""
    folded, until = 0, time.monotonic() + _FOLDING_SECONDS
    while time.monotonic() < until:
        async with services.database.writer.begin() as connection:
            more = await tallies.fold(connection)
        folded += more
        if not more:
            break
    if folded:
        _log.info("folded", operations=folded)


async def prove(services: Services) -> None:
    """Run every invariant; what breaks one fences its bucket off and is an error in the log, once."""
    await _prove(services, audits.INVARIANTS)


async def prove_state(services: Services) -> None:
    """Run the invariants that read no history."""
    await _prove(services, audits.CHEAP)


async def _prove(services: Services, invariants: Sequence[Invariant]) -> None:
    audit = await audits.audit(services.database, at=services.clock.now(), invariants=invariants)
    _log.info(
        "proved",
        ok=audit.proof.is_ok,
        invariants=len(invariants),
        operations=audit.proof.operations,
        lines=audit.proof.lines,
    )


def jobs(settings: Settings) -> tuple[Job, ...]:
    """Everything that runs by itself."""
    often = frozenset(range(0, 60, settings.prove_every_minutes))
    return (
        Job(name="sweep", task=sweep, seconds=_EVERY_TEN_SECONDS),
        Job(name="drive_transits", task=drive_transits, seconds=frozenset(range(5, 60, 10))),
        Job(name="drive_novations", task=drive_novations, seconds=frozenset({20, 50})),
        Job(name="extend_calendar", task=extend_calendar, minute=3),
        Job(name="fold_tallies", task=fold_tallies, seconds=frozenset({30})),
        Job(name="seal", task=seal, minute=frozenset({5, 20, 35, 50}), timeout_seconds=3_600),
        Job(name="prove_state", task=prove_state, minute=often, timeout_seconds=1_800),
        Job(name="prove", task=prove, hour=settings.prove_at_hour, minute=17, timeout_seconds=_WHOLE_NIGHT),
    )
