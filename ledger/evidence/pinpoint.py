"""Which byte of a block's rows was changed: searched for, until the block's root comes out right.

A root says that something under it is not what was written, never what. But a disk flips bits and
a hand changes a byte, and putting every byte right in turn shows which: the root then agrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

from ledger.chain import SALT_BYTES

from .merkle import audit_path
from .rows import LINE_COLUMNS, OPERATION_COLUMNS, PackedOperation, column_at

MOST_TRIED: Final = 2_000_000
"""How many rows are tried in one recount: some seconds. A table of wrong rows is not searched for ever."""

_BITS: Final = tuple(1 << bit for bit in range(8))
_CHANGES: Final = tuple(change for change in range(1, 256) if change not in _BITS)


class Search:
    """Searches, until together they have tried `MOST_TRIED` rows."""

    def __init__(self) -> None:
        self._left = MOST_TRIED

    def pinpoint(self, operations: Sequence[PackedOperation], root: bytes) -> str | None:
        """The one byte, or the one added line, that keeps `operations` from having `root`.

        None if it is more than that, or would take too long to find.
        """
        tree = _Tree(operations, root)
        found = next(tree.without_a_line(), None)
        for changes in (_BITS, _CHANGES):
            if found is None and self._can_afford(tree.bytes * len(changes)):
                found = next(tree.with_a_byte(changes), None)
        return found

    def _can_afford(self, tried: int) -> bool:
        if tried > self._left:
            return False
        self._left -= tried
        return True


class _Tree:
    """The tree of a block, one leaf of which is tried in other forms."""

    def __init__(self, operations: Sequence[PackedOperation], root: bytes) -> None:
        self._operations = operations
        self._root = root
        self._leaves = [operation.leaf() for operation in operations]
        self.bytes = sum(len(preimage) for preimage in map(_preimage, operations))

    def without_a_line(self) -> Iterator[str]:
        """Lines without which the root comes out right."""
        for index, operation in enumerate(self._operations):
            above = self._above(index)
            for line in operation.lines:
                others = b"".join(each.row for each in operation.lines if each is not line)
                preimage = b"\0" + operation.salt + operation.row + others
                if self._agrees(sha256(preimage).digest(), above):
                    yield f"line {line.ordinal} of operation {operation.id} was added"

    def with_a_byte(self, changes: Sequence[int]) -> Iterator[str]:
        """Bytes with one of which changed back the root comes out right."""
        for index, operation in enumerate(self._operations):
            above = self._above(index)
            preimage = bytearray(_preimage(operation))
            for offset in range(1, len(preimage)):
                found = preimage[offset]
                for change in changes:
                    preimage[offset] = found ^ change
                    if self._agrees(sha256(preimage).digest(), above):
                        where, byte = _place(operation, offset)
                        yield f"{where}: byte {byte} is {found:02x} and was {found ^ change:02x}"
                preimage[offset] = found

    def _above(self, index: int) -> list[tuple[bool, bytes]]:
        """The way from a leaf to the root: each sibling, and whether it stands on the left."""
        steps, size = [], len(self._leaves)
        last = size - 1
        place = index
        for sibling in audit_path(self._leaves, index):
            while not place & 1 and place == last:
                place, last = place >> 1, last >> 1  # carried up unchanged: it has no sibling here
            steps.append((bool(place & 1), sibling))
            place, last = place >> 1, last >> 1
        return steps

    def _agrees(self, node: bytes, above: Sequence[tuple[bool, bytes]]) -> bool:
        for is_left, sibling in above:
            node = sha256(b"\1" + sibling + node if is_left else b"\1" + node + sibling).digest()
        return node == self._root


def _preimage(operation: PackedOperation) -> bytes:
    return b"\0" + operation.salt + operation.row + b"".join([line.row for line in operation.lines])


def _place(operation: PackedOperation, offset: int) -> tuple[str, int]:
    """The column that a byte of the preimage belongs to, and where in its row the byte stands."""
    at = offset - 1
    if at < SALT_BYTES:
        return f"salt of operation {operation.id}", at
    at -= SALT_BYTES
    if at < len(operation.row):
        return f"{column_at(operation.row, at, OPERATION_COLUMNS)} of operation {operation.id}", at
    at -= len(operation.row)
    for line in operation.lines:
        if at < len(line.row):
            break
        at -= len(line.row)
    return f"{column_at(line.row, at, LINE_COLUMNS)} of line {line.ordinal} of operation {operation.id}", at
