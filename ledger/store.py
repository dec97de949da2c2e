"""The SQL of a batch. Every statement is bound to the buckets whose heads the batch has locked.

A lane of one bucket binds it by equality, which a distributed table routes to one shard; a
lane of several binds the pairs (bucket, key). Look-ups rely on primary keys alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import asyncpg
import msgspec

from .binary import copy_of, lot_row
from .block import Block, Head
from .holds import Hold, Slice
from .lots import Lot
from .tables import holds, keys, lines, lots, operations, slices, wallets
from .wallet import Wallet

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Row = tuple[Any, ...]

_LOCK: Final = """
    SELECT h.bucket, h.height, h.sequence, h.period, h.recorded_at, h.hash, h.fenced, c.now
    FROM heads h CROSS JOIN clock c
    WHERE h.bucket = ANY($1::smallint[]) ORDER BY h.bucket FOR UPDATE OF h
"""
_KEYS: Final = """
    SELECT k.bucket, k.key, k.operation, k.recorded_at
    FROM unnest($1::smallint[], $2::bytea[]) AS asked (bucket, key)
    JOIN keys k ON k.bucket = asked.bucket AND k.key = asked.key
"""
_STORED: Final = """
    SELECT o.bucket, o.id, o.digest, o.outcome, o.detail, o.recorded_at
    FROM unnest($1::smallint[], $2::bigint[], $3::timestamptz[]) AS asked (bucket, id, recorded_at)
    JOIN operations o ON o.bucket = asked.bucket AND o.id = asked.id AND o.recorded_at = asked.recorded_at
"""
_WALLETS: Final = """
    SELECT w.member, w.pending, w.available, w.held, w.clawback_due, w.next_due_at, w.frozen
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN wallets w ON w.bucket = asked.bucket AND w.member = asked.member
"""
_HOLD_MEMBERS: Final = """
    SELECT h.id, h.member
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, id)
    JOIN holds h ON h.bucket = asked.bucket AND h.id = asked.id
"""
_HOLDS: Final = """
    SELECT h.id, h.member, h.partner, h.outlet, h.terms, h.expires_at, h.is_open, h.has_lapsed
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN holds h ON h.bucket = asked.bucket AND h.member = asked.member AND h.is_open
    UNION ALL
    SELECT h.id, h.member, h.partner, h.outlet, h.terms, h.expires_at, h.is_open, h.has_lapsed
    FROM unnest($3::smallint[], $4::bigint[]) AS named (bucket, id)
    JOIN holds h ON h.bucket = named.bucket AND h.id = named.id AND NOT h.is_open
"""
_SLICES: Final = """
    SELECT s.hold, s.ordinal, s.lot, s.issuer, s.obligor, s.tariff, s.earned_at, s.expires_at,
           s.points, s.captured, s.released
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, hold)
    JOIN slices s ON s.bucket = asked.bucket AND s.hold = asked.hold
    ORDER BY s.hold, s.ordinal
