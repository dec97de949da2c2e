"""The directory in force in this process, renewed within a second of any change anywhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.database import Database

from . import store
from .directory import Directory

POLL_SECONDS: Final = 1.0

log = structlog.get_logger()

_LOST: Final = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


async def shown_directory(connection: AsyncConnection) -> Directory:
    """What the connection's role may see of the directory; on a reading connection, one partner's part.

    The connection must be in a REPEATABLE READ transaction.
    """
    return await store.load_directory(connection)


class Directories:
    """Holds `current`. Call `reload` after a write of one's own; `start` follows everyone else's."""

    def __init__(self, database: Database, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.current = Directory(version=-1, programme=None)
        self._database = database
        self._poll_seconds = poll_seconds
        self._poller: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the directory, then keep it fresh until `stop`."""
        await self.reload()
        self._poller = asyncio.create_task(self._poll(), name="directory")

    async def stop(self) -> None:
        """Stop following changes."""
        if self._poller is not None:
            self._poller.cancel()
            with suppress(asyncio.CancelledError):
                await self._poller
            self._poller = None

    async def reload(self) -> Directory:
        """Read the directory as it is now, all of it in one snapshot."""
        async with self._database.writer.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            loaded = await store.load_directory(connection)
        if loaded.version >= self.current.version:
            self.current = loaded
        return self.current

    async def _poll(self) -> None:
        """A lost connection leaves the last directory in force: tills go on, and so does the poll."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                if await self._height() != self.current.version:
                    await self.reload()
            except _LOST as fault:
                log.warning("directory.unread", fault=type(fault).__name__)

    async def _height(self) -> int:
        async with self._database.writer.connect() as connection:
            return await store.height(connection)
