"""Edges: where a period reaches beyond an archived month, and what leads the month's blocks to its seal.

A period ends at midnight of the programme's time zone and a month at that of UTC, so some blocks of a
sealed period lie in another archive. The headers of the last one before the month and of the first
one after it show that nothing between them is missing; of the rest, a few roots are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import blocks

from . import sealing
from .history import StoredBlock
from .inclusion import Header, header_from_file, header_of, header_to_file
from .merkle import root_around, roots_outside
from .seal import NotGenuine, SealedBucket, block_leaf, hash_from


class Edges(msgspec.Struct, frozen=True):
    """Of one bucket and period: the nearest blocks before and after a month, and roots over the others."""

    before: Header | None
    after: Header | None
    outside: tuple[bytes, ...]

    def check(self, bucket: SealedBucket, period: int, month: date, here: Sequence[StoredBlock]) -> None:
        """Raise `NotGenuine` unless `here` is all that the bucket wrote of the period in `month`."""
        starts_at, ends_at = _bounds(month)
        before, after = self.before, self.after
        is_outside = (before is None or before.recorded_at < starts_at) and (
            after is None or after.recorded_at >= ends_at
        )
        edges = [header for header in (before, after) if header is not None]
        is_own = all((header.bucket, header.period) == (bucket.bucket, period) for header in edges)
        known = [(block.height, block.hash) for block in here]
        if before is not None:
            known.insert(0, (before.height, before.hash()))
        if after is not None:
            known.append((after.height, after.hash()))
        first = bucket.first_height if before is None else before.height
        last = bucket.first_height + bucket.blocks - 1 if after is None else after.height
        is_whole = len(known) == last - first + 1 and [height for height, _ in known] == [
            *range(first, first + len(known))
        ]
        root = root_around(
            [block_leaf(hash_) for _, hash_ in known],
            start=first - bucket.first_height,
            size=bucket.blocks,
            outside=self.outside,
        )
        is_sealed = root == bucket.root if bucket.blocks else not known
        if not (is_outside and is_own and is_whole and is_sealed):
            raise NotGenuine(f"bucket {bucket.bucket} does not have the root sealed for period {period}")


async def edges_of(connection: AsyncConnection, bucket: SealedBucket, month: date) -> Edges:
    """The edges of what a bucket wrote in a sealed period; by the primary key."""
    starts_at, ends_at = _bounds(month)
    own = select(blocks).where(
        blocks.c.bucket == bucket.bucket,
        blocks.c.height.between(bucket.first_height, bucket.first_height + bucket.blocks - 1),
    )
    earlier = own.where(blocks.c.recorded_at < starts_at).order_by(blocks.c.height.desc())
    later = own.where(blocks.c.recorded_at >= ends_at).order_by(blocks.c.height)
    before, after = [(await connection.execute(query.limit(1))).first() for query in (earlier, later)]
    leaves = [block_leaf(hash_) for hash_ in await sealing.hashes_of(connection, bucket)]
    start = 0 if before is None else before.height - bucket.first_height
    stop = bucket.blocks if after is None else after.height - bucket.first_height + 1
    return Edges(
        before=None if before is None else header_of(StoredBlock.of(before)),
        after=None if after is None else header_of(StoredBlock.of(after)),
        outside=tuple(roots_outside(leaves, start, stop)) if leaves else (),
    )


def edges_to_file(edges: Edges) -> dict[str, Any]:
    """The edges as JSON."""
    return {
        "before": None if edges.before is None else header_to_file(edges.before),
        "after": None if edges.after is None else header_to_file(edges.after),
        "outside": [root.hex() for root in edges.outside],
    }


def edges_from_file(content: Any) -> Edges:
    """The edges in a parsed file. Raises `KeyError`, `TypeError`, `ValueError`."""
    before, after = content["before"], content["after"]
    return Edges(
        before=None if before is None else header_from_file(before),
        after=None if after is None else header_from_file(after),
        outside=tuple(hash_from(root) for root in content["outside"]),
    )


def _bounds(month: date) -> tuple[datetime, datetime]:
    """When a month begins and ends, in UTC."""
    starts_at = datetime(month.year, month.month, 1, tzinfo=UTC)
    return starts_at, (starts_at + timedelta(days=32)).replace(day=1)
