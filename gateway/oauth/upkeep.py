"""Keeps this process's keys and revocations as PostgreSQL has them, and clears away what is dead."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ledger.kernel.database import Database
from partners.clients import forget_revocations, live_revocations

from .keys import KeyRing
from .store import forget_assertions
from .verifier import Verifier

LOOKS_EVERY_SECONDS: Final = 0.5
"""Half a second, so that a revocation holds within one even when a look takes a while."""

CLEARS_EVERY_SECONDS: Final = 3600.0

_log = structlog.get_logger(__name__)


class Upkeep:
    """A background task: `start` brings everything up to date before it returns, `stop` ends it."""

    def __init__(self, database: Database, keys: KeyRing, verifier: Verifier) -> None:
        self._database = database
        self._keys = keys
        self._verifier = verifier
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the first key if there is none, read keys and revocations, and go on doing so."""
        await self.clear(datetime.now(UTC))
        await self.look(datetime.now(UTC))
        self._task = asyncio.create_task(self._run(), name="oauth upkeep")

    async def stop(self) -> None:
        """End the background task, if it runs."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self, at: datetime) -> None:
        """Read the signing keys and the revocations in force at `at`."""
        async with self._database.writer.connect() as connection:
            self._verifier.see(await connection.run_sync(live_revocations, at))
            await self._keys.load(connection)

    async def clear(self, at: datetime) -> None:
        """Rotate the signing key if that is due; drop dead keys, used assertions, old revocations."""
        async with self._database.writer.begin() as connection:
            await self._keys.rotate_when_due(connection, at=at)
            await connection.run_sync(_forget, at)

    async def _run(self) -> None:
        cleared_at = time.monotonic()
        is_failing = False
        while True:
            await asyncio.sleep(LOOKS_EVERY_SECONDS)
            try:
                await self.look(datetime.now(UTC))
                if time.monotonic() >= cleared_at + CLEARS_EVERY_SECONDS:
                    await self.clear(datetime.now(UTC))
                    cleared_at = time.monotonic()
                is_failing = False
            except (SQLAlchemyError, OSError, ValueError):
                # PostgreSQL is away, and without it nothing can be posted either; or another
                # process sealed a key under a master key that this one was not given. Either
                # way what is in memory stays good, and looking goes on.
                if not is_failing:
                    _log.warning("oauth_upkeep_failing", exc_info=True)
                is_failing = True


def _forget(connection: Connection, at: datetime) -> None:
    forget_assertions(connection, at)
    forget_revocations(connection, at)
