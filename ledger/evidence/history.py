"""A bucket's history read in order, a page at a time, as the bytes that were hashed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.packing import bigints
from ledger.tables import blocks

from .rows import (
    LINE_COLUMNS,
    OPERATION_COLUMNS,
    PackedLine,
    PackedOperation,
    instant_of,
    lines_in,
    operations_in,
)

PAGE: Final = 5_000
"""Rows held in memory at a time: a few megabytes."""

_MOST_STRAYS: Final = PAGE

WHOLE_HISTORY: Final = text("SET LOCAL search_path TO whole, public")
"""Makes the names of the tables of history mean all of it in this transaction, archived months too."""

_LEAST: Final = -(1 << 63)
_FIRST_OPERATIONS: Final = f"""
    SELECT {", ".join(OPERATION_COLUMNS)} FROM operations
    WHERE bucket = $1 ORDER BY id, recorded_at LIMIT {PAGE}
"""  # noqa: S608 - constants, here and below
_MORE_OPERATIONS: Final = f"""
    SELECT {", ".join(OPERATION_COLUMNS)} FROM operations
    WHERE bucket = $1 AND (id, recorded_at) > ($2, $3) ORDER BY id, recorded_at LIMIT {PAGE}
"""  # noqa: S608
_OPERATIONS_BETWEEN: Final = f"""
    SELECT {", ".join(OPERATION_COLUMNS)} FROM operations
    WHERE bucket = $1 AND id >= $2 AND id <= $3 ORDER BY id, recorded_at
"""  # noqa: S608
_LINES: Final = f"""
    SELECT {", ".join(LINE_COLUMNS)} FROM lines
    WHERE bucket = $1 AND operation > $2 AND operation <= $3 ORDER BY operation, ordinal, recorded_at
"""  # noqa: S608
_MOST: Final = (1 << 63) - 1


class StoredBlock(msgspec.Struct, frozen=True):
    """A row of `blocks`."""

    bucket: int
    height: int
    recorded_at: datetime
    period: int
    first: int
    count: int
    previous: bytes
    root: bytes
    hash: bytes
    flows: tuple[int | None, ...] | None
    stock: tuple[int | None, ...] | None

    @classmethod
    def of(cls, row: Any) -> StoredBlock:
        """The row as SQLAlchemy gives it."""
        values = row._asdict()
        for column in ("flows", "stock"):
            values[column] = None if values[column] is None else tuple(values[column])
        return cls(**values)

    @property
    def moved(self) -> bytes | None:
        """What the block says it moved, as it is hashed; None in blocks of version 1."""
        if self.flows is None:
            return None
        return bigints([each or 0 for each in self.flows]) + bigints([each or 0 for each in self.stock or ()])


class BucketHistory:
    """What one bucket holds, read on a connection whose transaction sees one snapshot.

    `strays` gathers lines that belong to no operation, at most `_MOST_STRAYS` of them.
    """

    def __init__(self, connection: AsyncConnection, bucket: int) -> None:
        self._connection = connection
        self._bucket = bucket
        self.strays: list[PackedLine] = []

    async def blocks(self) -> AsyncIterator[list[StoredBlock]]:
        """Its blocks by height, in pages of at most `PAGE`."""
        place: tuple[int, datetime] | None = None
        while True:
            query = select(blocks).where(blocks.c.bucket == self._bucket)
            if place is not None:
                query = query.where(tuple_(blocks.c.height, blocks.c.recorded_at) > place)
            query = query.order_by(blocks.c.height, blocks.c.recorded_at).limit(PAGE)
            rows = (await self._connection.execute(query)).all()
            yield [StoredBlock.of(row) for row in rows]
            if len(rows) < PAGE:
                return
            place = rows[-1].height, rows[-1].recorded_at

    async def operations(self) -> AsyncIterator[list[PackedOperation]]:
        """Its operations by id with their lines, as they are packed, in pages of at most `PAGE`."""
        place: tuple[int, datetime] | None = None
        after = _LEAST
        while True:
            if place is None:
                copied = await self._copy(_FIRST_OPERATIONS, self._bucket)
            else:
                copied = await self._copy(_MORE_OPERATIONS, self._bucket, *place)
            page = operations_in(copied)
            upto = page[-1].id if len(page) == PAGE else _MOST
            self._give_lines(page, lines_in(await self._copy(_LINES, self._bucket, after, upto)))
            yield page
            if len(page) < PAGE:
                return
            after = upto
            place = upto, instant_of(page[-1].recorded_at)

    async def between(self, first: int, last: int) -> list[PackedOperation]:
        """The operations with ids from `first` to `last`, with their lines."""
        page = operations_in(await self._copy(_OPERATIONS_BETWEEN, self._bucket, first, last))
        self._give_lines(page, lines_in(await self._copy(_LINES, self._bucket, first - 1, last)))
        return page

    def _give_lines(self, page: list[PackedOperation], found: Iterable[PackedLine]) -> None:
        """Put the lines to their operations; both are in the order of ids."""
        owners = {operation.id: operation for operation in page}
        for line in found:
            owner = owners.get(line.operation)
            if owner is not None:
                owner.lines.append(line)
            elif len(self.strays) < _MOST_STRAYS:
                self.strays.append(line)

    async def _copy(self, query: str, *arguments: object) -> bytes:
        """The rows of `query` by binary COPY, in the transaction of the connection."""
        raw = await self._connection.get_raw_connection()
        driver: Any = raw.driver_connection
        copied = bytearray()

        async def take(chunk: bytes) -> None:
            copied.extend(chunk)

        await driver.copy_from_query(query, *arguments, output=take, format="binary")
        return bytes(copied)
