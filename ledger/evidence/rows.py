"""Rows as PostgreSQL's binary COPY gives them, which are byte for byte what was hashed.

Nothing is decoded and packed again on the way: what stands in the table is what is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, DateTime, Integer, SmallInteger, Table

from ledger.binary import copy_of
from ledger.chain import leaf
from ledger.tables import lines, operations

OPERATION_COLUMNS: Final = tuple(operations.columns.keys())
LINE_COLUMNS: Final = tuple(lines.columns.keys())

_HEADER_BYTES: Final = len(copy_of(())) - 2
_END: Final = -1
_COUNT: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")
_OPERATION: Final = struct.Struct(">hihiqiqiq")
"""Of an operation's row: its count of columns, bucket, id, recorded_at and height."""
_LINE: Final = struct.Struct(">hihiqihiq")
"""Of a line's row: its count of columns, bucket, operation, ordinal and recorded_at."""
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_NUMBERS: Final = {2: struct.Struct(">h"), 4: struct.Struct(">i"), 8: struct.Struct(">q")}
_TEXTS: Final = frozenset({"kind", "principal", "key", "terminal", "receipt", "refusal", "unit"})
_BYTES: Final = frozenset({"digest", "items", "detail", "outcome", "salt"})
_INSTANTS: Final = frozenset({"recorded_at", "occurred_at"})


class Damaged(ValueError):
    """Bytes that are no row."""


class PackedLine(msgspec.Struct, frozen=True, gc=False):
    """A line's row as it is hashed; `recorded_at` in microseconds since 2000."""

    operation: int
    ordinal: int
    recorded_at: int
    row: bytes


class PackedOperation(msgspec.Struct, gc=False):
    """An operation's row as it is hashed, without the salt, and the rows of its lines."""

    id: int
    recorded_at: int
    height: int
    salt: bytes
    row: bytes
    lines: list[PackedLine]

    def leaf(self) -> bytes:
        """The operation's leaf in the tree of its block."""
        return leaf(self.salt, self.row, b"".join([line.row for line in self.lines]))


def operations_in(copied: bytes) -> list[PackedOperation]:
    """The operations of a binary COPY, without their lines."""
    found = []
    for row in _rows(copied, _OPERATIONS):
        _, _, _, _, id_, _, recorded_at, _, height = _OPERATION.unpack_from(row)
        salt_at = _OPERATIONS.last_varying(row)
        found.append(PackedOperation(id_, recorded_at, height, row[salt_at + 4 :], row[:salt_at], []))
    return found


def lines_in(copied: bytes) -> Iterator[PackedLine]:
    """The lines of a binary COPY."""
    for row in _rows(copied, _LINES):
        _, _, _, _, operation, _, ordinal, _, recorded_at = _LINE.unpack_from(row)
        yield PackedLine(operation, ordinal, recorded_at, row)


def read_operation(row: bytes) -> dict[str, Any]:
    """The columns of an operation's row without its salt. Raises `Damaged`."""
    return _read(row, OPERATION_COLUMNS[:-1], len(OPERATION_COLUMNS))


def read_line(row: bytes) -> dict[str, Any]:
    """The columns of a line's row. Raises `Damaged`."""
    return _read(row, LINE_COLUMNS, len(LINE_COLUMNS))


def instant_of(microseconds: int) -> datetime:
    """The instant that many microseconds after 2000 began."""
    return _EPOCH + timedelta(microseconds=microseconds)


def column_at(row: bytes, offset: int, columns: tuple[str, ...]) -> str:
    """The column that the byte at `offset` of a row belongs to, its length included."""
    start = _COUNT.size
    for column in columns:
        start += _LENGTH.size + max(_LENGTH.unpack_from(row, start)[0], 0)
        if offset < start:
            return column
    return columns[-1]


def _read(row: bytes, columns: tuple[str, ...], count: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    try:
        if _COUNT.unpack_from(row)[0] != count:
            raise Damaged(f"a row of {count} columns is expected")
        start = _COUNT.size
        for column in columns:
            length = _LENGTH.unpack_from(row, start)[0]
            start += _LENGTH.size
            if length < 0 or start + length > len(row):
                raise Damaged(f"{column} does not end within its row")
            values[column] = _value(column, row[start : start + length])
            start += length
    except (struct.error, UnicodeDecodeError, KeyError, OverflowError) as error:
        raise Damaged(f"not a row: {error}") from None
    if start != len(row):
        raise Damaged("bytes are left over behind a row")
    return values


def _value(column: str, field: bytes) -> Any:
    if column in _TEXTS:
        return field.decode()
    if column in _BYTES:
        return field
    number: int = _NUMBERS[len(field)].unpack(field)[0]
    return instant_of(number) if column in _INSTANTS else number


class _Layout(msgspec.Struct, frozen=True):
    """Where a table's rows vary: after `head` bytes, in `varying` fields, before `tail` bytes."""

    columns: int
    head: int
    varying: int
    tail: int

    @classmethod
    def of(cls, table: Table) -> _Layout:
        """The layout of a table whose columns are never null."""
        sizes = [_size(column.type) for column in table.columns]
        first = next(i for i, size in enumerate(sizes) if size is None)
        last = max(i for i, size in enumerate(sizes) if size is None)
        head = _COUNT.size + sum(_LENGTH.size + (size or 0) for size in sizes[:first])
        tail = sum(_LENGTH.size + (size or 0) for size in sizes[last + 1 :])
        return cls(len(sizes), head, last + 1 - first, tail)

    def last_varying(self, row: bytes) -> int:
        """Where the length of the last field that varies stands."""
        at = self.head
        for _ in range(self.varying - 1):
            at += _LENGTH.size + _LENGTH.unpack_from(row, at)[0]
        return at


def _size(type_: Any) -> int | None:
    if isinstance(type_, SmallInteger):
        return 2
    if isinstance(type_, BigInteger | DateTime):
        return 8
    return 4 if isinstance(type_, Integer) else None


_OPERATIONS: Final = _Layout.of(operations)
_LINES: Final = _Layout.of(lines)


def _rows(copied: bytes, layout: _Layout) -> Iterator[bytes]:
    start, length_at = _HEADER_BYTES, _LENGTH.unpack_from
    while (count := _COUNT.unpack_from(copied, start)[0]) != _END:
        if count != layout.columns:
            raise Damaged(f"a row of {layout.columns} columns is expected")
        end = start + layout.head
        for _ in range(layout.varying):
            end += 4 + length_at(copied, end)[0]
        end += layout.tail
        yield copied[start:end]
        start = end
