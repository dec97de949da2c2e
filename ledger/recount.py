"""Recounting: every hash recomputed from the rows as they are stored, bucket by bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.accounts import FLOW_OF
from ledger.binary import instant, line_row, operation_row
from ledger.chain import GENESIS, HASH_MODULUS, block_hash, flow_term, leaf, merkle_root
from ledger.kernel.ids import compose, sequence_of
from ledger.kernel.packing import bigints
from ledger.tables import blocks, flows_now, heads, lines, operations

_BLOCKS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Flaw:
    """A row that is not what the chain says it was."""

    bucket: int
    row: str


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Every break of every bucket's chain, in the order of buckets and heights.

    Holds a few hundred blocks of one bucket in memory at a time, however long the history.
    """
    for head in (await connection.execute(select(heads).order_by(heads.c.bucket))).all():
        previous, height, sequence = GENESIS, 0, 0
        while True:
            rows = await _page(connection, blocks, head.bucket, blocks.c.height, height)
            if not rows:
                break
            async for flaw in _check(connection, head.bucket, rows, previous, height, sequence):
                yield flaw
            previous, height, sequence = rows[-1].hash, rows[-1].height, _last_sequence(rows[-1])
        if (height, previous) != (head.height, bytes(head.hash)):
            yield Flaw(head.bucket, f"head says height {head.height}, the last block is {height}")
        for table, id_ in ((operations, operations.c.id), (lines, lines.c.operation)):
            stray = await _after(connection, table, head.bucket, id_, sequence)
            if stray is not None:
                yield Flaw(head.bucket, f"{table.name} of operation {stray} are in no block")
    for table in (operations, lines, blocks):
        bucket = await _bucket_without_head(connection, table)
        if bucket is not None:
            yield Flaw(bucket, f"{table.name} of bucket {bucket}, which is none")


async def _check(
    connection: AsyncConnection, bucket: int, rows: list[Any], previous: bytes, height: int, sequence: int
) -> AsyncIterator[Flaw]:
    first = bucket << 56 | sequence + 1
    last = rows[-1].first + rows[-1].count - 1
    found = await _rows(connection, operations, bucket, operations.c.id, first, last)
    line_rows = await _rows(connection, lines, bucket, lines.c.operation, first, last)
    lines_of = {id_: b"".join(map(_packed_line, group)) for id_, group in groupby(line_rows, itemgetter(1))}
    salted: dict[int, tuple[bytes, bytes]] = {}
    for row in found:
        if row.id in salted:
            yield Flaw(bucket, f"operation {row.id} is there more than once")
        salted[row.id] = (bytes(row.salt), _packed_operation(row))
    for id_ in lines_of.keys() - salted.keys():
        yield Flaw(bucket, f"lines of operation {id_} have no operation")
    for block in rows:
        height += 1
        ids = range(block.first, block.first + block.count)
        if block.height != height:
            yield Flaw(bucket, f"height {height} is missing before {block.height}")
            height = block.height
        if block.first != bucket << 56 | sequence + 1:
            yield Flaw(bucket, f"block {height} does not follow the operation before it")
        if bytes(block.previous) != previous:
            yield Flaw(bucket, f"block {height} does not link to the block before it")
        sequence += block.count
        previous = bytes(block.hash)
        missing = [id_ for id_ in ids if id_ not in salted]
        if missing:
            yield Flaw(bucket, f"operation {missing[0]} of block {height} is missing")
            continue
        root = merkle_root([leaf(*salted[id_], lines_of.get(id_, b"")) for id_ in ids])
        if root != bytes(block.root):
            yield Flaw(
                bucket, f"of block {height} an operation or line is not what was written: {_span(ids)}"
            )
        again = block_hash(
            bucket=bucket,
            height=block.height,
            period=block.period,
            recorded_at=block.recorded_at,
            count=block.count,
            previous=bytes(block.previous),
            root=bytes(block.root),
            moved=None if block.flows is None else bigints(block.flows) + bigints(block.stock),
        )
        if again != previous:
            yield Flaw(bucket, f"block {height} is not what was written")


async def flow_flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Flows whose additive hash is not that of their lines."""
    columns = [
        lines.c.bucket,
        lines.c.period,
        lines.c.issuer,
        lines.c.obligor,
        lines.c.redeemer,
        lines.c.tariff,
        lines.c.terms,
        lines.c.origin_period,
        lines.c.debit,
        lines.c.credit,
        lines.c.operation,
        lines.c.ordinal,
        lines.c.amount,
    ]
    sums: dict[tuple[Any, ...], int] = {}
    async with connection.stream(select(*columns).where(lines.c.unit == "PTS")) as stream:
        async for row in stream:
            name = FLOW_OF.get((row.debit, row.credit))
            if name is not None:
                cell = (*row[:5], name, *row[5:8])
                term = flow_term(row.operation, row.ordinal, row.amount)
                sums[cell] = (sums.get(cell, 0) + term) % HASH_MODULUS
    for row in await connection.execute(select(flows_now)):
        cell = tuple(row[:9])
        if sums.pop(cell, None) != int(row.hash):
            yield Flaw(row.bucket, f"flow {cell}: its hash is not that of its lines")
    for cell in sums:
        yield Flaw(cell[0], f"lines of {cell} are in no flow")


def _packed_operation(row: Any) -> bytes:
    values = row._asdict()
    del values["salt"]
    return operation_row(id_=values.pop("id"), **values)


def _packed_line(row: Any) -> bytes:
    values = list(row)
    values[3], values[9] = instant(row.recorded_at), row.unit.encode()
    return line_row(*values)


def _last_sequence(block: Any) -> int:
    return sequence_of(block.first + block.count - 1)


def _span(ids: range) -> str:
    return f"operation {ids[0]}" if len(ids) == 1 else f"operations {ids[0]} to {ids[-1]}"


async def _page(connection: AsyncConnection, table: Table, bucket: int, height: Any, after: int) -> list[Any]:
    query = select(table).where(table.c.bucket == bucket, height > after).order_by(height)
    return list((await connection.execute(query.limit(_BLOCKS_AT_ONCE))).all())


async def _rows(
    connection: AsyncConnection, table: Table, bucket: int, id_: Any, first: int, last: int
) -> Iterator[Any]:
    order = [id_, table.c.ordinal] if "ordinal" in table.c else [id_]
    query = select(table).where(table.c.bucket == bucket, id_.between(first, last)).order_by(*order)
    return iter((await connection.execute(query)).all())


async def _after(
    connection: AsyncConnection, table: Table, bucket: int, id_: Any, sequence: int
) -> int | None:
    """The first operation id in `table` behind the bucket's last block."""
    query = (
        select(id_).where(table.c.bucket == bucket, id_ > compose(bucket, sequence)).order_by(id_).limit(1)
    )
    found: int | None = await connection.scalar(query)
    return found


async def _bucket_without_head(connection: AsyncConnection, table: Table) -> int | None:
    query = select(table.c.bucket).where(table.c.bucket.not_in(select(heads.c.bucket))).limit(1)
    found: int | None = await connection.scalar(query)
    return found
