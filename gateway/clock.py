"""Programme time in this process: read when it starts, and followed when somebody drives it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ledger.kernel.clock import Clock, DrivenClock, WallClock
from ledger.kernel.database import Database
from ledger.kernel.tables import clock as clock_table

POLL_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class ProgrammeClock:
    """Holds the installation's `clock`; a driven one is never more than a second behind."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.clock = clock
        self._database = database
        self._follower: asyncio.Task[None] | None = None

    @classmethod
    async def read(cls, database: Database) -> ProgrammeClock:
        """The clock that this installation was made with."""
        async with database.writer.connect() as connection:
            row = (await connection.execute(select(clock_table.c.is_driven, clock_table.c.now))).one()
        return cls(database, DrivenClock(row.now) if row.is_driven else WallClock())

    def start(self) -> None:
        """Follow a driven clock until `stop`."""
        if isinstance(self.clock, DrivenClock):
            self._follower = asyncio.create_task(self._follow(self.clock), name="clock")

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower
            self._follower = None

    async def _follow(self, clock: DrivenClock) -> None:
        """Without PostgreSQL nothing can be posted either, so the last instant stands until it is back."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                async with self._database.writer.connect() as connection:
                    clock.see((await connection.execute(select(clock_table.c.now))).scalar_one())
            except (SQLAlchemyError, OSError) as fault:
                _log.warning("clock_unreadable", fault=type(fault).__name__)
