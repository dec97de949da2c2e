"""Keeps this process's keys and revocations as PostgreSQL has them, and clears away what is dead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from ledger.kernel.database import Database
from ledger.kernel.poller import Poller
from partners.clients import forget_revocations, live_revocations

from .keys import KeyRing
from .store import forget_assertions
from .verifier import Verifier

LOOKS_EVERY_SECONDS: Final = 0.5
"""Half a second, so that a revocation holds within one even when a look takes a while."""

CLEARS_EVERY_SECONDS: Final = 3600.0


class Upkeep:
    """Two background tasks: `start` brings everything up to date before it returns, `stop` ends them.

    While they fail what is in memory stays good: PostgreSQL is away, and without it nothing can be posted
    either, or another process sealed a key under a master key that this one was not given.
    """

    def __init__(self, database: Database, keys: KeyRing, verifier: Verifier) -> None:
        self._database = database
        self._keys = keys
        self._verifier = verifier
        self.poller = Poller(
            "keys and revocations", lambda: self.look(datetime.now(UTC)), seconds=LOOKS_EVERY_SECONDS
        )
        self._clearing = Poller(
            "oauth clearing", lambda: self.clear(datetime.now(UTC)), seconds=CLEARS_EVERY_SECONDS
        )

    async def start(self) -> None:
        """Make the first key if there is none, read keys and revocations, and go on doing so."""
        await self.clear(datetime.now(UTC))
        await self.look(datetime.now(UTC))
        self.poller.start()
        self._clearing.start()

    async def stop(self) -> None:
        """End them, if they run."""
        await self.poller.stop()
        await self._clearing.stop()

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


def _forget(connection: Connection, at: datetime) -> None:
    forget_assertions(connection, at)
    forget_revocations(connection, at)
