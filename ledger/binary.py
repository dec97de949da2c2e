"""Rows as PostgreSQL's binary COPY writes them, which is also the fixed encoding that is hashed.

Each value is its length (four bytes, big-endian; −1 for null) and its bytes. Fixed columns come
first in the tables of history, so that a row is one `pack` and what varies.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any, Final

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)

_NULL: Final = b"\xff\xff\xff\xff"
_FLAGS: Final = (b"\0\0\0\1\0", b"\0\0\0\1\1")
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"

_OPERATION: Final = Struct(">h ih iq iq iq iq ii ii ii ii ii iq iq iq")
_OPERATION_COLUMNS: Final = 24
_LINE: Final = Struct(">h ih iq ih iq ih iq ih iq iq i3s ii ii ii ii ii ii ii iq")
_KEY_HEAD: Final = Struct(">h i").pack(4, 2)
_KEY_LENGTH: Final = Struct(">i").pack(16)
_KEY_PLACE: Final = Struct(">iq iq").pack
_LOT: Final = Struct(">h ih iq iq ii ii ii iq iq iq iq iq")
_WALLET: Final = Struct(">h ih iq iq iq iq iq")
_HOLD: Final = Struct(">h ih iq iq ii ii ii iq i? i?")
_SLICE: Final = Struct(">h ih iq ih iq iq ii ii ii iq iq iq iq iq")
_BLOCK: Final = Struct(">h ih iq iq ii iq ii i32s i32s i32s")
_LENGTH: Final = Struct(">i").pack


class _Lengths(dict[int, bytes]):
    """Lengths as they are packed: most are short and come again and again."""

    def __missing__(self, length: int) -> bytes:
        return _LENGTH(length)


_LENGTHS: Final = _Lengths({length: _LENGTH(length) for length in range(4_096)})
_INSTANT: Final = Struct(">iq").pack


INFINITY: Final = (1 << 63) - 1
"""PostgreSQL's `infinity`, which stands for an instant that is not there."""


@lru_cache(maxsize=65_536)
def instant(at: datetime) -> int:
    """Microseconds since 2000, as PostgreSQL counts them."""
    return (at - _EPOCH) // _TICK


@lru_cache(maxsize=65_536)
def point_in_time(micro: int) -> datetime:
    """The instant that is `micro` microseconds after 2000."""
    return _EPOCH + timedelta(microseconds=micro)


def moment(micro: int) -> datetime | None:
    """The same for an instant that may be missing."""
    return None if micro == INFINITY else point_in_time(micro)


def operation_row(
    bucket: int,
    id_: int,
    recorded_at: int,
    height: int,
    member: int,
    partner: int,
    outlet: int,
    terms: int,
    period: int,
    origin_period: int,
    occurred_at: int,
    points: int,
    reference: int,
    kind: str,
    principal: str,
    key: str,
    terminal: str,
    receipt: str,
    refusal: str,
    digest: bytes,
    items: bytes,
    detail: bytes,
    outcome: bytes,
) -> bytes:
    """A row of `operations` without its last column, the salt; arguments in the order of its columns.

    `recorded_at` and `occurred_at` as `instant` gives them.
    """
    fixed = _OPERATION.pack(
        _OPERATION_COLUMNS,
        2,
        bucket,
        8,
        id_,
        8,
        recorded_at,
        8,
        height,
        8,
        member,
        4,
        partner,
        4,
        outlet,
        4,
        terms,
        4,
        period,
        4,
        origin_period,
        8,
        occurred_at,
        8,
        points,
        8,
        reference,
    )
    key_bytes, receipt_bytes = key.encode(), receipt.encode()
    return b"".join(
        (
            fixed,
            _word(kind),
            _word(principal),
            _LENGTHS[len(key_bytes)],
            key_bytes,
            _word(terminal),
            _LENGTHS[len(receipt_bytes)],
            receipt_bytes,
            _word(refusal),
            _LENGTHS[len(digest)],
            digest,
            _LENGTHS[len(items)],
            items,
            _LENGTHS[len(detail)],
            detail,
            _LENGTHS[len(outcome)],
            outcome,
        )
    )


def salted(operation: bytes, salt: bytes) -> bytes:
    """The whole row of `operations`."""
    return operation + _LENGTHS[len(salt)] + salt


