"""Standings: where a partner or the programme stood in points as of an instant, by either clock.

Whole months, days and hours come from tallies. What is left of the last hour, and what is not
folded yet, comes from lines: at most an hour's, found by their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.accounts import (
    ADJUST,
    AVAILABLE,
    CANCELLED,
    CLAWBACK_DUE,
    EXPIRED,
    HELD,
    IN_TRANSIT,
    ISSUED,
    OPENING,
    PENDING,
    POINTS_KINDS,
    REDEEMED,
)
from ledger.asof import Clock
from ledger.kernel.ids import BUCKETS

from .folding import LAST_MARK

_CELL: Final = "issuer, obligor, redeemer, debit, credit"

_WHOLE_SPANS: Final = f"""
    SELECT {_CELL}, points FROM tallies
    WHERE clock = :clock
      AND (span = 'month' AND starts_at < date_trunc('month', CAST(:at AS timestamptz), 'UTC')
           OR span = 'day' AND starts_at >= date_trunc('month', CAST(:at AS timestamptz), 'UTC')
                           AND starts_at < date_trunc('day', CAST(:at AS timestamptz), 'UTC')
           OR span = 'hour' AND starts_at >= date_trunc('day', CAST(:at AS timestamptz), 'UTC')
                            AND starts_at < date_trunc('hour', CAST(:at AS timestamptz), 'UTC'))
"""  # noqa: S608 - constants, here and below
_HOUR: Final = "date_trunc('hour', CAST(:at AS timestamptz), 'UTC')"
_BUCKETS: Final = f"(SELECT n::smallint AS bucket FROM generate_series(0, {BUCKETS - 1}) AS n) h"  # noqa: S608
# OFFSET 0 keeps each bucket's rows a look-up of their own, whatever the planner knows of the tables.
_NOT_FOLDED: Final = f"""
    SELECT {_CELL}, l.amount
    FROM {_BUCKETS}
    CROSS JOIN LATERAL (SELECT coalesce(({LAST_MARK}), h.bucket::bigint << 56) AS last OFFSET 0) m
    CROSS JOIN LATERAL (SELECT * FROM line_instants l
                        WHERE l.bucket = h.bucket AND l.operation > m.last AND l.id > m.last
                        OFFSET 0) l
"""  # noqa: S608
_OF_THE_HOUR: Final = f"""
    SELECT {_CELL}, l.amount
    FROM {_BUCKETS}
    JOIN tally_marks m ON m.bucket = h.bucket AND m.starts_at = {_HOUR}
    CROSS JOIN LATERAL (SELECT * FROM line_instants l
                        WHERE l.bucket = m.bucket AND l.operation BETWEEN m.first AND m.last
                          AND l.id BETWEEN m.first AND m.last OFFSET 0) l
"""  # noqa: S608
_LATE: Final = f"""
    SELECT {_CELL}, l.amount
    FROM tally_late t
    JOIN line_instants l
      ON l.bucket = t.bucket AND l.operation = t.operation AND l.recorded_at = t.recorded_at
    WHERE t.starts_at = {_HOUR} AND l.effective_at <= :at
"""  # noqa: S608

_BY_INDEX: Final = text("""
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
           set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)
""")
"""Every part finds its rows by a primary key; a plan that reads a table whole is never right here."""

_BY_CLOCK: Final = {
    Clock.RECORDED: (
        _WHOLE_SPANS,
        f"{_OF_THE_HOUR} WHERE l.recorded_at <= :at",
        f"{_NOT_FOLDED} WHERE l.recorded_at <= :at",
    ),
    Clock.EFFECTIVE: (
        _WHOLE_SPANS,
        f"{_OF_THE_HOUR} WHERE l.effective_at >= {_HOUR} AND l.effective_at <= :at",
        _LATE,
        f"{_NOT_FOLDED} WHERE l.effective_at <= :at",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Points by what has become of them. The first five are with members; the rest is how they got there.

    `outstanding` is what is owed: available, held and on the way between members. `adjusted` is
    signed as it changes what members have. By the effective clock any of them may be negative.
    """

    pending: int
    available: int
    held: int
    in_transit: int
    clawback_due: int
    issued: int
    brought: int
    redeemed: int
    expired: int
    cancelled: int
    adjusted: int

    @property
    def outstanding(self) -> int:
        """Points owed to members."""
        return self.available + self.held + self.in_transit


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerStanding:
    """A partner as the one who gave points, as the one who answers for them, and as a redeemer.

    `redeemed_here` are points redeemed at the partner, whoever gave them, returns taken off.
    """

    as_issuer: Standing
    as_obligor: Standing
    redeemed_here: int


async def programme_as_of(connection: AsyncConnection, at: datetime, clock: Clock) -> Standing:
    """Where the whole programme stood after everything up to and including `at`.

    In one snapshot if the connection's transaction has one: give it REPEATABLE READ.
    """
    return _standing(await _moved(connection, at, clock))


async def partner_as_of(
    connection: AsyncConnection, partner: int, at: datetime, clock: Clock
) -> PartnerStanding:
    """Where `partner` stood after everything up to and including `at`. Snapshot as above."""
    rows = [row for row in await _moved(connection, at, clock) if partner in row[:3]]
    here = _sums(row for row in rows if row.redeemer == partner)
    return PartnerStanding(
        as_issuer=_standing(row for row in rows if row.issuer == partner),
        as_obligor=_standing(row for row in rows if row.obligor == partner),
        redeemed_here=here[REDEEMED],
    )


async def _moved(connection: AsyncConnection, at: datetime, clock: Clock) -> list[Any]:
    await connection.execute(_BY_INDEX)
    parts = " UNION ALL ".join(f"({part})" for part in _BY_CLOCK[clock])
    query = f"SELECT {_CELL}, sum(points) AS points FROM ({parts}) AS moved GROUP BY {_CELL}"  # noqa: S608
    return list((await connection.execute(text(query), {"at": at, "clock": clock.value})).all())


def _standing(rows: Iterable[Any]) -> Standing:
    sums = _sums(rows)
    return Standing(
        pending=sums[PENDING],
        available=sums[AVAILABLE],
        held=sums[HELD],
        in_transit=sums[IN_TRANSIT],
        clawback_due=-sums[CLAWBACK_DUE],
        issued=-sums[ISSUED],
        brought=-sums[OPENING],
        redeemed=sums[REDEEMED],
        expired=sums[EXPIRED],
        cancelled=sums[CANCELLED],
        adjusted=-sums[ADJUST],
    )


def _sums(rows: Iterable[Any]) -> list[int]:
    """Credits less debits by account kind."""
    sums = [0] * POINTS_KINDS
    for row in rows:
        sums[row.debit] -= int(row.points)
        sums[row.credit] += int(row.points)
    return sums
