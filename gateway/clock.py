"""Programme time in this process: read when it starts, and followed when somebody drives it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from ledger.kernel.clock import Clock, DrivenClock, WallClock
from ledger.kernel.database import Database
from ledger.kernel.poller import Poller
from ledger.kernel.tables import clock as clock_table

POLL_SECONDS: Final = 1.0


class ProgrammeClock:
    """Holds the installation's `clock`; a driven one is never more than a second behind."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.clock = clock
        self.poller = Poller("clock", self._follow, seconds=POLL_SECONDS)
        self._database = database

    @classmethod
    async def read(cls, database: Database) -> ProgrammeClock:
        """The clock that this installation was made with."""
        async with database.writer.connect() as connection:
            row = (await connection.execute(select(clock_table.c.is_driven, clock_table.c.now))).one()
        return cls(database, DrivenClock(row.now) if row.is_driven else WallClock())

    def start(self) -> None:
        """Follow a driven clock until `stop`."""
        if isinstance(self.clock, DrivenClock):
            self.poller.start()

    async def stop(self) -> None:
        """Stop following."""
        await self.poller.stop()

    async def _follow(self) -> None:
        """Without PostgreSQL nothing can be posted either, so the last instant stands until it is back."""
        if isinstance(self.clock, DrivenClock):
            async with self._database.writer.connect() as connection:
                self.clock.see((await connection.execute(select(clock_table.c.now))).scalar_one())
