"""Merkle trees as RFC 6962 has them: a root built in one pass, an audit path, and the way up it.

Leaves are hashes already: what they are hashed from, and under which tag, is their maker's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from ledger.chain import merkle_root


class Growing:
    """A tree that is given its leaves one by one and remembers only the roots of its full subtrees."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Append a leaf."""
        node, position = leaf, self.size
        while position & 1:
            node = sha256(b"\1" + self._peaks.pop() + node).digest()
            position >>= 1
        self._peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """The root over what was added so far; the hash of nothing for no leaves."""
        if not self._peaks:
            return sha256(b"").digest()
        root = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            root = sha256(b"\1" + peak + root).digest()
        return root


def audit_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The nodes that lead from leaf `index` (from 0) to the root, lowest first (RFC 6962, 2.1.1)."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*audit_path(leaves[:split], index), merkle_root(leaves[split:])]
    return [*audit_path(leaves[split:], index - split), merkle_root(leaves[:split])]


def root_above(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root of the tree of `size` leaves whose leaf `index` has this path; None if none can."""
    if not 0 <= index < size:
        return None
    node, last = leaf, size - 1
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            node = sha256(b"\1" + sibling + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


def roots_outside(leaves: Sequence[bytes], start: int, stop: int) -> list[bytes]:
    """The roots of the largest subtrees with nothing of `leaves[start:stop]`, from left to right."""
    if stop <= 0 or start >= len(leaves):
        return [merkle_root(leaves)]
    if start <= 0 and stop >= len(leaves):
        return []
    split = _split(len(leaves))
    left = roots_outside(leaves[:split], start, stop)
    return left + roots_outside(leaves[split:], start - split, stop - split)


def root_around(leaves: Sequence[bytes], *, start: int, size: int, outside: Sequence[bytes]) -> bytes | None:
    """The root of the tree of `size` leaves with `leaves` (at least one) from `start` on; None if none can.

    `outside` is what `roots_outside` gives for the whole tree.
    """
    if not leaves or not 0 <= start <= size - len(leaves):
        return None
    rest = iter(outside)
    try:
        root = _between(leaves, start, 0, size, rest)
    except StopIteration:
        return None
    return root if next(rest, None) is None else None


def _between(leaves: Sequence[bytes], start: int, low: int, high: int, rest: Iterator[bytes]) -> bytes:
    """The root over the leaves from `low` to `high` of the whole tree."""
    if high <= start or low >= start + len(leaves):
        return next(rest)
    if start <= low and high <= start + len(leaves):
        return merkle_root(leaves[low - start : high - start])
    split = low + _split(high - low)
    left = _between(leaves, start, low, split, rest)
    return sha256(b"\1" + left + _between(leaves, start, split, high, rest)).digest()


def _split(size: int) -> int:
    """How many leaves are to the left in a tree of `size` (> 1)."""
    return 1 << (size - 1).bit_length() - 1
