"""Drawing an inclusion proof of one operation from the database."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.ids import bucket_of
from ledger.tables import blocks, operations

from . import sealing
from .history import WHOLE_HISTORY, BucketHistory, StoredBlock
from .inclusion import Inclusion, header_of
from .merkle import audit_path
from .seal import block_leaf
from .seal_keys import public_keys
from .sealing import PeriodUnsealed


async def inclusion_of(connection: AsyncConnection, operation: int) -> Inclusion | None:
    """The proof of an operation, None if there is no such operation.

    Reads the operations of its block and the hashes of its bucket's blocks in its period, by primary
    keys. Raises `PeriodUnsealed`; `NotGenuine` if what is stored does not lead to its seal.
    """
    await connection.execute(WHOLE_HISTORY)
    bucket = bucket_of(operation)
    found = (
        await connection.execute(
            select(operations.c.height, operations.c.period).where(
                operations.c.bucket == bucket, operations.c.id == operation
            )
        )
    ).first()
    if found is None:
        return None
    seal = await sealing.find(connection, found.period)
    if seal is None:
        raise PeriodUnsealed(found.period)
    block = await _block(connection, bucket, found.height)
    members = await BucketHistory(connection, bucket).between(block.first, block.first + block.count - 1)
    place = next(index for index, member in enumerate(members) if member.id == operation)
    buckets = await sealing.buckets_of(connection, found.period)
    leaves = [block_leaf(hash_) for hash_ in await sealing.hashes_of(connection, buckets[bucket])]
    inclusion = Inclusion(
        row=members[place].row,
        salt=members[place].salt,
        lines=tuple(line.row for line in members[place].lines),
        place=place,
        path=tuple(audit_path([member.leaf() for member in members], place)),
        header=header_of(block),
        block_path=tuple(audit_path(leaves, block.height - buckets[bucket].first_height)),
        bucket=buckets[bucket],
        bucket_path=tuple(audit_path([each.leaf() for each in buckets], bucket)),
        seal=seal,
        public=(await public_keys(connection))[seal.key_id],
    )
    inclusion.check()
    return inclusion


async def _block(connection: AsyncConnection, bucket: int, height: int) -> StoredBlock:
    query = select(blocks).where(blocks.c.bucket == bucket, blocks.c.height == height)
    return StoredBlock.of((await connection.execute(query)).one())
