"""What an operation may claim once in its bucket: its key, its receipt, its member token.

All three are fingerprints of 16 bytes in one table, found by one probe each and inserted under the
lock of the bucket's head, so neither a race nor `ON CONFLICT` is possible.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from .commands import Command
from .decide import kind_of

_OF_KEY: Final = blake2b(digest_size=16, person=b"key")
_OF_RECEIPT: Final = blake2b(digest_size=16, person=b"receipt")
_OF_TOKEN: Final = blake2b(digest_size=16, person=b"token")
"""Hashes that are begun, a kind of claim each: to go on with a copy takes half of what a new one does."""

_CLAIMED_AS: Final = {"authorize": "burn"}
"""Points pay for a receipt once, at once or by a hold, or its caps would bind each of two alone."""


class Keys(msgspec.Struct, frozen=True, gc=False):
    """What a command claims in its bucket: its key, its receipt, its member token.

    Each is a claim, the bucket and a fingerprint; empty where the command has no such thing.
    `all` are those that it has.
    """

    own: bytes
    receipt: bytes
    token: bytes
    all: tuple[bytes, ...]

    @classmethod
    def of(cls, command: Command) -> Keys:
        """The claims of a command."""
        bucket = command.bucket.to_bytes(2)
        own = bucket + _fingerprint(_OF_KEY, command.principal, command.key)
        receipt, token = getattr(command, "receipt", None), getattr(command, "token", b"")
        if receipt is None and not token:
            return cls(own, b"", b"", (own,))
        of_receipt = of_token = b""
        if receipt is not None:
            kind = claimed_as(kind_of(command))
            of_receipt = bucket + cls.of_receipt(
                command.partner, receipt.outlet, kind, receipt.terminal, receipt.number
            )
        if token:
            of_token = bucket + cls.of_token(token)
        return cls(own, of_receipt, of_token, tuple(filter(None, (own, of_receipt, of_token))))

    @staticmethod
    def of_receipt(partner: int, outlet: int, kind: str, terminal: str, number: str) -> bytes:
        """The fingerprint of a receipt under which one operation of `kind` is posted.

        A hold claims it as a burn does, and those of older versions by the kind "authorize" besides.
        """
        return _fingerprint(_OF_RECEIPT, f"{partner} {outlet} {kind}", f"{terminal}\0{number}")

    @staticmethod
    @lru_cache(maxsize=4_096)
    def of_token(token: bytes) -> bytes:
        """The fingerprint of a member token that backs one operation."""
        return _fingerprint(_OF_TOKEN, token.hex(), "")

    @staticmethod
    def fingerprint(principal: str, key: str) -> bytes:
        """The fingerprint of a principal's idempotency key."""
        return _fingerprint(_OF_KEY, principal, key)


def claimed_as(kind: str) -> str:
    """The kind under which an operation of `kind` claims its receipt."""
    return _CLAIMED_AS.get(kind, kind)


def claim_of(bucket: int, fingerprint: bytes) -> bytes:
    """What claims `fingerprint` in `bucket`."""
    return bucket.to_bytes(2) + fingerprint


def split_claim(claim: bytes) -> tuple[int, bytes]:
    """The bucket and the fingerprint of a claim."""
    return int.from_bytes(claim[:2]), claim[2:]


def _fingerprint(begun: blake2b, owner: str, name: str) -> bytes:
    hash_ = begun.copy()
    hash_.update(f"{owner}\0{name}".encode())
    return hash_.digest()
