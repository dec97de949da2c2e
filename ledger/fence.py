"""Periods as the ledger sees them: a calendar of instants, and the period that each head is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import calendar, heads


@dataclass(frozen=True, slots=True)
class Span:
    """A period: [starts_at, ends_at)."""

    period: int
    starts_at: datetime
    ends_at: datetime


class Calendar:
    """All known periods in order, and the programme's time zone. Immutable.

    `notice_days` is how long before points expire their member is told; None where nobody is.
    """

    def __init__(self, spans: Sequence[Span], zone: ZoneInfo, notice_days: int | None = None) -> None:
        self.spans = tuple(spans)
        self.zone = zone
        self.notice_days = notice_days
        self._by_period = {span.period: span for span in self.spans}

    def reaches(self, at: datetime) -> bool:
        """Whether the periods known go past `at`."""
        return at < self.spans[-1].ends_at

    def span(self, period: int) -> Span | None:
        """The instants of `period`, None if it is not in the calendar."""
        return self._by_period.get(period)

    def period_at(self, at: datetime) -> int:
        """The period that holds `at`; the first or last known one if it is outside all."""
        for span in reversed(self.spans):
            if span.starts_at <= at:
                return span.period
        return self.spans[0].period


async def extend(
    connection: AsyncConnection,
    spans: Iterable[tuple[int, datetime, datetime]],
    zone: str,
    notice_days: int | None = None,
) -> None:
    """Add periods (ordinal, start, end) to the calendar; those already there stay as they are."""
    rows = [
        {"period": p, "starts_at": s, "ends_at": e, "zone": zone, "notice_days": notice_days}
        for p, s, e in spans
    ]
    if rows:
        # Of no other conflict: that two periods overlap has to be said.
        there = [calendar.c.period]
        await connection.execute(insert(calendar).values(rows).on_conflict_do_nothing(index_elements=there))


async def load_calendar(connection: AsyncConnection) -> Calendar | None:
    """The calendar, None before the programme exists."""
    rows = (await connection.execute(select(calendar).order_by(calendar.c.period))).all()
    if not rows:
        return None
    spans = [Span(r.period, r.starts_at, r.ends_at) for r in rows]
    return Calendar(spans, ZoneInfo(rows[0].zone), rows[0].notice_days)


async def behind(connection: AsyncConnection, period: int) -> list[int]:
    """The buckets that have not left `period`, by their head or by the last block of their log, in order.

    A head that says otherwise than its log is damaged: what it was put past was never brought to an end. The
    last block is found by the primary key, and never archived before a later one is there.
    """
    return list(await connection.scalars(_BEHIND, {"period": period}))


async def all_past(connection: AsyncConnection, period: int) -> bool:
    """True when every bucket has left `period`."""
    return not await behind(connection, period)


async def read_only(connection: AsyncConnection) -> list[int]:
    """The buckets that are fenced off, in order."""
    query = select(heads.c.bucket).where(heads.c.fenced.is_not(None)).order_by(heads.c.bucket)
    return list(await connection.scalars(query))


_BEHIND: Final = text("""
    SELECT h.bucket
    FROM heads h
    LEFT JOIN LATERAL (SELECT period FROM blocks WHERE bucket = h.bucket
                       ORDER BY height DESC LIMIT 1) b ON true
    WHERE h.period <= :period OR coalesce(b.period, 1) <= :period
    ORDER BY h.bucket
""")
