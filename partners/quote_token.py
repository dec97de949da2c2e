"""The quote token: terms and rules promised to one till for one receipt, until it expires."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec

from members import MasterKeys

from .receipts import Receipt

_PURPOSE: Final = "quote.1"
"""With the version of `Promise`: a token of another shape has another key, and so is no token."""
_MAC_BYTES: Final = 16
_LONGEST: Final = 1_024


class Promise(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a token says. `receipt` is the digest of place, number and lines; `expires_at` programme time."""

    partner: int
    member: int
    receipt: bytes
    terms: int
    ruleset: int
    expires_at: datetime


class QuoteTokens:
    """Makes and reads tokens under the newest master key, and reads those of older ones."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys = keys

    def make(self, promise: Promise) -> str:
        """The token of a promise: key version, promise, MAC; URL-safe text."""
        version = self._keys.current
        body = bytes((version,)) + _encoder.encode(promise)
        return urlsafe_b64encode(body + self._mac(version, body)).rstrip(b"=").decode()

    def read(self, token: str) -> Promise | None:
        """The promise of a token that these keys made; None for any other text."""
        if len(token) > _LONGEST:
            return None
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not body or body[0] not in self._keys.versions:
            return None
        if not hmac.compare_digest(mac, self._mac(body[0], body)):
            return None
        return _decoder.decode(body[1:])

    def _mac(self, version: int, body: bytes) -> bytes:
        return hmac.digest(self._keys.derive(_PURPOSE, version), body, "sha256")[:_MAC_BYTES]


def receipt_digest(receipt: Receipt) -> bytes:
    """16 bytes over what a quote is good for: this place, this number, these lines."""
    bound = (receipt.outlet, receipt.terminal, receipt.number, receipt.currency, receipt.lines)
    return sha256(_encoder.encode(bound)).digest()[:_MAC_BYTES]


def is_good_for(promise: Promise, *, partner: int, member: int, receipt: Receipt, at: datetime) -> bool:
    """True when a promise was made to this partner for this member and receipt, and still holds."""
    return (
        promise.partner == partner
        and promise.member == member
        and at.astimezone(UTC) < promise.expires_at
        and promise.receipt == receipt_digest(receipt)
    )


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Promise)
