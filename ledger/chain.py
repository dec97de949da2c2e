"""The hash chain: a leaf per operation, a Merkle root per block, each block linked to the last.

A leaf is SHA-256 over 16 random bytes and the rows of an operation and its lines, packed as
`ledger.binary` packs them for PostgreSQL: what is stored is what is hashed. The salt lets a leaf
be published without giving its content away. Tree hashing is that of RFC 6962.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b, sha256
from typing import Final

from .binary import instant

GENESIS: Final = bytes(32)
"""What the first block of a bucket names as its previous."""

SALT_BYTES: Final = 16
HASH_MODULUS: Final = 1 << 128

_TAG: Final = b"kopilka block 2\0"
_FIRST_TAG: Final = b"kopilka block 1\0"
_HEAD: Final = struct.Struct(">HQIqI")
_MOVED: Final = struct.Struct(">QHQ")
_TERM: Final = blake2b(digest_size=16)
"""A hash that is begun: to go on with a copy takes half of what a new one does."""


def leaf(salt: bytes, operation: bytes, lines: bytes) -> bytes:
    """The hash of one operation's packed row, without the salt, and of all its lines' rows."""
    return sha256(b"\0" + salt + operation + lines).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The RFC 6962 root of leaf hashes; the hash of nothing for no leaves."""
    if not leaves:
        return sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        # An odd node is carried up unchanged, which is RFC 6962's split at a power of two.
        paired = [sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def block_hash(
    *,
    bucket: int,
    height: int,
    period: int,
    recorded_at: datetime,
    count: int,
    previous: bytes,
    root: bytes,
    moved: bytes | None,
) -> bytes:
    """The hash that the next block of the bucket links to.

    `moved` is what the block says it moved: its packed flows and stock. None for blocks of
    version 1, which said nothing of it.
    """
    return header_hash(
        bucket=bucket,
        height=height,
        period=period,
        recorded_at=recorded_at,
        count=count,
        previous=previous,
        root=root,
        moved_digest=None if moved is None else sha256(moved).digest(),
    )


def header_hash(
    *,
    bucket: int,
    height: int,
    period: int,
    recorded_at: datetime,
    count: int,
    previous: bytes,
    root: bytes,
    moved_digest: bytes | None,
) -> bytes:
    """A block's hash from its header alone, which can be shown without what others moved in it."""
    head = _HEAD.pack(bucket, height, period, instant(recorded_at), count)
    if moved_digest is None:
        return sha256(_FIRST_TAG + head + previous + root).digest()
    return sha256(_TAG + head + previous + root + moved_digest).digest()


def flow_term(operation: int, ordinal: int, points: int) -> int:
    """The term that one line adds to the additive hash of its flow, modulo 2^128."""
    term = _TERM.copy()
    term.update(_MOVED.pack(operation, ordinal, points))
    return int.from_bytes(term.digest())
