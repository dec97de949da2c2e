"""The keys that sign access tokens: made, sealed, rotated, published, and destroyed.

A key is published some time before it signs, so that whoever caches the key set knows it in
time, and stays published until the last token it signed is dead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import ECKey
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.encryption import decrypt, encrypt
from partners.clients import TOKEN_LIFETIME

from . import store
from .store import StoredKey

KEY_LIFE: Final = timedelta(days=30)
"""How long a key signs before the next one is made."""

KEY_SET_MAX_AGE: Final = timedelta(minutes=5)
"""How long others may cache the published key set."""

PUBLISHED_AHEAD: Final = 2 * KEY_SET_MAX_AGE
PUBLISHED_AFTER: Final = 2 * TOKEN_LIFETIME


class KeySealer:
    """Encrypts private keys for storage, under keys derived from the master keys for this alone.

    Seals under the first and opens under any, so that a new master key can be put in front.
    """

    def __init__(self, derived_keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in derived_keys]

    def new_key(self, not_before: datetime) -> StoredKey:
        """A fresh key pair, sealed, that signs from `not_before` on."""
        pair = ECKey.generate_key("P-256")
        kid = pair.thumbprint()
        sealed = self.seal(kid, pair.as_der(private=True))
        return StoredKey(kid=kid, sealed=sealed, not_before=not_before, retired_at=None)

    def seal(self, kid: str, private: bytes) -> bytes:
        """The nonce and the ciphertext, bound to the key's id."""
        return encrypt(self._ciphers[0], private, kid.encode())

    def open(self, kid: str, sealed: bytes) -> bytes:
        """The private key. Raises `ValueError` if it was sealed under none of these keys."""
        try:
            return decrypt(self._ciphers, sealed, kid.encode())
        except InvalidTag:
            raise ValueError("the token signing keys were sealed under another master key") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key pair, and when it signs: [not_before, retired_at)."""

    kid: str
    pair: ECKey
    not_before: datetime
    retired_at: datetime | None

    def signs(self, at: datetime) -> bool:
        """Whether new tokens are signed with it at `at`."""
        return self.not_before <= at and (self.retired_at is None or at < self.retired_at)

    def is_published(self, at: datetime) -> bool:
        """Whether a token it signed could still be alive at `at`."""
        return self.retired_at is None or at < self.retired_at + PUBLISHED_AFTER


class KeyRing:
    """This process's copy of the signing keys, in memory; `load` brings it up to date."""

    def __init__(self, sealer: KeySealer) -> None:
        self._sealer = sealer
        self._keys: dict[str, SigningKey] = {}

    async def load(self, connection: AsyncConnection) -> None:
        """Read the keys from PostgreSQL, opening only those not seen before."""
        self.see(await connection.run_sync(store.all_keys))

    def see(self, stored: Iterable[StoredKey]) -> None:
        """Take over the keys that there now are."""
        self._keys = {key.kid: self._opened(key) for key in stored}

    async def rotate_when_due(self, connection: AsyncConnection, *, at: datetime) -> None:
        """Make the first key, or the next one if the newest has signed for `KEY_LIFE`; destroy dead ones."""
        await connection.run_sync(store.lock_keys)
        await connection.run_sync(store.drop_keys, retired_before=at - PUBLISHED_AFTER)
        await self.load(connection)
        newest = max((key.not_before for key in self._keys.values()), default=None)
        if newest is None or newest + KEY_LIFE <= at:
            await self.rotate(connection, at=at)

    async def rotate(self, connection: AsyncConnection, *, at: datetime) -> str:
        """Publish a new key, which takes over after `PUBLISHED_AHEAD`; the first signs at once. Its id."""
        await connection.run_sync(store.lock_keys)
        await self.load(connection)
        takes_over_at = at + PUBLISHED_AHEAD if self._signing(at) else at
        key = self._sealer.new_key(takes_over_at)
        await connection.run_sync(store.insert_key, key)
        await connection.run_sync(store.retire_keys, except_kid=key.kid, at=takes_over_at)
        await self.load(connection)
        return key.kid

    def signing(self, at: datetime) -> SigningKey:
        """The key that signs new tokens at `at`; the newest if there are two."""
        signing = self._signing(at)
        if not signing:
            raise LookupError("no key signs now; the key ring was never loaded")
        return max(signing, key=lambda key: key.not_before)

    def public(self, kid: str) -> ECKey | None:
        """The key of this id, to verify with; None if it is not among the published."""
        key = self._keys.get(kid)
        return None if key is None else key.pair

    def jwks(self, at: datetime) -> dict[str, Any]:
        """The published key set (RFC 7517): public parts, those that sign soon and those that did lately."""
        published = [key for key in self._keys.values() if key.is_published(at)]
        return {"keys": [key.pair.as_dict(private=False) for key in published]}

    def _signing(self, at: datetime) -> list[SigningKey]:
        return [key for key in self._keys.values() if key.signs(at)]

    def _opened(self, stored: StoredKey) -> SigningKey:
        known = self._keys.get(stored.kid)
        return SigningKey(
            kid=stored.kid,
            pair=known.pair if known is not None else self._pair(stored),
            not_before=stored.not_before,
            retired_at=stored.retired_at,
        )

    def _pair(self, stored: StoredKey) -> ECKey:
        private = self._sealer.open(stored.kid, stored.sealed)
        return ECKey.import_key(private, {"kid": stored.kid, "use": "sig", "alg": "ES256"})
