"""Local days and months of the programme's time zone, as instants. Safe across DST changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The date that a wall calendar in `zone` shows at `at`."""
    return at.astimezone(zone).date()


@lru_cache(maxsize=4_096)
def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of `day` in `zone`, aware UTC.

    Where midnight does not exist the day begins when the clock has jumped; where it comes
    twice, at its first coming.
    """
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant that is no longer `day`: days, like periods, are [start, end)."""
    return start_of_day(day + timedelta(days=1), zone)


def start_of_month(at: datetime, zone: ZoneInfo) -> date:
    """The first day of the month that `at` falls in."""
    return local_day(at, zone).replace(day=1)


def next_month(first: date) -> date:
    """The first day of the month after the one that begins on `first`."""
    return (first + timedelta(days=31)).replace(day=1)
