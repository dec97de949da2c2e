"""Heads: where each bucket's log ends, and the hash that a height had."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from .chain import GENESIS
from .evidence.history import WHOLE_HISTORY
from .tables import blocks, heads


@dataclass(frozen=True, slots=True)
class Tip:
    """The last block of a bucket."""

    bucket: int
    height: int
    hash: bytes


async def all_heads(connection: AsyncConnection) -> list[Tip]:
    """The last block of every bucket, in the order of buckets."""
    query = select(heads.c.bucket, heads.c.height, heads.c.hash).order_by(heads.c.bucket)
    return [Tip(row.bucket, row.height, bytes(row.hash)) for row in await connection.execute(query)]


async def hash_at(connection: AsyncConnection, bucket: int, height: int) -> bytes | None:
    """The hash of a block, in an archived month too; `GENESIS` at height 0, None if it is not there."""
    if height == 0:
        return GENESIS
    await connection.execute(WHOLE_HISTORY)
    query = select(blocks.c.hash).where(blocks.c.bucket == bucket, blocks.c.height == height)
    found = await connection.scalar(query)
    return None if found is None else bytes(found)
