"""A seal: the Merkle root of everything that a period wrote, in every bucket, signed with Ed25519.

The tree has two storeys, so that a proof never needs more than one bucket's blocks:

    block's leaf  = SHA-256( 00 ‖ "kopilka sealed block 1" 00 ‖ block's hash )
    bucket's leaf = SHA-256( 00 ‖ "kopilka sealed bucket 1" 00 ‖ bucket u16 ‖ first height u64
                             ‖ blocks u64 ‖ operations u64 ‖ root over its blocks' leaves )
    seal's root   = root over its buckets' leaves, in the order of buckets

What is signed names the seal before it, so the newest seal vouches for all the older ones.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.binary import instant
from ledger.chain import merkle_root

FIRST: Final = bytes(32)
"""What the seal of the first period names as the one before it."""

FORMAT: Final = "kopilka seal 1"

_BLOCK: Final = b"\0kopilka sealed block 1\0"
_BUCKET: Final = b"\0kopilka sealed bucket 1\0"
_BUCKET_FIELDS: Final = struct.Struct(">HQQQ")
_SEAL: Final = FORMAT.encode() + b"\0"
_SEAL_FIELDS: Final = struct.Struct(">IqqqHQQ")
_KEY_BYTES: Final = 32


class NotGenuine(Exception):
    """Evidence that does not hold; the message says in a sentence where it breaks."""


class SealedBucket(msgspec.Struct, frozen=True):
    """What one bucket wrote in a period: `blocks` heights without a gap from `first_height` on."""

    bucket: int
    first_height: int
    blocks: int
    operations: int
    root: bytes

    def leaf(self) -> bytes:
        """The bucket's leaf in the tree of the seal. Raises `NotGenuine` for figures that none can have."""
        try:
            fields = _BUCKET_FIELDS.pack(self.bucket, self.first_height, self.blocks, self.operations)
        except struct.error:
            raise NotGenuine(f"what bucket {self.bucket} wrote cannot be sealed like this") from None
        return sha256(_BUCKET + fields + self.root).digest()


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """The signed root of a period [starts_at, ends_at). `previous` is the hash of the seal before."""

    period: int
    starts_at: datetime
    ends_at: datetime
    sealed_at: datetime
    buckets: int
    blocks: int
    operations: int
    root: bytes
    previous: bytes
    key_id: str = ""
    signature: bytes = b""

    def statement(self) -> bytes:
        """The bytes that are signed: a tag, the figures, the root, and the hash of the seal before.

        Raises `NotGenuine` for figures that no seal can have.
        """
        try:
            figures = _SEAL_FIELDS.pack(
                self.period,
                instant(self.starts_at),
                instant(self.ends_at),
                instant(self.sealed_at),
                self.buckets,
                self.blocks,
                self.operations,
            )
        except struct.error:
            raise NotGenuine(f"the figures of period {self.period}'s seal are none that are signed") from None
        return _SEAL + figures + self.root + self.previous

    def hash(self) -> bytes:
        """What the next seal names as its previous."""
        return sha256(self.statement()).digest()

    def check(self, public: bytes) -> None:
        """Raise `NotGenuine` unless the seal was signed by the key of these 32 public bytes."""
        if key_id_of(public) != self.key_id:
            raise NotGenuine(f"the seal of period {self.period} was signed by another key: {self.key_id}")
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(self.signature, self.statement())
        except InvalidSignature:
            raise NotGenuine(f"the signature of period {self.period}'s seal is not good") from None


def block_leaf(hash_: bytes) -> bytes:
    """The leaf of a block in the tree of its bucket and period."""
    return sha256(_BLOCK + hash_).digest()


def root_of(buckets: Sequence[SealedBucket]) -> bytes:
    """The root of a seal over its buckets, which are given in their order."""
    return merkle_root([bucket.leaf() for bucket in buckets])


def key_id_of(public: bytes) -> str:
    """The key's thumbprint (RFC 7638), which is its id wherever it is published."""
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": to_text(public)}, separators=(",", ":"))
    return to_text(sha256(canonical.encode()).digest())


def jwk_of(public: bytes) -> dict[str, str]:
    """The public key as a JSON Web Key (RFC 8037)."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": to_text(public),
        "kid": key_id_of(public),
        "use": "sig",
        "alg": "EdDSA",
    }


def to_file(seal: Seal, public: bytes) -> dict[str, Any]:
    """The seal as the small JSON file that is kept elsewhere: all that is signed, and the key."""
    return {
        "format": FORMAT,
        "period": seal.period,
        "starts_at": _written(seal.starts_at),
        "ends_at": _written(seal.ends_at),
        "sealed_at": _written(seal.sealed_at),
        "buckets": seal.buckets,
        "blocks": seal.blocks,
        "operations": seal.operations,
        "root": seal.root.hex(),
        "previous": seal.previous.hex(),
        "signature": to_text(seal.signature),
        "key": jwk_of(public),
    }


def from_file(content: object) -> tuple[Seal, bytes]:
    """The seal and its public key in a parsed file, its signature checked. Raises `NotGenuine`."""
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise NotGenuine("this is not a seal")
    try:
        public = from_text(content["key"]["x"], _KEY_BYTES)
        seal = Seal(
            period=count_from(content["period"]),
            starts_at=datetime.fromisoformat(content["starts_at"]),
            ends_at=datetime.fromisoformat(content["ends_at"]),
            sealed_at=datetime.fromisoformat(content["sealed_at"]),
            buckets=count_from(content["buckets"]),
            blocks=count_from(content["blocks"]),
            operations=count_from(content["operations"]),
            root=hash_from(content["root"]),
            previous=hash_from(content["previous"]),
            key_id=str(content["key"]["kid"]),
            signature=from_text(content["signature"], 64),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotGenuine(f"the seal's file is damaged: {error}") from None
    seal.check(public)
    return seal, public


def hash_from(text: object) -> bytes:
    """The 32 bytes that 64 hexadecimal digits stand for. Raises `ValueError`."""
    if not isinstance(text, str) or len(text) != 64:
        raise ValueError("a hash has 64 hexadecimal digits")
    return bytes.fromhex(text)


def to_text(value: bytes) -> str:
    """Base64url without padding, as JSON Web Keys have it."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def from_text(text: object, size: int | None = None) -> bytes:
    """The bytes that base64url text stands for, `size` of them if given. Raises `ValueError`."""
    if not isinstance(text, str):
        raise TypeError("text is expected")
    value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if size is not None and len(value) != size:
        raise ValueError(f"{size} bytes are expected")
    return value


def count_from(value: object) -> int:
    """A whole number from 0 on. Raises `ValueError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a count is a whole number from 0 on")
    return value


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
