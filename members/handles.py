"""Handles: how one partner names a member, useless to every other partner.

A handle is the member id under AES-SIV with a key of that partner's own, so opening it needs
no look-up, and the same member always has the same handle there.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from .identifiers import MemberNotFound
from .keys import MasterKeys

_KEY_BYTES: Final = 64
_TEXT_LENGTH: Final = 34


class Handles:
    """Seals and opens member handles. Handles of older key versions still open."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys = keys
        self._ciphers: dict[tuple[int, int], AESSIV] = {}

    def seal(self, partner: int, member: int) -> str:
        """The handle by which `partner` names `member`: 34 characters, safe in a URL."""
        version = self._keys.current
        sealed = self._cipher(version, partner).encrypt(member.to_bytes(8), None)
        return _encode(bytes([version]) + sealed)

    def open(self, partner: int, handle: str) -> int:
        """The member that `partner` means; raises `MemberNotFound` for a foreign or broken handle."""
        version, sealed = _decode(handle)
        if version not in self._keys.versions:
            raise MemberNotFound
        try:
            return int.from_bytes(self._cipher(version, partner).decrypt(sealed, None))
        except InvalidTag:
            raise MemberNotFound from None

    def _cipher(self, version: int, partner: int) -> AESSIV:
        cipher = self._ciphers.get((version, partner))
        if cipher is None:
            cipher = AESSIV(self._keys.derive(f"handle/{partner}", version, length=_KEY_BYTES))
            self._ciphers[version, partner] = cipher
        return cipher


def _decode(handle: str) -> tuple[int, bytes]:
    if len(handle) != _TEXT_LENGTH:
        raise MemberNotFound
    try:
        raw = urlsafe_b64decode(handle + "==")
    except (binascii.Error, ValueError):
        raise MemberNotFound from None
    if _encode(raw) != handle:  # base64 has several spellings of these bytes, a handle has one
        raise MemberNotFound
    return raw[0], raw[1:]


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
