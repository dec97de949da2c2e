"""The keys that sign seals: made once, their private part encrypted, their public part kept for ever.

A seal must be checkable for as long as anyone keeps one, so a public key is never removed. The
newest key signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.encryption import decrypt, encrypt

from .seal import Seal, key_id_of
from .tables import seal_keys

PURPOSE: Final = "ledger/seal-keys"
"""What the key that encrypts them is derived from the master key for."""

_MAKING: Final = 0x7365616C6B
"""The advisory lock of whoever makes a key: «sealk» in hexadecimal."""

_NEWEST: Final = select(seal_keys).order_by(seal_keys.c.made_at.desc(), seal_keys.c.key_id).limit(1)
_TICK: Final = timedelta(microseconds=1)


class SealKeysSealed(Exception):
    """The private key was encrypted under a master key that this process was not given."""


class Signer(msgspec.Struct, frozen=True):
    """A private key, open: it signs a seal."""

    key_id: str
    private: Ed25519PrivateKey

    def sign(self, seal: Seal) -> Seal:
        """The seal with this key's id and signature."""
        unsigned = msgspec.structs.replace(seal, key_id=self.key_id, signature=b"")
        return msgspec.structs.replace(unsigned, signature=self.private.sign(unsigned.statement()))


class SealKeys:
    """Opens and makes the keys, under keys derived for `PURPOSE`: the first makes, any opens."""

    def __init__(self, derived_keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in derived_keys]

    async def signer(self, connection: AsyncConnection, *, at: datetime) -> Signer:
        """The newest key, made now if there is none. Raises `SealKeysSealed`."""
        row = (await connection.execute(_NEWEST)).first()
        if row is None:
            await connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
            row = (await connection.execute(_NEWEST)).first()
        if row is None:
            return await self._make(connection, at=at)
        private = self._open(row.key_id, bytes(row.sealed))
        return Signer(row.key_id, Ed25519PrivateKey.from_private_bytes(private))

    async def renew(self, connection: AsyncConnection, *, at: datetime) -> Signer:
        """A new key pair, which signs from now on, whoever can open the last; older ones stay published."""
        await connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
        last = (await connection.execute(_NEWEST)).first()
        # A driven clock may stand where it stood when the last was made.
        return await self._make(connection, at=at if last is None else max(at, last.made_at + _TICK))

    async def _make(self, connection: AsyncConnection, *, at: datetime) -> Signer:
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        key_id = key_id_of(public)
        sealed = encrypt(self._ciphers[0], private.private_bytes_raw(), key_id.encode())
        await connection.execute(
            insert(seal_keys).values(key_id=key_id, public=public, sealed=sealed, made_at=at)
        )
        return Signer(key_id, private)

    def _open(self, key_id: str, sealed: bytes) -> bytes:
        try:
            return decrypt(self._ciphers, sealed, key_id.encode())
        except InvalidTag:
            raise SealKeysSealed("the key that signs seals was encrypted under another master key") from None


async def public_keys(connection: AsyncConnection) -> Mapping[str, bytes]:
    """Every public key by its id, in the order in which they were made."""
    query = select(seal_keys.c.key_id, seal_keys.c.public).order_by(seal_keys.c.made_at, seal_keys.c.key_id)
    return {row.key_id: bytes(row.public) for row in await connection.execute(query)}
