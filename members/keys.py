"""Master keys: versions of 32 bytes, from which every other key of the room is derived by purpose."""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32


class UnknownKeyVersion(LookupError):
    """Something stored was made under a master key that this process was not given."""

    def __init__(self, version: int) -> None:
        super().__init__(f"master key version {version} is not configured")


class MasterKeys:
    """The versioned master key. The first version given makes new things, the others still read.

    Written as `1:BASE64,2:BASE64`; a bare base64 text is version 1. To rotate, give every
    process the new version last, and only then first: no process meets what it cannot read.
    No derived key can be turned back into a master key or into one of another purpose.
    """

    def __init__(self, versions: Mapping[int, bytes]) -> None:
        if not versions:
            raise ValueError("a master key is needed")
        for version, key in versions.items():
            if not 0 < version < 256:
                raise ValueError("a master key's version is a number from 1 to 255")
            if len(key) != KEY_BYTES:
                raise ValueError(f"master key version {version} must have {KEY_BYTES} bytes")
        self._versions = dict(versions)
        self._derived: dict[tuple[int, str, int], bytes] = {}

    @classmethod
    def from_text(cls, text: str) -> MasterKeys:
        """Read the written form; raises `ValueError` without repeating any of it."""
        versions: dict[int, bytes] = {}
        for part in text.split(","):
            number, colon, encoded = part.strip().rpartition(":")
            try:
                version, key = int(number) if colon else 1, b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise ValueError("a master key is written 1:BASE64,2:BASE64") from None
            if version in versions:
                raise ValueError(f"master key version {version} is given twice")
            versions[version] = key
        return cls(versions)

    @classmethod
    def generate(cls) -> MasterKeys:
        """A new installation's master key, version 1."""
        return cls({1: secrets.token_bytes(KEY_BYTES)})

    def with_next_version(self) -> MasterKeys:
        """These keys and one more, which makes everything new."""
        return MasterKeys({max(self._versions) + 1: secrets.token_bytes(KEY_BYTES), **self._versions})

    @property
    def current(self) -> int:
        """The version under which new things are made."""
        return next(iter(self._versions))

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version this process can read, oldest first."""
        return tuple(sorted(self._versions))

    def derive(self, purpose: str, version: int, *, length: int = KEY_BYTES) -> bytes:
        """The key of `length` bytes for `purpose` under a version (HKDF-SHA-256, RFC 5869)."""
        known = self._derived.get((version, purpose, length))
        if known is not None:
            return known
        if version not in self._versions:
            raise UnknownKeyVersion(version)
        info = b"kopilka/" + purpose.encode()
        derived = HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(
            self._versions[version]
        )
        self._derived[version, purpose, length] = derived
        return derived

    def reveal(self) -> str:
        """The written form, for the one file or secret store that keeps it."""
        return ",".join(f"{version}:{b64encode(key).decode()}" for version, key in self._versions.items())

    def __repr__(self) -> str:
        return f"MasterKeys(versions={self.versions})"
