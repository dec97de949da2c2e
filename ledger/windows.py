"""Windows: the spans of time that a counter counts in, cut into cells that only ever go forward.

A calendar window (day, week, month, year, ever) is one cell, counted in the programme's time
zone. A rolling window is the last so many seconds, cut into 128 cells of equal length.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from .kernel.refusals import InvalidInput

ONCE: Final = "once"
"""One operation by itself: nothing is remembered of it."""
DAY: Final = "day"
WEEK: Final = "week"
MONTH: Final = "month"
YEAR: Final = "year"
EVER: Final = "ever"

ROLLING_CELLS: Final = 128
"""Cells of a rolling window: the one that is under way, and all that reach into the window, count whole."""

LONGEST_ROLLING: Final = 10 * 366 * 86_400
"""Seconds."""

_ROLLING: Final = "rolling:"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


def rolling(seconds: int) -> str:
    """The window of the last `seconds`, which ends now and moves with the clock.

    Never permissive: what happened within the last `seconds` always counts. What is older by no
    more than a 128th of the window may count still, so that 99 % of a ceiling can be used at least.
    """
    return f"{_ROLLING}{seconds}"


def cell_of(window: str, at: datetime, zone: ZoneInfo) -> int:
    """The number of the cell that holds `at`: it grows with time. Raises `InvalidInput` for no window."""
    if window.startswith(_ROLLING):
        return (at - _EPOCH) // _TICK // _width(window)
    local = at.astimezone(zone).date()
    match window:
        case "day":
            return local.toordinal()
        case "week":
            return local.toordinal() - local.weekday()
        case "month":
            return local.year * 12 + local.month
        case "year":
            return local.year
        case "ever" | "once":
            return 0
        case _:
            raise InvalidInput("no such window", field=("counters", "window"))


def oldest_of(window: str, cell: int) -> int:
    """The first cell that still counts when `cell` is the present one."""
    return cell - ROLLING_CELLS if window.startswith(_ROLLING) else cell


@lru_cache(maxsize=1024)
def _width(window: str) -> int:
    """Microseconds of a rolling window's cell, rounded up: 128 of them are never shorter than the window."""
    digits = window.removeprefix(_ROLLING)
    seconds = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 12 else 0
    if not 0 < seconds <= LONGEST_ROLLING:
        raise InvalidInput("a rolling window lasts a second to ten years", field=("counters", "window"))
    return -(-seconds * 1_000_000 // ROLLING_CELLS)
