"""Sealing a period: its root computed from the blocks, signed, and kept; once, and in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import fence
from ledger.chain import GENESIS
from ledger.fence import Span
from ledger.kernel.ids import BUCKETS
from ledger.kernel.refusals import Refusal
from ledger.tables import blocks

from .history import WHOLE_HISTORY, StoredBlock
from .judging import is_written
from .merkle import Growing
from .recount import Flaw
from .seal import FIRST, NotGenuine, Seal, SealedBucket, block_leaf, root_of
from .seal_keys import SealKeys, public_keys
from .tables import sealed_buckets, seals

_SEALING: Final = 0x7365616C
"""The advisory lock of whoever seals: «seal» in hexadecimal."""

_BLOCKS_AT_ONCE: Final = 5_000


class PeriodUnsealed(Refusal):
    """A period is sealed some time after every bucket has left it; this one is not yet."""

    code = "PERIOD_UNSEALED"
    retryable = True

    def __init__(self, period: int) -> None:
        super().__init__(f"period {period} is not sealed yet", field=("period",))


class ChainBroken(Exception):
    """A period's blocks do not hang together, so nothing is signed; the message names the block."""


async def due(connection: AsyncConnection) -> list[Span]:
    """The periods that every bucket has left and that have no seal, in order."""
    calendar = await fence.load_calendar(connection)
    last = await connection.scalar(select(func.max(seals.c.period)))
    if calendar is None:
        return []
    waiting = [span for span in calendar.spans if last is None or span.period > last]
    return [span for span in waiting if await fence.all_past(connection, span.period)]


async def seal_period(connection: AsyncConnection, span: Span, keys: SealKeys, *, at: datetime) -> Seal:
    """Seal a period of `due` and give its seal; one that is sealed already is given as it stands.

    Periods are sealed in order: the one before must have been. Reads the period's blocks, no
    operation and no line. Raises `ChainBroken`, `SealKeysSealed`.
    """
    await connection.execute(select(func.pg_advisory_xact_lock(_SEALING)))
    await connection.execute(WHOLE_HISTORY)
    known = await find(connection, span.period)
    if known is not None:
        return known
    before = await find(connection, span.period - 1)
    ended = {bucket.bucket: bucket for bucket in await buckets_of(connection, span.period - 1)}
    signer = await keys.signer(connection, at=at)
    buckets = [
        await _sealed_bucket(connection, bucket, span.period, ended.get(bucket)) for bucket in range(BUCKETS)
    ]
    seal = signer.sign(
        Seal(
            period=span.period,
            starts_at=span.starts_at,
            ends_at=span.ends_at,
            sealed_at=at,
            buckets=len(buckets),
            blocks=sum(bucket.blocks for bucket in buckets),
            operations=sum(bucket.operations for bucket in buckets),
            root=root_of(buckets),
            previous=before.hash() if before else FIRST,
        )
    )
    await connection.execute(insert(seals).values(**_columns_of(seal)))
    await connection.execute(
        insert(sealed_buckets), [{"period": span.period, **_columns_of(bucket)} for bucket in buckets]
    )
    return seal


async def find(connection: AsyncConnection, period: int) -> Seal | None:
    """The seal of a period, None before it is sealed."""
    row = (await connection.execute(select(seals).where(seals.c.period == period))).first()
    return None if row is None else _seal(row)


async def all_seals(connection: AsyncConnection) -> list[Seal]:
    """Every seal, in the order of periods."""
    return [_seal(row) for row in await connection.execute(select(seals).order_by(seals.c.period))]


async def buckets_of(connection: AsyncConnection, period: int) -> list[SealedBucket]:
    """What each bucket wrote in a sealed period, in the order of buckets."""
    query = select(sealed_buckets).where(sealed_buckets.c.period == period)
    return [_bucket(row) for row in await connection.execute(query.order_by(sealed_buckets.c.bucket))]


async def hashes_of(connection: AsyncConnection, bucket: SealedBucket) -> list[bytes]:
    """The hashes of a sealed bucket's blocks, in the order of heights; by the primary key."""
    query = select(blocks.c.hash).where(
        blocks.c.bucket == bucket.bucket,
        blocks.c.height.between(bucket.first_height, bucket.first_height + bucket.blocks - 1),
    )
    return [bytes(hash_) for hash_ in await connection.scalars(query.order_by(blocks.c.height))]


