"""Envelope encryption: each member has a key of their own, wrapped by a version of the master key.

Destroying the wrapped key makes everything sealed under it unreadable for ever, backups of
the sealed values included: that is how a member is erased.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.kernel.encryption import decrypt, encrypt

from .keys import KEY_BYTES, MasterKeys

_WRAP: Final = "wrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A member's key as it is stored, and the master key version that opens it."""

    version: int
    ciphertext: bytes = field(repr=False)


class MemberKey:
    """One member's key. What it seals opens only for the same member and the same field."""

    __slots__ = ("_cipher", "_key", "_member")

    def __init__(self, member: int, key: bytes) -> None:
        self._member, self._key, self._cipher = member, key, AESGCM(key)

    @classmethod
    def generate(cls, member: int) -> MemberKey:
        """A fresh random key for a new member."""
        return cls(member, secrets.token_bytes(KEY_BYTES))

    @classmethod
    def unwrap(cls, keys: MasterKeys, member: int, wrapped: WrappedKey) -> MemberKey:
        """The key as it was before `wrap`; `InvalidTag` if it was wrapped for another member."""
        master = AESGCM(keys.derive(_WRAP, wrapped.version))
        return cls(member, decrypt([master], wrapped.ciphertext, _bound_to(member, _WRAP)))

    def wrap(self, keys: MasterKeys) -> WrappedKey:
        """This key under the current master key."""
        master = AESGCM(keys.derive(_WRAP, keys.current))
        ciphertext = encrypt(master, self._key, _bound_to(self._member, _WRAP))
        return WrappedKey(version=keys.current, ciphertext=ciphertext)

    def seal(self, name: str, value: bytes) -> bytes:
        """`value` encrypted and bound to the member and to the field `name`."""
        return encrypt(self._cipher, value, _bound_to(self._member, name))

    def open(self, name: str, sealed: bytes) -> bytes:
        """What `seal` was given; raises `InvalidTag` if a byte, the member or the field differs."""
        return decrypt([self._cipher], sealed, _bound_to(self._member, name))

    def __repr__(self) -> str:
        return "MemberKey(…)"


def _bound_to(member: int, name: str) -> bytes:
    return f"{name}:{member}".encode()