def line_row(
    bucket: int,
    operation: int,
    ordinal: int,
    recorded_at: int,
    debit: int,
    debit_owner: int,
    credit: int,
    credit_owner: int,
    amount: int,
    unit: bytes,
    period: int,
    issuer: int,
    obligor: int,
    redeemer: int,
    tariff: int,
    terms: int,
    origin_period: int,
    lot: int,
) -> bytes:
    """A row of `lines`, its columns in table order; `recorded_at` as `instant` gives it."""
    return _LINE.pack(
        18,
        2,
        bucket,
        8,
        operation,
        2,
        ordinal,
        8,
        recorded_at,
        2,
        debit,
        8,
        debit_owner,
        2,
        credit,
        8,
        credit_owner,
        8,
        amount,
        3,
        unit,
        4,
        period,
        4,
        issuer,
        4,
        obligor,
        4,
        redeemer,
        4,
        tariff,
        4,
        terms,
        4,
        origin_period,
        8,
        lot,
    )


def key_rows(claims: Iterable[bytes], operation: int, recorded_at: int) -> list[bytes]:
    """Rows of `keys` for an operation's claims (`ledger.keys`); `recorded_at` as `instant` gives it."""
    place = _KEY_PLACE(8, operation, 8, recorded_at)
    return [_KEY_HEAD + claim[:2] + _KEY_LENGTH + claim[2:] + place for claim in claims]


def lot_row(member: int, lot: Any) -> bytes:
    """A row of `lots`, for a `Lot` of `member`."""
    fixed = _LOT.pack(
        14,
        2,
        lot.id >> 56,
        8,
        member,
        8,
        lot.id,
        4,
        lot.issuer,
        4,
        lot.obligor,
        4,
        lot.tariff,
        8,
        instant(lot.earned_at),
        8,
        instant(lot.expires_at),
        8,
        lot.earned,
        8,
        lot.pending,
        8,
        lot.available,
    )
    available_at, armed_at, parent = lot.available_at, lot.armed_at, lot.parent
    return b"".join(
        (
            fixed,
            _NULL if available_at is None else _INSTANT(8, instant(available_at)),
            _NULL if armed_at is None else _INSTANT(8, instant(armed_at)),
            _NULL if parent is None else _INSTANT(8, parent),
        )
    )


def wallet_row(wallet: Any) -> bytes:
    """A row of `wallets`, for a `Wallet`."""
    fixed = _WALLET.pack(
        11,
        2,
        wallet.member >> 56,
        8,
        wallet.member,
        8,
        wallet.pending,
        8,
        wallet.available,
        8,
        wallet.held,
        8,
        wallet.clawback_due,
    )
    due, (expires_at, lot) = wallet.next_due_at, wallet.lots_from()
    return b"".join(
        (
            fixed,
            _NULL if due is None else _INSTANT(8, instant(due)),
            _FLAGS[wallet.is_frozen],
            _INSTANT(8, wallet.merged_into) if wallet.merged_into else _NULL,
            _INSTANT(8, expires_at),
            _INSTANT(8, lot),
        )
    )


def hold_row(hold: Any) -> bytes:
    """A row of `holds`, for a `Hold`."""
    return _HOLD.pack(
        9,
        2,
        hold.id >> 56,
        8,
        hold.id,
        8,
        hold.member,
        4,
        hold.partner,
        4,
        hold.outlet,
        4,
        hold.terms,
        8,
        instant(hold.expires_at),
        1,
        hold.is_open,
        1,
        hold.has_lapsed,
    )


def slice_row(hold: Any, part: Any) -> bytes:
    """A row of `slices`, for a `Slice` of a `Hold`."""
    return _SLICE.pack(
        13,
        2,
        hold.id >> 56,
        8,
        hold.id,
        2,
        part.ordinal,
        8,
        hold.member,
        8,
        part.lot,
        4,
        part.issuer,
        4,
        part.obligor,
        4,
        part.tariff,
        8,
        instant(part.earned_at),
        8,
        instant(part.expires_at),
        8,
        part.points,
        8,
        part.captured,
        8,
        part.released,
    )


def block_row(
    *,
    bucket: int,
    height: int,
    recorded_at: int,
    period: int,
    first: int,
    count: int,
    previous: bytes,
    root: bytes,
    hash_: bytes,
    flows: bytes,
    stock: bytes,
) -> bytes:
    """A row of `blocks`; `recorded_at` as `instant` gives it, `flows` and `stock` packed arrays."""
    fixed = _BLOCK.pack(
        11,
        2,
        bucket,
        8,
        height,
        8,
        recorded_at,
        4,
        period,
        8,
        first,
        4,
        count,
        32,
        previous,
        32,
        root,
        32,
        hash_,
    )
    return b"".join((fixed, _LENGTH(len(flows)), flows, _LENGTH(len(stock)), stock))


def copy_of(rows: Iterable[bytes]) -> bytes:
    """What binary COPY reads: `rows` between its header and its trailer."""
    return b"".join((_HEADER, *rows, _TRAILER))


@lru_cache(maxsize=4_096)
def _word(text: str) -> bytes:
    """A text that comes again and again: kinds, principals, terminals, codes."""
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded
