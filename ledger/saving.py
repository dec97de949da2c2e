"""What a batch writes, in one flight that ends with the commit.

History is appended by COPY, rows packed by `ledger.binary`; state moves by UPDATE from arrays.
A row of state that is not there stops everything: each UPDATE divides by whether it found all
of its rows, and no commit follows an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import msgspec

from . import counter_store, escrow
from .accounts import AVAILABLE, CLAWBACK_DUE, HELD, PENDING
from .allowances import Allowance, Place
from .binary import INFINITY, copy_of, hold_row, instant, lot_row, slice_row, wallet_row
from .block import Block
from .changing import save_changes
from .counters import Count, Key
from .folding import FOLD_FLOWS, FOLD_STOCK, KEEP_STOCK
from .holds import Hold
from .kernel.packing import (
    bigint,
    bigints,
    bools,
    byteas,
    instants,
    integer,
    ints,
    places,
    smallint,
    smallints,
)
from .kernel.wire import Flight, Statement
from .lots import Lot
from .store import of_members, update_of_all
from .tables import blocks, holds, keys, lines, lots, operations, slices, wallets
from .transit_saving import save_transits
from .transits import Conclusion, Transit
from .wallet import Wallet

KEYS_ARE_UNIQUE: Final = "pk_keys"
"""The constraint that a key claimed before violates."""


SAVE_WALLETS: Final = update_of_all(
    "save_wallets",
    """
    UPDATE wallets w
    SET pending = n.pending, available = n.available, held = n.held,
        clawback_due = n.clawback_due, next_due_at = nullif(n.next_due_at, 'infinity'),
        lots_from = n.lots_from, first_lot = n.first_lot
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                $7::timestamptz[], $8::timestamptz[], $9::bigint[], $10::tid[])
         AS n (bucket, member, pending, available, held, clawback_due, next_due_at, lots_from, first_lot,
               place)
    WHERE w.ctid = n.place AND w.bucket = n.bucket AND w.member = n.member
    """,
)
_SAVE_FROZEN: Final = update_of_all(
    "save_frozen",
    """
    UPDATE wallets w SET frozen = n.frozen
    FROM unnest($1::smallint[], $2::bigint[], $3::boolean[]) AS n (bucket, member, frozen)
    WHERE w.bucket = n.bucket AND w.member = n.member
    """,
)
_SAVE_HEADS: Final = update_of_all(
    "save_heads",
    """
    UPDATE heads h
    SET height = n.height, operations = n.operations, period = n.period, recorded_at = n.recorded_at,
        hash = n.hash, folded = n.folded
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::int[], $5::timestamptz[], $6::bytea[],
                $7::bigint[])
         AS n (bucket, height, operations, period, recorded_at, hash, folded)
    WHERE h.bucket = n.bucket
    """,
)
SAVE_LOTS: Final = update_of_all(
    "save_lots",
    """
    UPDATE lots l
    SET pending = n.pending, available = n.available, armed_at = nullif(n.armed_at, 'infinity')
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[],
                $7::tid[])
         AS n (bucket, member, id, pending, available, armed_at, place)
    WHERE l.ctid = n.place AND l.bucket = n.bucket AND l.member = n.member AND l.id = n.id
    """,
)
_FORFEIT: Final = update_of_all(
    "forfeit",
    """
    UPDATE lots l SET forfeited = l.forfeited + n.points
    FROM unnest($1::smallint[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[])
         AS n (bucket, member, expires_at, id, points)
    WHERE l.bucket = n.bucket AND l.member = n.member AND l.expires_at = n.expires_at AND l.id = n.id
    """,
)
_SAVE_HOLDS: Final = update_of_all(
    "save_holds",
    """
    UPDATE holds h SET is_open = n.is_open, has_lapsed = n.has_lapsed
    FROM unnest($1::smallint[], $2::bigint[], $3::boolean[], $4::boolean[])
         AS n (bucket, id, is_open, has_lapsed)
    WHERE h.bucket = n.bucket AND h.id = n.id
    """,
)
_SAVE_SLICES: Final = update_of_all(
    "save_slices",
    """
    UPDATE slices s SET captured = n.captured, released = n.released
    FROM unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[])
         AS n (bucket, hold, ordinal, captured, released)
    WHERE s.bucket = n.bucket AND s.hold = n.hold AND s.ordinal = n.ordinal
    """,
)


def _copy_into(table: Any) -> Statement:
    columns = ", ".join(column.name for column in table.columns if column is not lots.c.forfeited)
    return Statement(f"copy_{table.name}", f"COPY {table.name} ({columns}) FROM STDIN (FORMAT binary)")


_COPY: Final = {
    table.name: _copy_into(table) for table in (operations, lines, blocks, keys, wallets, lots, holds, slices)
}


class Changes(msgspec.Struct):
    """What a batch leaves different but its keys and operations: all of it is written, or none."""

    blocks: Sequence[Block]
    wallets: Sequence[Wallet]
    new_lots: Sequence[tuple[int, Lot]]
    changed_lots: Sequence[tuple[int, Lot]]
    new_holds: Sequence[Hold]
    changed_holds: Sequence[Hold]
    reset_lots: Sequence[tuple[int, Lot]] = ()
    reset_holds: Sequence[Hold] = ()
    merged: Sequence[Wallet] = ()
    sent: Sequence[Transit] = ()
    concluded: Sequence[Conclusion] = ()
    counts: Sequence[tuple[int, Key, Count]] = ()
    spent: Mapping[Place, Allowance] = {}
    frozen: Sequence[Wallet] = ()


def write_operations(flight: Flight, key_rows: Sequence[bytes], written: Sequence[Block]) -> None:
    """Add to `flight` what is known as soon as everything is decided; `write_changes` adds the rest."""
    # Keys first, since they alone may be refused: then nothing else was written in vain.
    _append(flight, "keys", key_rows)
    _append(flight, "operations", chain.from_iterable(block.operations for block in written))
    _append(flight, "lines", chain.from_iterable(block.lines for block in written))


def write_changes(flight: Flight, changes: Changes) -> None:
    """Add everything that `changes` needs to `flight`; the caller commits."""
    _fold(flight, changes.blocks)
    _append(flight, "blocks", [block.row for block in changes.blocks])
    _append(flight, "wallets", [wallet_row(wallet) for wallet in changes.wallets if wallet.is_new])
    _append(flight, "lots", [lot_row(member, lot) for member, lot in changes.new_lots])
    _append(flight, "holds", [hold_row(hold) for hold in changes.new_holds])
    _append(flight, "slices", [slice_row(hold, part) for hold in changes.new_holds for part in hold.slices])
    _move_wallets(flight, [wallet for wallet in changes.wallets if not wallet.is_new])
    _move_lots(flight, changes.changed_lots)
    _move_holds(flight, changes.changed_holds)
    save_changes(flight, changes.reset_lots, changes.reset_holds, changes.merged)
    _forfeit(flight, [each for each in (*changes.new_lots, *changes.changed_lots) if each[1].forfeits])
    save_transits(flight, changes.sent, changes.concluded)
    _move_frozen(flight, changes.frozen)
    counter_store.save(flight, changes.counts)
    escrow.save(flight, changes.spent)
    if changes.blocks:
        _move_heads(flight, changes.blocks)


def _append(flight: Flight, table: str, rows: Iterable[bytes]) -> None:
    packed = list(rows)
    if packed:
        flight.copy(_COPY[table], copy_of(packed))


def _fold(flight: Flight, written: Sequence[Block]) -> None:
    """Bring flows and stock of earlier blocks into their tables, and keep the stock of each period ended."""
    for block in written:
        if block.folded == block.head.folded:
            continue
        span = smallint(block.head.bucket), bigint(block.head.folded), bigint(block.folded)
        flight.run(FOLD_FLOWS, *span)
        flight.run(FOLD_STOCK, *span)
    for block in written:
        for period in block.moved_fences:
            flight.run(KEEP_STOCK, smallint(block.head.bucket), integer(period))


def _move_wallets(flight: Flight, changed: Sequence[Wallet]) -> None:
    if changed:
        begin = [wallet.lots_from() for wallet in changed]
        flight.run(
            SAVE_WALLETS,
            *of_members([wallet.member for wallet in changed]),
            bigints([wallet.sums[PENDING] for wallet in changed]),
            bigints([wallet.sums[AVAILABLE] for wallet in changed]),
            bigints([wallet.sums[HELD] for wallet in changed]),
            bigints([-wallet.sums[CLAWBACK_DUE] for wallet in changed]),
            instants([_or_never(wallet.next_due_at) for wallet in changed]),
            instants([expires_at for expires_at, _ in begin]),
            bigints([lot for _, lot in begin]),
            places([wallet.place for wallet in changed]),
        )


def _move_frozen(flight: Flight, changed: Sequence[Wallet]) -> None:
    if changed:
        flight.run(
            _SAVE_FROZEN,
            *of_members([wallet.member for wallet in changed]),
            bools([wallet.is_frozen for wallet in changed]),
        )


def _move_lots(flight: Flight, changed: Sequence[tuple[int, Lot]]) -> None:
    if changed:
        flight.run(
            SAVE_LOTS,
            *of_members([member for member, _ in changed]),
            bigints([lot.id for _, lot in changed]),
            bigints([lot.pending for _, lot in changed]),
            bigints([lot.available for _, lot in changed]),
            instants([_or_never(lot.armed_at) for _, lot in changed]),
            places([lot.place for _, lot in changed]),
        )


def _forfeit(flight: Flight, changed: Sequence[tuple[int, Lot]]) -> None:
    if changed:
        flight.run(
            _FORFEIT,
            *of_members([member for member, _ in changed]),
            instants([instant(lot.expires_at) for _, lot in changed]),
            bigints([lot.id for _, lot in changed]),
            bigints([lot.forfeits for _, lot in changed]),
        )


def _move_holds(flight: Flight, changed: Sequence[Hold]) -> None:
    if not changed:
        return
    parts = [(hold.id, part) for hold in changed for part in hold.slices]
    flight.run(
        _SAVE_SLICES,
        *of_members([hold for hold, _ in parts]),
        smallints([part.ordinal for _, part in parts]),
        bigints([part.captured for _, part in parts]),
        bigints([part.released for _, part in parts]),
    )
    flight.run(
        _SAVE_HOLDS,
        *of_members([hold.id for hold in changed]),
        bools([hold.is_open for hold in changed]),
        bools([hold.has_lapsed for hold in changed]),
    )


def _move_heads(flight: Flight, written: Sequence[Block]) -> None:
    flight.run(
        _SAVE_HEADS,
        smallints([block.head.bucket for block in written]),
        bigints([block.height for block in written]),
        bigints([block.sequence for block in written]),
        ints([block.period for block in written]),
        instants([instant(block.at) for block in written]),
        byteas([block.hash for block in written]),
        bigints([block.folded for block in written]),
    )


def _or_never(at: Any) -> int:
    return INFINITY if at is None else instant(at)