"""
_LOT_COLUMNS: Final = """l.member, l.id, l.issuer, l.obligor, l.tariff, l.earned_at, l.expires_at,
           l.earned, l.pending, l.available, l.available_at, l.armed_at, l.parent"""
_LOTS: Final = f"""
    SELECT {_LOT_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN lots l ON l.bucket = asked.bucket AND l.member = asked.member AND (l.available > 0 OR l.pending > 0)
    UNION ALL
    SELECT {_LOT_COLUMNS}
    FROM unnest($3::smallint[], $4::bigint[], $5::bigint[]) AS pinned (bucket, member, id)
    JOIN lots l ON l.bucket = pinned.bucket AND l.member = pinned.member AND l.id = pinned.id
         AND l.available = 0 AND l.pending = 0
"""  # noqa: S608 - a constant list of columns
_SAVE: Final = """
    WITH moved_wallets AS (
        UPDATE wallets w
        SET pending = n.pending, available = n.available, held = n.held,
            clawback_due = n.clawback_due, next_due_at = n.next_due_at
        FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                    $7::timestamptz[])
             AS n (bucket, member, pending, available, held, clawback_due, next_due_at)
        WHERE w.bucket = n.bucket AND w.member = n.member
        RETURNING 1
    ), moved_flows AS (
        INSERT INTO flows AS f
            (bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
             points, count, hash)
        SELECT * FROM unnest($8::smallint[], $9::int[], $10::int[], $11::int[], $12::int[], $13::text[],
                             $14::int[], $15::int[], $16::int[], $17::bigint[], $18::bigint[], $19::numeric[])
        ON CONFLICT (bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period)
        DO UPDATE SET points = f.points + excluded.points, count = f.count + excluded.count,
                      hash = mod(f.hash + excluded.hash, 340282366920938463463374607431768211456)
    ), more_stock AS (
        INSERT INTO stock AS s (bucket, issuer, obligor, tariff, issue_month, expiry_month, points)
        SELECT * FROM unnest($20::smallint[], $21::int[], $22::int[], $23::int[], $24::int[], $25::int[],
                             $26::bigint[])
        ON CONFLICT (bucket, issuer, obligor, tariff, issue_month, expiry_month)
        DO UPDATE SET points = s.points + excluded.points
    ), less_stock AS (
        UPDATE stock s SET points = s.points + n.points
        FROM unnest($27::smallint[], $28::int[], $29::int[], $30::int[], $31::int[], $32::int[],
                    $33::bigint[])
             AS n (bucket, issuer, obligor, tariff, issue_month, expiry_month, points)
        WHERE s.bucket = n.bucket AND s.issuer = n.issuer AND s.obligor = n.obligor
          AND s.tariff = n.tariff AND s.issue_month = n.issue_month AND s.expiry_month = n.expiry_month
        RETURNING 1
    ), moved_heads AS (
        UPDATE heads h
        SET height = n.height, sequence = n.sequence, period = n.period, recorded_at = n.recorded_at,
            hash = n.hash
        FROM unnest($34::smallint[], $35::bigint[], $36::bigint[], $37::int[], $38::timestamptz[],
                    $39::bytea[])
             AS n (bucket, height, sequence, period, recorded_at, hash)
        WHERE h.bucket = n.bucket
        RETURNING 1
    ), new_blocks AS (
        INSERT INTO blocks (bucket, height, recorded_at, period, first, count, previous, root, hash)
        SELECT * FROM unnest($40::smallint[], $41::bigint[], $42::timestamptz[], $43::int[], $44::bigint[],
                             $45::int[], $46::bytea[], $47::bytea[], $48::bytea[])
    )
    SELECT (SELECT count(*) FROM moved_wallets), (SELECT count(*) FROM less_stock),
           (SELECT count(*) FROM moved_heads)
"""
_SAVE_LOTS: Final = """
    UPDATE lots l SET pending = n.pending, available = n.available, armed_at = n.armed_at
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
         AS n (bucket, member, id, pending, available, armed_at)
    WHERE l.bucket = n.bucket AND l.member = n.member AND l.id = n.id
"""
_SAVE_HOLDS: Final = """
    WITH moved_slices AS (
        UPDATE slices s SET captured = n.captured, released = n.released
        FROM unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[])
             AS n (bucket, hold, ordinal, captured, released)
        WHERE s.bucket = n.bucket AND s.hold = n.hold AND s.ordinal = n.ordinal
    )
    UPDATE holds h SET is_open = n.is_open, has_lapsed = n.has_lapsed
    FROM unnest($6::smallint[], $7::bigint[], $8::boolean[], $9::boolean[])
         AS n (bucket, id, is_open, has_lapsed)
    WHERE h.bucket = n.bucket AND h.id = n.id
