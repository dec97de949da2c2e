"""What a batch reads: statements bound to the buckets whose heads it locks, and rows as values.

Each binds the pairs (bucket, key), so that it can be told which buckets it is about. Look-ups rely
on primary keys alone; of a lot known by its id, on the part of the key that its member is. An
instant that is not there comes as infinity, so that rows have one width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from .binary import INFINITY, moment, point_in_time
from .holds import Hold, Slice
from .kernel.packing import bigints, byteas, instants, smallints
from .kernel.wire import Statement
from .keys import split_claim
from .lots import Lot

Row = tuple[Any, ...]
Params = tuple[bytes, ...]

_ALL_FOUND: Final = "SELECT 1 / (count(*) = cardinality($1))::int FROM moved"
DIVISION_BY_ZERO: Final = "22012"
"""What an update ends with when a row of state is missing."""


def update_of_all(name: str, update: str) -> Statement:
    """`update` by arrays, of which the first is as long as it must find rows."""
    return Statement(name, " ".join(("WITH moved AS (", update, "RETURNING 1)", _ALL_FOUND)))


BEGIN: Final = Statement("begin", "BEGIN ISOLATION LEVEL READ COMMITTED")
COMMIT: Final = Statement("commit", "COMMIT")
ROLLBACK: Final = Statement("rollback", "ROLLBACK")

LOCK_HEADS: Final = Statement(
    "lock_heads",
    """
    SELECT h.bucket, h.height, h.operations, h.period, h.recorded_at, h.hash, h.fenced IS NOT NULL, h.folded,
           c.now, clock_timestamp()
    FROM heads h CROSS JOIN clock c
    WHERE h.bucket = ANY($1::smallint[]) ORDER BY h.bucket FOR UPDATE OF h
    """,
    "h q q i q 32s ? q q q",
)
KEYS: Final = Statement(
    "keys",
    """
    SELECT k.bucket, k.key, k.operation, k.recorded_at
    FROM unnest($1::smallint[], $2::bytea[]) AS asked (bucket, key)
    JOIN keys k ON k.bucket = asked.bucket AND k.key = asked.key
    """,
    "h 16s q q",
)
STORED: Final = Statement(
    "stored",
    """
    SELECT o.id, o.digest, o.outcome, o.detail
    FROM unnest($1::smallint[], $2::bigint[], $3::timestamptz[]) AS asked (bucket, id, recorded_at)
    JOIN operations o ON o.bucket = asked.bucket AND o.id = asked.id AND o.recorded_at = asked.recorded_at
    UNION ALL
    SELECT o.id, o.digest, o.outcome, o.detail
    FROM unnest($1::smallint[], $2::bigint[], $3::timestamptz[]) AS asked (bucket, id, recorded_at)
    JOIN archived_operations o
      ON o.bucket = asked.bucket AND o.id = asked.id AND o.recorded_at = asked.recorded_at
    """,
)
_WALLET_COLUMNS: Final = """w.member, w.pending, w.available, w.held, w.clawback_due,
           coalesce(w.next_due_at, 'infinity'), w.frozen, coalesce(w.merged_into, 0),
           w.lots_from, w.first_lot, w.ctid"""
_WALLET_LAYOUT: Final = "q q q q q q ? q q q 6s"
WALLET_WIDTH: Final = 11
"""Columns of a row of `WALLETS`."""
HELD, OWED, DUE_AT = 3, 4, 5
"""Where such a row tells the points held and those owed, and when something falls due."""
LOT_ID: Final = 1
"""Where a row of `LOTS` tells the lot: the first column is its member."""

WALLETS: Final = Statement(
    "wallets",
    f"""
    SELECT {_WALLET_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN wallets w ON w.bucket = asked.bucket AND w.member = asked.member
    """,  # noqa: S608 - a constant list of columns, here and below
    _WALLET_LAYOUT,
)
MOVE_WALLETS: Final = Statement(
    "move_wallets",
    """
    UPDATE wallets w
    SET pending = w.pending + n.pending, available = w.available + n.available,
        next_due_at = nullif(least(coalesce(w.next_due_at, 'infinity'), n.due_at), 'infinity'),
        lots_from = least(w.lots_from, n.lots_from),
        first_lot = CASE WHEN n.lots_from < w.lots_from THEN 0 ELSE w.first_lot END
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[],
                $6::timestamptz[])
         AS n (bucket, member, pending, available, due_at, lots_from)
    WHERE w.bucket = n.bucket AND w.member = n.member
      AND NOT w.frozen AND w.merged_into IS NULL AND w.clawback_due = 0
      AND (w.next_due_at IS NULL OR w.next_due_at > $7::timestamptz)
    RETURNING w.member, w.pending, w.available, w.held, coalesce(w.next_due_at, 'infinity')
    """,
    "q q q q q",
)
"""Wallets as they are afterwards, of those on which nothing has fallen due, is owed or is out of the way."""
HOLD_MEMBERS: Final = Statement(
    "hold_members",
    """
    SELECT h.id, h.member
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, id)
    JOIN holds h ON h.bucket = asked.bucket AND h.id = asked.id
    """,
    "q q",
)
HOLDS: Final = Statement(
    "holds",
    """
    SELECT h.id, h.member, h.partner, h.outlet, h.terms, h.expires_at, h.is_open, h.has_lapsed
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN holds h ON h.bucket = asked.bucket AND h.member = asked.member AND h.is_open
    UNION ALL
    SELECT h.id, h.member, h.partner, h.outlet, h.terms, h.expires_at, h.is_open, h.has_lapsed
    FROM unnest($3::smallint[], $4::bigint[]) AS named (bucket, id)
    JOIN holds h ON h.bucket = named.bucket AND h.id = named.id AND NOT h.is_open
    """,
    "q q i i i q ? ?",
)
SLICES: Final = Statement(
    "slices",
    """
    SELECT s.hold, s.ordinal, s.lot, s.issuer, s.obligor, s.tariff, s.earned_at, s.expires_at,
           s.points, s.captured, s.released
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN holds h ON h.bucket = asked.bucket AND h.member = asked.member AND h.is_open
    JOIN slices s ON s.bucket = h.bucket AND s.hold = h.id
    UNION ALL
    SELECT s.hold, s.ordinal, s.lot, s.issuer, s.obligor, s.tariff, s.earned_at, s.expires_at,
           s.points, s.captured, s.released
    FROM unnest($3::smallint[], $4::bigint[]) AS named (bucket, id)
    JOIN holds h ON h.bucket = named.bucket AND h.id = named.id AND NOT h.is_open
    JOIN slices s ON s.bucket = h.bucket AND s.hold = h.id
    ORDER BY 1, 2
    """,
    "q h q i i i q q q q q",
)

LOT_COLUMNS: Final = """l.member, l.id, l.issuer, l.obligor, l.tariff, l.earned_at, l.expires_at,
           l.earned, l.pending, l.available, coalesce(l.available_at, 'infinity'),
           coalesce(l.armed_at, 'infinity'), coalesce(l.parent, 0), l.ctid"""
LOT_LAYOUT: Final = "q q i i i q q q q q q q q 6s"

# Lots with points begin where their wallet says: those that are spent lie before, and are not looked at.
LOTS: Final = Statement(
    "lots",
    f"""
    SELECT {LOT_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN wallets w ON w.bucket = asked.bucket AND w.member = asked.member
    JOIN lots l ON l.bucket = asked.bucket AND l.member = asked.member
         AND (l.expires_at, l.id) >= (w.lots_from, w.first_lot) AND (l.available > 0 OR l.pending > 0)
    """,  # noqa: S608
    LOT_LAYOUT,
)
FIRST_LOTS: Final = Statement(
    "first_lots",
    f"""
    SELECT {_WALLET_COLUMNS}, coalesce(l.id, 0), coalesce(l.issuer, 0), coalesce(l.obligor, 0),
           coalesce(l.tariff, 0), coalesce(l.earned_at, 'infinity'), coalesce(l.expires_at, 'infinity'),
           coalesce(l.earned, 0), coalesce(l.pending, 0), coalesce(l.available, 0),
           coalesce(l.available_at, 'infinity'), coalesce(l.armed_at, 'infinity'), coalesce(l.parent, 0),
           coalesce(l.ctid, '(0,0)')
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN wallets w ON w.bucket = asked.bucket AND w.member = asked.member
    LEFT JOIN LATERAL (
        SELECT l.*, l.ctid
        FROM lots l
        WHERE l.bucket = asked.bucket AND l.member = asked.member
          AND (l.expires_at, l.id) >= (w.lots_from, w.first_lot) AND (l.available > 0 OR l.pending > 0)
        ORDER BY l.expires_at, l.id LIMIT $3::bigint) l ON true
    """,  # noqa: S608
    f"{_WALLET_LAYOUT} {LOT_LAYOUT.removeprefix('q ')}",
)
"""Rows of `WALLETS`, each with one of the first `LOTS` in the order in which they are spent, or with none."""
EMPTY_LOTS: Final = Statement(
    "empty_lots",
    f"""
    SELECT {LOT_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS pinned (bucket, member, id)
    JOIN lots l ON l.bucket = pinned.bucket AND l.member = pinned.member AND l.id = pinned.id
         AND l.available = 0 AND l.pending = 0
    """,  # noqa: S608
    LOT_LAYOUT,
)
_IS_DUE: Final = """(l.pending > 0 AND l.available_at <= $3
              OR l.pending = 0 AND l.available > 0 AND l.armed_at IS NOT NULL AND l.expires_at <= $3)"""
REST_DUE: Final = Statement(
    "rest_due",
    f"""
    SELECT asked.member, rest.due_at,
           (SELECT coalesce(min(h.expires_at), 'infinity') FROM holds h
            WHERE h.bucket = asked.bucket AND h.member = asked.member AND h.is_open),
           rest.lots_from
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN wallets w ON w.bucket = asked.bucket AND w.member = asked.member
    CROSS JOIN LATERAL (
        SELECT coalesce(min(CASE WHEN l.pending > 0 THEN l.available_at
                                 WHEN l.armed_at IS NOT NULL THEN l.expires_at END), 'infinity') AS due_at,
               coalesce(min(l.expires_at), 'infinity') AS lots_from
        FROM lots l
        WHERE l.bucket = asked.bucket AND l.member = asked.member
          AND (l.expires_at, l.id) >= (w.lots_from, w.first_lot)
          AND (l.available > 0 OR l.pending > 0) AND {_IS_DUE} IS NOT TRUE) rest
    """,  # noqa: S608
    "q q q q",
)
"""When the first of what is not due at $3 will be: of lots, and of holds; and where those lots begin."""
DUE_LOTS: Final = Statement(
    "due_lots",
    f"""
    SELECT {LOT_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN wallets w ON w.bucket = asked.bucket AND w.member = asked.member
    JOIN lots l ON l.bucket = asked.bucket AND l.member = asked.member
         AND (l.expires_at, l.id) >= (w.lots_from, w.first_lot) AND {_IS_DUE}
    """,  # noqa: S608
    LOT_LAYOUT,
)
MAKE_PARTITIONS: Final = Statement("make_partitions", "SELECT make_partitions($1::date)")


class Head(msgspec.Struct):
    """Where a bucket's log ends: the last height and sequence written, and in which period.

    `folded` is the height up to which its flows and stock have been brought into their tables.
    """

    bucket: int
    height: int
    sequence: int
    period: int
    recorded_at: datetime
    hash: bytes
    is_fenced: bool
    folded: int


class Stored(msgspec.Struct, frozen=True):
    """An operation found by its key: enough to tell a repeat from a conflict and to answer it."""

    id: int
    digest: bytes
    outcome: bytes
    detail: bytes


def of_members(members: Sequence[int]) -> Params:
    """The pairs (bucket, id) of members, holds or operations: their ids begin with their bucket."""
    return smallints([member >> 56 for member in members]), bigints(members)


def of_keys(claims: Iterable[bytes]) -> Params:
    """The pairs (bucket, fingerprint) of claims."""
    asked = [split_claim(claim) for claim in claims]
    return smallints([bucket for bucket, _ in asked]), byteas([key for _, key in asked])


def of_places(found: Sequence[tuple[int, int]]) -> Params:
    """Operations by id and `recorded_at`, in microseconds."""
    return *of_members([id_ for id_, _ in found]), instants([at for _, at in found])


def of_lots(pinned: Sequence[tuple[int, int]]) -> Params:
    """Lots by member and id."""
    return *of_members([member for member, _ in pinned]), bigints([lot for _, lot in pinned])


def head(row: Row) -> Head:
    """A row of `LOCK_HEADS` without its clocks."""
    bucket, height, sequence, period, recorded_at, hash_, is_fenced, folded, _, _ = row
    return Head(bucket, height, sequence, period, point_in_time(recorded_at), hash_, is_fenced, folded)


def wallet_before(row: Row, pending: int, available: int) -> Row:
    """The row of `WALLETS` that one of `MOVE_WALLETS` was, before so many points were added."""
    member, is_pending, is_available, held, due_at = row
    # Where its lots begin and where it was are not asked of a wallet that is moved already.
    return member, is_pending - pending, is_available - available, held, 0, due_at, False, 0, INFINITY, 0, b""


def lot(row: Row) -> Lot:
    """A row of lots without its member."""
    return Lot(
        row[1],
        row[2],
        row[3],
        row[4],
        point_in_time(row[5]),
        point_in_time(row[6]),
        row[7],
        row[8],
        row[9],
        moment(row[10]),
        moment(row[11]),
        row[12] or None,
        row[13],
    )


def hold(row: Row, slices: Iterable[Row]) -> Hold:
    """A row of `HOLDS` with its rows of `SLICES`."""
    id_, member, partner, outlet, terms, expires_at, is_open, has_lapsed = row
    parts = [
        Slice(
            part[1],
            part[2],
            part[3],
            part[4],
            part[5],
            point_in_time(part[6]),
            point_in_time(part[7]),
            *part[8:],
        )
        for part in slices
    ]
    return Hold(id_, member, partner, outlet, terms, point_in_time(expires_at), is_open, has_lapsed, parts)
