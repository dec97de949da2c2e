"""Whether a block is what was written, given the rows that belong to it; and what is not, if not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from ledger.binary import instant
from ledger.chain import block_hash, merkle_root

from .history import StoredBlock
from .pinpoint import Search
from .rows import PackedOperation, instant_of, read_line, read_operation

_HASHED: Final = ("previous", "root", "count", "recorded_at", "period", "height")


_ALL_BITS: Final = (1 << 64) - 1


class Expected(msgspec.Struct, frozen=True):
    """What the block before says of the next: its height, its first operation, what it links to.

    `previous` is None after a block that is missing: nobody knows what it was. `next_previous` is
    what the block after it links to, or the bucket's head.
    """

    height: int
    first: int
    previous: bytes | None
    next_previous: bytes


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong with a block, in words, and the block as it must have been written."""

    flaws: tuple[str, ...]
    block: StoredBlock


def judge(
    block: StoredBlock, members: Sequence[PackedOperation], expected: Expected, search: Search
) -> Verdict:
    """Compare `block` with its rows and with its neighbours; `search` for the row that was changed."""
    flaws = list(_gaps(block, members, expected))
    is_whole = not flaws
    root = merkle_root([operation.leaf() for operation in members])
    written = block
    if _hash(block) != block.hash:
        column, written = _corrected(block, members, expected, root)
        what = f"{column} of block {block.height}" if column else f"block {block.height}"
        flaws.append(f"{what} is not what was written")
    elif expected.previous is not None and block.previous != expected.previous:
        flaws.append(f"block {block.height} does not link to the block before it")
    if block.first != expected.first and is_whole:
        flaws.append(f"first of block {block.height} is not what was written")
    if is_whole and written.root != root:
        flaws.append(_changed_row(written, members, search))
    return Verdict(tuple(flaws), written)


def is_written(block: StoredBlock) -> bool:
    """Whether the block's own columns have its hash, which nobody changes one of them without losing."""
    return _hash(block) == block.hash


def _gaps(block: StoredBlock, members: Sequence[PackedOperation], expected: Expected) -> Iterator[str]:
    """Operations of the block that are missing or there twice."""
    wanted = expected.first
    for operation in members:
        if operation.id < wanted:
            yield f"operation {operation.id} is there more than once"
            continue
        if operation.id > wanted:
            yield f"{_span(wanted, operation.id - 1)} of block {block.height} missing"
        wanted = operation.id + 1
    if wanted < expected.first + block.count and _hash(block) == block.hash:
        yield f"{_span(wanted, expected.first + block.count - 1)} of block {block.height} missing"


def _corrected(
    block: StoredBlock, members: Sequence[PackedOperation], expected: Expected, root: bytes
) -> tuple[str, StoredBlock]:
    """The one column without which the block's hash is right, and the block with it put right."""
    truths: dict[str, Callable[[], object]] = {
        "previous": lambda: expected.previous if expected.previous is not None else block.previous,
        "root": lambda: root,
        "count": lambda: len(members),
        "recorded_at": lambda: instant_of(members[0].recorded_at) if members else block.recorded_at,
        "period": lambda: read_operation(members[0].row)["period"] if members else block.period,
        "height": lambda: expected.height,
    }
    for column in _HASHED:
        written = msgspec.structs.replace(block, **{column: truths[column]()})
        if _hash(written) == block.hash:
            return column, written
    for column in ("flows", "stock"):
        for numbers in _with_a_bit_flipped(getattr(block, column)):
            written = msgspec.structs.replace(block, **{column: numbers})
            if _hash(written) == block.hash:
                return column, written
    if _hash(block) == expected.next_previous:
        return "hash", msgspec.structs.replace(block, hash=expected.next_previous)
    return "", block


def _changed_row(block: StoredBlock, members: Sequence[PackedOperation], search: Search) -> str:
    """Which row keeps the block's root from coming out: by search, or else by what contradicts it."""
    if not members:
        return f"of block {block.height} no operation is there"
    found = search.pinpoint(members, block.root)
    if found is not None:
        return found
    suspects = list(_contradictions(block, members))
    if suspects:
        return "; ".join(suspects)
    ids = [operation.id for operation in members]
    if len(ids) == 1:
        return f"operation {ids[0]} or its lines are not what was written"
    return f"among operations {ids[0]} to {ids[-1]} of block {block.height} one is not what was written"


def _contradictions(block: StoredBlock, members: Sequence[PackedOperation]) -> Iterator[str]:
    """Rows that cannot belong to the block as they stand."""
    at = instant(block.recorded_at)
    for operation in members:
        values = read_operation(operation.row)
        truths = {"recorded_at": block.recorded_at, "height": block.height, "period": block.period}
        for column, truth in truths.items():
            if values[column] != truth:
                yield f"{column} of operation {operation.id} is not its block's"
        if not operation.lines and values["points"] and not values["refusal"]:
            yield f"lines of operation {operation.id} are missing"
        for ordinal, line in enumerate(operation.lines):
            if line.ordinal != ordinal:
                yield f"lines of operation {operation.id} are not numbered 0 to {len(operation.lines) - 1}"
                break
            if line.recorded_at != at or read_line(line.row)["period"] != block.period:
                yield f"line {ordinal} of operation {operation.id} is not of its block's time"


def _with_a_bit_flipped(numbers: tuple[int | None, ...] | None) -> Iterator[tuple[int, ...]]:
    """What 64-bit numbers can have been, were one bit of one of them flipped."""
    known = [number or 0 for number in numbers or ()]
    for index, number in enumerate(known):
        for bit in range(64):
            flipped = (number ^ 1 << bit) & _ALL_BITS
            signed = flipped - (1 << 64) if flipped >> 63 else flipped
            yield (*known[:index], signed, *known[index + 1 :])


def _hash(block: StoredBlock) -> bytes | None:
    if not (0 <= block.count < 1 << 32 and 0 <= block.period < 1 << 32 and 0 <= block.bucket < 1 << 16):
        return None
    if block.height < 0:
        return None
    return block_hash(
        bucket=block.bucket,
        height=block.height,
        period=block.period,
        recorded_at=block.recorded_at,
        count=block.count,
        previous=block.previous,
        root=block.root,
        moved=block.moved,
    )


def _span(first: int, last: int) -> str:
    return f"operation {first} is" if first == last else f"operations {first} to {last} are"
