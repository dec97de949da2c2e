"""A member's card: a random number with a check digit, a secret key, and an opaque locator."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from .identifiers import luhn_digit
from .keys import KEY_BYTES

LOCATOR_BYTES: Final = 10
CARD_FIELD: Final = "card"
"""The name under which a member's key seals the card."""
_PREFIX: Final = "9"
"""Payment cards never begin with 9 (ISO/IEC 7812-1), so no till takes ours for one."""
_RANDOM_DIGITS: Final = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card and its key; only the member's own app may be given the key."""

    number: str = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def locator(self) -> bytes:
        """What a QR token names the card by."""
        return locator_of(self.key, self.number)


def new_card(number: str | None = None) -> Card:
    """A card with a fresh key, under `number` (as `read_card` gave it) or a random one."""
    return Card(number=number or _random_number(), key=secrets.token_bytes(KEY_BYTES))


def locator_of(card_key: bytes, card_number: str) -> bytes:
    """Ten bytes that find the card and tell neither its number nor its key."""
    return hmac.digest(card_key, b"kopilka/locator" + card_number.encode(), hashlib.sha256)[:LOCATOR_BYTES]


def pack(card: Card) -> bytes:
    """The card as it is sealed under its member's key."""
    return card.key + card.number.encode()


def unpack(packed: bytes) -> Card:
    """The card that `pack` was given."""
    return Card(key=packed[:KEY_BYTES], number=packed[KEY_BYTES:].decode())


def _random_number() -> str:
    payload = _PREFIX + "".join(str(secrets.randbelow(10)) for _ in range(_RANDOM_DIGITS))
    return payload + luhn_digit(payload)
