"""Programme time: the clock of points. Wall time is the clock of machines and is not here.

An installation either follows the wall clock or was created with a driven clock: one row of
PostgreSQL that only `advance` moves, never back. Every process keeps a copy of that row and
refreshes it; the lanes read the row itself in the transaction that writes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

MOST_AHEAD: Final = timedelta(seconds=5)
"""How far ahead of PostgreSQL's clock a machine's is believed: what is recorded is never taken back, so that
one wrong clock would end periods and expire points for everybody."""


class Clock(Protocol):
    """Tells programme time."""

    is_driven: bool

    def now(self) -> datetime:
        """The present instant of programme time, aware UTC."""
        ...


class WallClock:
    """Programme time that follows the machine's clock."""

    is_driven = False

    def now(self) -> datetime:
        """The machine's time."""
        return datetime.now(UTC)


class DrivenClock:
    """Programme time that stands still until it is advanced."""

    is_driven = True

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        """The instant last seen."""
        return self._at

    def see(self, at: datetime) -> None:
        """Take over a newer instant; an older one is ignored, since time never goes back."""
        self._at = max(self._at, at)
