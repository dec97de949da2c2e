"""The directory in force in this process, renewed within a second of any change anywhere."""

from __future__ import annotations

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.database import Database
from ledger.kernel.poller import Poller

from . import store
from .directory import Directory

POLL_SECONDS: Final = 1.0


async def shown_directory(connection: AsyncConnection) -> Directory:
    """What the connection's role may see of the directory; on a reading connection, one partner's part.

    The connection must be in a REPEATABLE READ transaction.
    """
    return await store.load_directory(connection)


class Directories:
    """Holds `current`. Call `reload` after a write of one's own; `start` follows everyone else's."""

    def __init__(self, database: Database, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.current = Directory(version=-1, programme=None)
        self.poller = Poller("directory", self._follow, seconds=poll_seconds)
        self._database = database

    async def start(self) -> None:
        """Load the directory, then keep it fresh until `stop`."""
        await self.reload()
        self.poller.start()

    async def stop(self) -> None:
        """Stop following changes."""
        await self.poller.stop()

    async def reload(self) -> Directory:
        """Read the directory as it is now, all of it in one snapshot."""
        async with self._database.writer.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            loaded = await store.load_directory(connection)
        if loaded.version >= self.current.version:
            self.current = loaded
        return self.current

    async def _follow(self) -> None:
        """While it fails the last directory stays in force: tills go on."""
        if await self._height() != self.current.version:
            await self.reload()

    async def _height(self) -> int:
        async with self._database.writer.connect() as connection:
            return await store.height(connection)
