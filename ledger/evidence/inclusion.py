"""An inclusion proof: one operation with its lines, and the way from them up to the seal of its period.

Whoever holds one, and the operator's public key, checks it with no database and no network. It
shows this operation whole and nothing of any other but hashes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import msgspec

from ledger.chain import SALT_BYTES, header_hash, leaf

from .history import StoredBlock
from .merkle import root_above
from .rows import Damaged, read_line, read_operation
from .seal import (
    NotGenuine,
    Seal,
    SealedBucket,
    block_leaf,
    count_from,
    from_file,
    from_text,
    hash_from,
    to_file,
    to_text,
)

FORMAT: Final = "kopilka inclusion 1"

_LONGEST_PATH: Final = 64
_MOST_LINES: Final = 32_768


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What of a block is needed to compute its hash; `moved_digest` is None in blocks of version 1."""

    bucket: int
    height: int
    period: int
    recorded_at: datetime
    count: int
    previous: bytes
    root: bytes
    moved_digest: bytes | None

    def hash(self) -> bytes:
        """The block's hash."""
        return header_hash(
            bucket=self.bucket,
            height=self.height,
            period=self.period,
            recorded_at=self.recorded_at,
            count=self.count,
            previous=self.previous,
            root=self.root,
            moved_digest=self.moved_digest,
        )


class Inclusion(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a proof. `place` is the operation's in its block, from 0; paths are lowest first."""

    row: bytes
    salt: bytes
    lines: tuple[bytes, ...]
    place: int
    path: tuple[bytes, ...]
    header: Header
    block_path: tuple[bytes, ...]
    bucket: SealedBucket
    bucket_path: tuple[bytes, ...]
    seal: Seal
    public: bytes

    def check(self) -> None:
        """Raise `NotGenuine` unless the operation's row leads to the seal, whose signature is good."""
        header, bucket, seal = self.header, self.bucket, self.seal
        operation = self.operation()
        said = (operation["bucket"], operation["height"], operation["period"], operation["recorded_at"])
        if said != (header.bucket, header.height, header.period, header.recorded_at):
            raise NotGenuine("the operation is not of the block that it is shown in")
        for ordinal, line in enumerate(self.line_values()):
            if (line["operation"], line["ordinal"]) != (operation["id"], ordinal):
                raise NotGenuine("a line is not the operation's own")
        own = leaf(self.salt, self.row, b"".join(self.lines))
        if root_above(own, index=self.place, size=header.count, path=self.path) != header.root:
            raise NotGenuine("the operation's row does not lead to the root of its block")
        place = header.height - bucket.first_height
        above = root_above(block_leaf(header.hash()), index=place, size=bucket.blocks, path=self.block_path)
        if above != bucket.root or bucket.bucket != header.bucket:
            raise NotGenuine("the block does not lead to what its bucket wrote in the period")
        above = root_above(bucket.leaf(), index=bucket.bucket, size=seal.buckets, path=self.bucket_path)
        if above != seal.root or seal.period != header.period:
            raise NotGenuine("the bucket does not lead to the seal of the period")
        seal.check(self.public)

    def operation(self) -> dict[str, Any]:
        """The operation's columns. Raises `NotGenuine`."""
        try:
            return read_operation(self.row)
        except Damaged as reason:
            raise NotGenuine(f"the operation's row is damaged: {reason}") from None

    def line_values(self) -> list[dict[str, Any]]:
        """The columns of its lines. Raises `NotGenuine`."""
        try:
            return [read_line(line) for line in self.lines]
        except Damaged as reason:
            raise NotGenuine(f"a line's row is damaged: {reason}") from None


def to_inclusion_file(inclusion: Inclusion) -> dict[str, Any]:
    """The proof as JSON: hashes in hexadecimal, rows in base64url."""
    header, bucket = inclusion.header, inclusion.bucket
    return {
        "format": FORMAT,
        "row": to_text(inclusion.row),
        "salt": to_text(inclusion.salt),
        "lines": [to_text(line) for line in inclusion.lines],
        "place": inclusion.place,
        "path": _hexadecimal(inclusion.path),
        "block": header_to_file(header),
        "block_path": _hexadecimal(inclusion.block_path),
        "bucket": {
            "first_height": bucket.first_height,
            "blocks": bucket.blocks,
            "operations": bucket.operations,
            "root": bucket.root.hex(),
        },
        "bucket_path": _hexadecimal(inclusion.bucket_path),
        "seal": to_file(inclusion.seal, inclusion.public),
    }


def from_inclusion_file(content: object) -> Inclusion:
    """The proof in a parsed file, checked whole. Raises `NotGenuine`."""
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise NotGenuine("this is not an inclusion proof")
    seal, public = from_file(content.get("seal"))
    try:
        block, bucket = content["block"], content["bucket"]
        inclusion = Inclusion(
            row=from_text(content["row"]),
            salt=from_text(content["salt"], SALT_BYTES),
            lines=tuple(from_text(line) for line in _list(content["lines"], _MOST_LINES)),
            place=count_from(content["place"]),
            path=_hashes(content["path"]),
            header=header_from_file(block),
            block_path=_hashes(content["block_path"]),
            bucket=SealedBucket(
                count_from(block["bucket"]),
                count_from(bucket["first_height"]),
                count_from(bucket["blocks"]),
                count_from(bucket["operations"]),
                hash_from(bucket["root"]),
            ),
            bucket_path=_hashes(content["bucket_path"]),
            seal=seal,
            public=public,
        )
        inclusion.check()
    except (KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        raise NotGenuine(f"the proof's file is damaged: {error}") from None
    return inclusion


def header_to_file(header: Header) -> dict[str, Any]:
    """A block's header as JSON."""
    return {
        "bucket": header.bucket,
        "height": header.height,
        "period": header.period,
        "recorded_at": header.recorded_at.astimezone(UTC).isoformat(),
        "count": header.count,
        "previous": header.previous.hex(),
        "root": header.root.hex(),
        "moved_digest": None if header.moved_digest is None else header.moved_digest.hex(),
    }


def header_from_file(content: Any) -> Header:
    """A block's header in a parsed file. Raises `KeyError`, `TypeError`, `ValueError`."""
    digest = content["moved_digest"]
    return Header(
        bucket=count_from(content["bucket"]),
        height=count_from(content["height"]),
        period=count_from(content["period"]),
        recorded_at=datetime.fromisoformat(content["recorded_at"]),
        count=count_from(content["count"]),
        previous=hash_from(content["previous"]),
        root=hash_from(content["root"]),
        moved_digest=None if digest is None else hash_from(digest),
    )


def header_of(block: StoredBlock) -> Header:
    """The header of a block as it is stored."""
    return Header(
        bucket=block.bucket,
        height=block.height,
        period=block.period,
        recorded_at=block.recorded_at,
        count=block.count,
        previous=block.previous,
        root=block.root,
        moved_digest=None if block.moved is None else sha256(block.moved).digest(),
    )


def _hexadecimal(hashes: Sequence[bytes]) -> list[str]:
    return [each.hex() for each in hashes]


def _hashes(texts: object) -> tuple[bytes, ...]:
    return tuple(hash_from(text) for text in _list(texts, _LONGEST_PATH))


def _list(value: object, longest: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > longest:
        raise ValueError(f"a list of at most {longest} is expected")
    return value