async def problems(connection: AsyncConnection, seal: Seal) -> AsyncIterator[str]:
    """What is wrong with one seal: its signature, or the root as its blocks give it again."""
    public = (await public_keys(connection)).get(seal.key_id)
    try:
        if public is None:
            raise NotGenuine(f"the key of period {seal.period}'s seal is not known: {seal.key_id}")
        seal.check(public)
    except NotGenuine as reason:
        yield str(reason)
    before = {bucket.bucket: bucket for bucket in await buckets_of(connection, seal.period - 1)}
    try:
        found = [
            await _sealed_bucket(connection, bucket, seal.period, before.get(bucket))
            for bucket in range(seal.buckets)
        ]
    except ChainBroken as reason:
        yield str(reason)
        return
    if root_of(found) != seal.root:
        yield f"the blocks of period {seal.period} do not have the root that was sealed"


async def flaws(
    connection: AsyncConnection, counted: Mapping[tuple[int, int], SealedBucket]
) -> AsyncIterator[Flaw]:
    """What of the seals is not so: signatures, links, and roots over what the rows were `counted` to be."""
    keys = await public_keys(connection)
    previous: bytes | None = FIRST
    for seal in await all_seals(connection):
        public = keys.get(seal.key_id)
        try:
            if public is None:
                raise NotGenuine(f"the key of period {seal.period}'s seal is not known: {seal.key_id}")
            seal.check(public)
        except NotGenuine as reason:
            yield Flaw(None, str(reason))
        if seal.previous != previous:
            yield Flaw(None, f"the seal of period {seal.period} does not name the one before it")
        previous = _unless_damaged(seal.hash)
        found = await buckets_of(connection, seal.period)
        if _unless_damaged(partial(root_of, found)) != seal.root or _sums(found) != (
            seal.buckets,
            seal.blocks,
            seal.operations,
        ):
            yield Flaw(None, f"the buckets kept with the seal of period {seal.period} are not those sealed")
        for bucket in found:
            again = counted.get((seal.period, bucket.bucket))
            if again is None:
                again = SealedBucket(bucket.bucket, bucket.first_height, 0, 0, Growing().root())
            if again != bucket:
                yield Flaw(
                    bucket.bucket,
                    f"what bucket {bucket.bucket} wrote in period {seal.period} is not what was sealed",
                )


async def _sealed_bucket(
    connection: AsyncConnection, bucket: int, period: int, before: SealedBucket | None
) -> SealedBucket:
    """What a bucket wrote in a period, from where the period before ended on."""
    first = before.first_height + before.blocks if before else 1
    tree, operations, previous = Growing(), 0, await _hash_at(connection, bucket, first - 1)
    while True:
        query = (
            select(blocks)
            .where(blocks.c.bucket == bucket, blocks.c.height >= first + tree.size, blocks.c.period == period)
            .order_by(blocks.c.height)
            .limit(_BLOCKS_AT_ONCE)
        )
        rows = [StoredBlock.of(row) for row in (await connection.execute(query)).all()]
        for block in rows:
            follows = block.height == first + tree.size and block.previous == previous
            if not follows or not is_written(block):
                raise ChainBroken(
                    f"block {block.height} of bucket {bucket} does not follow the one before it"
                )
            tree.add(block_leaf(block.hash))
            operations += block.count
            previous = block.hash
        if len(rows) < _BLOCKS_AT_ONCE:
            return SealedBucket(bucket, first, tree.size, operations, tree.root())


async def _hash_at(connection: AsyncConnection, bucket: int, height: int) -> bytes:
    if height == 0:
        return GENESIS
    query = select(blocks.c.hash).where(blocks.c.bucket == bucket, blocks.c.height == height)
    found = await connection.scalar(query)
    if found is None:
        raise ChainBroken(f"block {height} of bucket {bucket} is missing")
    return bytes(found)


def _unless_damaged(made: Callable[[], bytes]) -> bytes | None:
    """A hash of rows as they are stored; None where no such row was ever written."""
    try:
        return made()
    except NotGenuine:
        return None


def _sums(buckets: list[SealedBucket]) -> tuple[int, int, int]:
    return (
        len(buckets),
        sum(bucket.blocks for bucket in buckets),
        sum(bucket.operations for bucket in buckets),
    )


def _columns_of(value: Seal | SealedBucket) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _seal(row: Any) -> Seal:
    return Seal(**row._asdict())


def _bucket(row: Any) -> SealedBucket:
    return SealedBucket(row.bucket, row.first_height, row.blocks, row.operations, bytes(row.root))
