"""Heads: where each bucket's log ends, who may write to it, and the hash that a height had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from .chain import GENESIS
from .evidence.history import WHOLE_HISTORY
from .kernel.database import LONGEST_SILENCE
from .tables import blocks, heads

_LET_GO_OF_THE_SILENT: Final = text(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_SILENCE}'")


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


async def lock_heads(connection: AsyncConnection, buckets: Iterable[int]) -> set[int]:
    """Lock the heads of `buckets` until the transaction ends, as a batch does; those that are read-only.

    Whoever falls silent from here on is let go by the server, as a lane is.
    """
    await connection.execute(_LET_GO_OF_THE_SILENT)
    query = select(heads.c.bucket, heads.c.fenced).where(heads.c.bucket.in_(buckets)).order_by(heads.c.bucket)
    return {row.bucket for row in await connection.execute(query.with_for_update()) if row.fenced is not None}


async def hash_at(connection: AsyncConnection, bucket: int, height: int) -> bytes | None:
    """The hash of a block, in an archived month too; `GENESIS` at height 0, None if it is not there."""
    if height == 0:
        return GENESIS
    await connection.execute(WHOLE_HISTORY)
    query = select(blocks.c.hash).where(blocks.c.bucket == bucket, blocks.c.height == height)
    found = await connection.scalar(query)
    return None if found is None else bytes(found)
