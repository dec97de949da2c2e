"""Parameters packed as PostgreSQL's binary format wants them: arrays of columns, built in one go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

_ARRAY: Final = Struct(">iiiii")
_LENGTH: Final = Struct(">i")
_SMALLINT, _INT, _BIGINT, _INSTANT, _BYTEA, _BOOL, _TEXT, _TID = 21, 23, 20, 1184, 17, 16, 25, 27


def smallints(values: Sequence[int]) -> bytes:
    """A `smallint[]`."""
    return _fixed(_SMALLINT, "h", 2, values)


def ints(values: Sequence[int]) -> bytes:
    """An `int[]`."""
    return _fixed(_INT, "i", 4, values)


def bigints(values: Sequence[int]) -> bytes:
    """A `bigint[]`."""
    return _fixed(_BIGINT, "q", 8, values)


def instants(values: Sequence[int]) -> bytes:
    """A `timestamptz[]` of microseconds since 2000, as `ledger.binary.instant` gives them."""
    return _fixed(_INSTANT, "q", 8, values)


def bools(values: Sequence[bool]) -> bytes:
    """A `boolean[]`."""
    return _fixed(_BOOL, "?", 1, values)


def places(values: Sequence[bytes]) -> bytes:
    """A `tid[]`: where rows are, as `ctid` tells."""
    return _fixed(_TID, "6s", 6, values)


def byteas(values: Sequence[bytes]) -> bytes:
    """A `bytea[]`."""
    return _varying(_BYTEA, values)


def texts(values: Sequence[str]) -> bytes:
    """A `text[]`."""
    return _varying(_TEXT, [value.encode() for value in values])


def bigint(value: int) -> bytes:
    """A `bigint`, or a `timestamptz` in microseconds since 2000."""
    return value.to_bytes(8, signed=True)


def integer(value: int) -> bytes:
    """An `int`."""
    return value.to_bytes(4, signed=True)


def smallint(value: int) -> bytes:
    """A `smallint`."""
    return value.to_bytes(2, signed=True)


def _varying(oid: int, values: Sequence[bytes]) -> bytes:
    elements = [part for value in values for part in (_LENGTH.pack(len(value)), value)]
    return b"".join([_ARRAY.pack(1, 0, oid, len(values), 1), *elements])


def _fixed(oid: int, code: str, width: int, values: Sequence[int] | Sequence[bytes]) -> bytes:
    count = len(values)
    interleaved: list[int | bytes] = [width] * (2 * count)
    interleaved[1::2] = values
    return _ARRAY.pack(1, 0, oid, count, 1) + _elements(code, count).pack(*interleaved)


@lru_cache(maxsize=4_096)
def _elements(code: str, count: int) -> Struct:
    return Struct(">" + f"i{code}" * count)
