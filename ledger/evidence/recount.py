"""Recounting history: every hash of every bucket computed again from the rows as they are stored."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.chain import GENESIS
from ledger.kernel.ids import compose
from ledger.tables import blocks, heads, lines, operations

from .history import BucketHistory, StoredBlock
from .judging import Expected, is_written, judge
from .merkle import Growing
from .pinpoint import Search
from .rows import PackedOperation
from .seal import SealedBucket, block_leaf

_MOST_STRAYS: Final = 20
"""Rows in no block named for each bucket: a table moved elsewhere would be millions."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A row that is not what the chain says it was; `bucket` is None for what belongs to none."""

    bucket: int | None
    row: str


@dataclass(slots=True)
class Counted:
    """How far a recount has come."""

    buckets: int = 0
    blocks: int = 0
    operations: int = 0
    lines: int = 0


Tell = Callable[[Counted], None]


@dataclass(slots=True)
class Recount:
    """A recount of the buckets it is given: `flaws` runs it, `sealable` then says what it saw.

    Holds a few thousand rows of one bucket in memory at a time, however long the history.
    """

    connection: AsyncConnection
    tell: Tell = lambda _counted: None
    counted: Counted = field(default_factory=Counted)
    search: Search = field(default_factory=Search)
    sealable: dict[tuple[int, int], SealedBucket] = field(default_factory=dict)
    """(period, bucket) → what the rows say the bucket wrote in that period."""

    async def flaws(self, only: Sequence[int] | None = None) -> AsyncIterator[Flaw]:
        """Every break, in the order of buckets and heights; of the buckets in `only`, if it is given."""
        query = select(heads).order_by(heads.c.bucket)
        if only is not None:
            query = query.where(heads.c.bucket.in_(only))
        for head in (await self.connection.execute(query)).all():
            async for row in self._bucket(head):
                yield Flaw(head.bucket, row)
            self.counted.buckets += 1
            self.tell(self.counted)
        if only is None:
            for table in (operations, lines, blocks):
                bucket = await _bucket_without_head(self.connection, table)
                if bucket is not None:
                    yield Flaw(bucket, f"{table.name} of bucket {bucket}, which is none")

    async def _bucket(self, head: Any) -> AsyncIterator[str]:
        """What is wrong with one bucket."""
        history = BucketHistory(self.connection, head.bucket)
        operation_rows = _Rows(history.operations())
        block_rows = _Rows(history.blocks())
        expected_height, expected_first = 1, compose(head.bucket, 1)
        previous: bytes | None = GENESIS
        strays: list[int] = []
        trees: dict[int, tuple[int, Growing, int]] = {}
        while (block := await block_rows.head()) is not None:
            block_rows.drop()
            following = await block_rows.head()
            if block.height < expected_height:
                yield f"block {block.height} is there more than once"
                continue
            if block.height > expected_height and is_written(block):
                yield f"height {expected_height} is missing before {block.height}"
                expected_height, expected_first, previous = block.height, block.first, None
            end = following.first if following is not None else compose(head.bucket, head.operations + 1)
            members = await _members(operation_rows, block, expected_first, end, strays)
            linked = following.previous if following is not None else bytes(head.hash)
            expected = Expected(expected_height, expected_first, previous, linked)
            verdict = judge(block, members, expected, self.search)
            for flaw in verdict.flaws:
                yield flaw
            written = verdict.block
            first_height, tree, before = trees.setdefault(written.period, (written.height, Growing(), 0))
            tree.add(block_leaf(written.hash))
            trees[written.period] = (first_height, tree, before + len(members))
            self._count(members)
            expected_height += 1
            expected_first = members[-1].id + 1 if members else expected_first
            previous = written.hash
        while (left := await operation_rows.head()) is not None:
            operation_rows.drop()
            strays.append(left.id)
        for row in self._rest(head, expected_height - 1, previous, strays, history):
            yield row
        for period, (first_height, tree, count) in trees.items():
            self.sealable[(period, head.bucket)] = SealedBucket(
                head.bucket, first_height, tree.size, count, tree.root()
            )

    def _rest(
        self, head: Any, height: int, previous: bytes | None, strays: list[int], history: BucketHistory
    ) -> list[str]:
        """What is after the last block, and in none."""
        found = []
        if (height, previous) != (head.height, bytes(head.hash)):
            found.append(f"head says height {head.height}, the last block is {height}")
        found += [f"operation {id_} is in no block" for id_ in strays[:_MOST_STRAYS]]
        if len(strays) > _MOST_STRAYS:
            found.append(f"{len(strays) - _MOST_STRAYS} more operations are in no block")
        owners = sorted({line.operation for line in history.strays})
        found += [f"lines of operation {id_} have no operation" for id_ in owners[:_MOST_STRAYS]]
        return found

    def _count(self, members: Sequence[PackedOperation]) -> None:
        self.counted.blocks += 1
        self.counted.operations += len(members)
        self.counted.lines += sum(len(operation.lines) for operation in members)
        if self.counted.blocks % 1_000 == 0:
            self.tell(self.counted)


class _Rows:
    """Pages read one row after another, the next one in sight."""

    def __init__(self, pages: AsyncIterator[list[Any]]) -> None:
        self._pages = pages
        self._rows: deque[Any] = deque()

    async def head(self) -> Any | None:
        """The next row, None after the last."""
        while not self._rows:
            page = await anext(self._pages, None)
            if page is None:
                return None
            self._rows.extend(page)
        return self._rows[0]

    def drop(self) -> None:
        """Go past the row in sight."""
        self._rows.popleft()


async def _members(
    rows: _Rows, block: StoredBlock, first: int, end: int, strays: list[int]
) -> list[PackedOperation]:
    """The operations of `block`; what belongs to no block is put among the `strays`.

    Three say where an operation belongs: its own height, the block's range, and where the next block
    begins. One of them may have been changed; two then still agree.
    """
    members: list[PackedOperation] = []
    wanted = first
    while (operation := await rows.head()) is not None:
        id_ = operation.id
        votes = (
            _compare(operation.height, block.height, block.height),
            _compare(id_, block.first, block.first + block.count - 1),
            _compare(id_, first, end - 1),
        )
        place = max(set(votes), key=votes.count)
        if len(set(votes)) == len(votes):
            place = 0 if id_ == wanted else -1
        if place > 0:
            break
        rows.drop()
        if place < 0:
            strays.append(id_)
        else:
            members.append(operation)
            wanted = id_ + 1
    return members


def _compare(value: int, low: int, high: int) -> int:
    """−1 before, 0 within, 1 after the range from `low` to `high`."""
    return -1 if value < low else 1 if value > high else 0


async def _bucket_without_head(connection: AsyncConnection, table: Table) -> int | None:
    query = select(table.c.bucket).where(table.c.bucket.not_in(select(heads.c.bucket))).limit(1)
    found: int | None = await connection.scalar(query)
    return found