"""
_REST_DUE: Final = """
    SELECT asked.member,
           (SELECT min(CASE WHEN l.pending > 0 THEN l.available_at ELSE l.expires_at END)
            FROM lots l
            WHERE l.bucket = asked.bucket AND l.member = asked.member
              AND (l.pending > 0 AND l.available_at > $3
                   OR l.pending = 0 AND l.available > 0 AND l.armed_at IS NOT NULL AND l.expires_at > $3)),
           (SELECT min(h.expires_at) FROM holds h
            WHERE h.bucket = asked.bucket AND h.member = asked.member AND h.is_open)
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
"""
_DUE_LOTS: Final = f"""
    SELECT {_LOT_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN lots l ON l.bucket = asked.bucket AND l.member = asked.member
         AND (l.pending > 0 AND l.available_at <= $3
              OR l.pending = 0 AND l.available > 0 AND l.armed_at IS NOT NULL AND l.expires_at <= $3)
"""  # noqa: S608 - a constant list of columns
_FENCE_STOCK: Final = """
    INSERT INTO stock_at_fence (period, bucket, issuer, obligor, tariff, issue_month, expiry_month, points)
    SELECT $1, bucket, issuer, obligor, tariff, issue_month, expiry_month, points
    FROM stock WHERE bucket = $2 AND points > 0
"""


class StateLost(Exception):
    """A row of state that must be there is not: nothing is written on such ground."""


class Stored(msgspec.Struct, frozen=True):
    """An operation found by its key: enough to tell a repeat from a conflict and to answer it."""

    id: int
    digest: bytes
    outcome: bytes
    detail: bytes
    recorded_at: datetime


async def lock_heads(connection: Connection, buckets: Sequence[int]) -> tuple[list[Head], datetime]:
    """The heads of `buckets`, locked in ascending order until the transaction ends; the driven clock."""
    rows = await connection.fetch(_LOCK, buckets)
    return [Head(*row[:7]) for row in rows], rows[0][7]


async def make_partitions(connection: Connection, month: date) -> None:
    """See to it that history recorded in `month` has partitions to go to."""
    await connection.execute("SELECT make_partitions($1)", month)


async def known_keys(
    connection: Connection, asked: Sequence[tuple[int, bytes]]
) -> dict[tuple[int, bytes], tuple[int, datetime]]:
    """(bucket, key) → (operation, recorded_at) for those of `asked` that were used before."""
    if not asked:
        return {}
    rows = await connection.fetch(_KEYS, *_columns(asked))
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


async def stored(connection: Connection, found: Iterable[tuple[int, datetime]]) -> dict[int, Stored]:
    """The stored operations by id."""
    asked = [(id_ >> 56, id_, recorded_at) for id_, recorded_at in found]
    if not asked:
        return {}
    rows = await connection.fetch(_STORED, *_columns(asked))
    return {row[1]: Stored(row[1], row[2], row[3], row[4], row[5]) for row in rows}


async def balances(connection: Connection, members: Sequence[int]) -> dict[int, Row]:
    """Balances by member, for those that have a wallet."""
    rows = await connection.fetch(_WALLETS, [member >> 56 for member in members], members)
    return {row[0]: tuple(row) for row in rows}


async def hold_members(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Hold id → its member."""
    rows = await connection.fetch(_HOLD_MEMBERS, [id_ >> 56 for id_ in ids], ids)
    return {row[0]: row[1] for row in rows}


async def rest_due(
    connection: Connection, members: Sequence[int], at: datetime
) -> list[tuple[int, datetime | None, datetime | None]]:
    """Of each member: when the first lot not yet due at `at` will be, and the first open hold lapses."""
    buckets = [member >> 56 for member in members]
    return [tuple(row) for row in await connection.fetch(_REST_DUE, buckets, members, at)]


async def due_lots(connection: Connection, members: Sequence[int], at: datetime) -> dict[int, list[Row]]:
    """By member, the lots to be released or expired at `at`."""
    buckets = [member >> 56 for member in members]
    return _by_first(await connection.fetch(_DUE_LOTS, buckets, members, at))


async def whole(
    connection: Connection, members: Sequence[int], named_holds: Sequence[int]
) -> tuple[dict[int, list[Row]], dict[int, list[Row]], dict[int, list[Row]]]:
    """Live lots by member, holds by member (open ones and those named), slices by hold."""
    buckets = [member >> 56 for member in members]
    hold_rows = await connection.fetch(
        _HOLDS, buckets, members, [id_ >> 56 for id_ in named_holds], named_holds
    )
    holds_of: dict[int, list[Row]] = {}
    member_of: dict[int, int] = {}
    for row in hold_rows:
        holds_of.setdefault(row[1], []).append(tuple(row))
        member_of[row[0]] = row[1]
    slices_of: dict[int, list[Row]] = {}
    pinned: list[tuple[int, int, int]] = []
    if member_of:
        ids = list(member_of)
        for row in await connection.fetch(_SLICES, [id_ >> 56 for id_ in ids], ids):
            slices_of.setdefault(row[0], []).append(tuple(row))
            pinned.append((row[0] >> 56, member_of[row[0]], row[2]))
    pins = _columns(sorted(set(pinned)), 3)
    return _by_first(await connection.fetch(_LOTS, buckets, members, *pins)), holds_of, slices_of


async def write_history(connection: Connection, written: Sequence[Block], key_rows: Sequence[bytes]) -> None:
    """Append operations, lines and keys; the blocks that link them are written with the heads."""
    await _copy_packed(connection, operations, [row for block in written for row in block.operations])
    await _copy_packed(connection, lines, [row for block in written for row in block.lines])
    await _copy_packed(connection, keys, key_rows)


async def write_state(
    connection: Connection,
    written: Sequence[Block],
    changed: Sequence[Wallet],
    new_lots: Sequence[tuple[int, Lot]],
    changed_lots: Sequence[tuple[int, Lot]],
    new_holds: Sequence[Hold],
    changed_holds: Sequence[Hold],
) -> None:
    """Bring wallets, lots, holds, flows, stock and heads to where the batch left them."""
    for block in written:
        for period in block.moved_fences:
            await connection.execute(_FENCE_STOCK, period, block.head.bucket)
    await _copy(connection, wallets, [(*_wallet_row(w), w.is_frozen) for w in changed if w.is_new])
    await _copy_packed(connection, lots, [lot_row(member, lot) for member, lot in new_lots])
    if new_holds:
        await _copy(connection, holds, [_hold_row(hold) for hold in new_holds])
        await _copy(
            connection, slices, [_slice_row(hold, part) for hold in new_holds for part in hold.slices]
        )
    if changed_lots:
        rows = [
            (lot.id >> 56, member, lot.id, lot.pending, lot.available, lot.armed_at)
            for member, lot in changed_lots
        ]
        await connection.execute(_SAVE_LOTS, *_columns(rows))
    if changed_holds:
        slice_rows = [
            (hold.id >> 56, hold.id, part.ordinal, part.captured, part.released)
            for hold in changed_holds
            for part in hold.slices
        ]
        hold_rows = [(hold.id >> 56, hold.id, hold.is_open, hold.has_lapsed) for hold in changed_holds]
        await connection.execute(_SAVE_HOLDS, *_columns(slice_rows), *_columns(hold_rows))
    flow_rows = [
        (*cell, flow[0], flow[1], Decimal(flow[2])) for block in written for cell, flow in block.flows.items()
    ]
    stock_rows = [(*cell, points) for block in written for cell, points in block.stock.items()]
    head_rows = [
        (block.head.bucket, block.height, block.sequence, block.period, block.at, block.row[-1])
        for block in written
    ]
    wallet_rows = [_wallet_row(w) for w in changed if not w.is_new]
    less_stock = [row for row in stock_rows if row[-1] < 0]
    moved = await connection.fetchrow(
        _SAVE,
        *_columns(wallet_rows, 7),
        *_columns(flow_rows, 12),
        *_columns([row for row in stock_rows if row[-1] > 0], 7),
        *_columns(less_stock, 7),
        *_columns(head_rows),
        *_columns([block.row for block in written]),
    )
    if tuple(moved or ()) != (len(wallet_rows), len(less_stock), len(head_rows)):
        raise StateLost(
            f"rows moved: {moved}; expected {len(wallet_rows)}, {len(less_stock)}, {len(head_rows)}"
        )


def _wallet_row(wallet: Wallet) -> Row:
    return (
        wallet.member >> 56,
        wallet.member,
        wallet.pending,
        wallet.available,
        wallet.held,
        wallet.clawback_due,
        wallet.next_due_at,
    )


def _hold_row(hold: Hold) -> Row:
    return (
        hold.id >> 56,
        hold.id,
        hold.member,
        hold.partner,
        hold.outlet,
        hold.terms,
        hold.expires_at,
        hold.is_open,
        hold.has_lapsed,
    )


def _slice_row(hold: Hold, part: Slice) -> Row:
    return (
        hold.id >> 56,
        hold.id,
        part.ordinal,
        hold.member,
        part.lot,
        part.issuer,
        part.obligor,
        part.tariff,
        part.earned_at,
        part.expires_at,
        part.points,
        part.captured,
        part.released,
    )


def _by_first(rows: Iterable[Any]) -> dict[int, list[Row]]:
    """Rows gathered by their first column."""
    gathered: dict[int, list[Row]] = {}
    for row in rows:
        gathered.setdefault(row[0], []).append(tuple(row))
    return gathered


async def _copy_packed(connection: Connection, table: Any, rows: Sequence[bytes]) -> None:
    """Write rows that `ledger.binary` has packed."""
    if rows:
        # A memoryview, since asyncpg would take bytes for the name of a file; its stubs know no buffers.
        source: Any = memoryview(copy_of(rows))
        await connection.copy_to_table(
            table.name, source=source, columns=table.columns.keys(), format="binary"
        )


async def _copy(connection: Connection, table: Any, rows: Sequence[Row]) -> None:
    if rows:
        await connection.copy_records_to_table(table.name, records=rows, columns=table.columns.keys())


def _columns(rows: Sequence[Row], width: int = 0) -> Sequence[Sequence[Any]]:
    """Rows turned into one array a column, for `unnest`; `width` empty arrays when there are none."""
    return list(zip(*rows, strict=True)) if rows else [()] * width
