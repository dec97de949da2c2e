"""A poller: it looks up again and again what others may have changed, whatever becomes of a look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import structlog

log = structlog.get_logger()


class Poller:
    """Calls `look` every so many `seconds`; whoever starts it has looked once already.

    What is known stays in use while looks fail, and `age` tells how old it is.
    """

    def __init__(self, name: str, look: Callable[[], Awaitable[object]], *, seconds: float) -> None:
        self.name = name
        self._look = look
        self._seconds = seconds
        self._looked_at = monotonic()
        self._task: asyncio.Task[None] | None = None

    @property
    def age(self) -> float:
        """Seconds since the last look that did not fail; 0 while it does not run."""
        return 0.0 if self._task is None else monotonic() - self._looked_at

    def start(self) -> None:
        """Go on looking until `stop`."""
        self._looked_at = monotonic()
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Look no more, if it did."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        is_failing = False
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self._look()
            except Exception:
                # Whatever it is: if looking ended here, what is known would grow old unseen.
                if not is_failing:
                    log.warning("poller.failing", poller=self.name, exc_info=True)
                is_failing = True
            else:
                if is_failing:
                    log.info("poller.back", poller=self.name, seconds=round(self.age, 1))
                self._looked_at = monotonic()
                is_failing = False
