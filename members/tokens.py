"""QR tokens: what a member's app shows at the till, made anew every 30 seconds from the card key.

token = version ‖ card locator ‖ time step ‖ HMAC-SHA-256 of these, cut to ten bytes: 25 bytes,
written as 40 characters of base32, which a QR code holds in its compact alphanumeric mode.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b32decode, b32encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from ledger.kernel.database import Database
from ledger.kernel.refusals import Refusal

from . import store
from .card import CARD_FIELD, LOCATOR_BYTES, locator_of, unpack
from .identifiers import MemberNotFound
from .keys import MasterKeys
from .sealing import MemberKey

STEP_SECONDS: Final = 30
FINGERPRINT_BYTES: Final = 16
_VERSION: Final = b"\x01"
_STEP_BYTES: Final = 4
_MAC_BYTES: Final = 10
_TEXT_LENGTH: Final = 40
_TOLERATED_STEPS: Final = 1
_TRUSTED_FOR: Final = timedelta(minutes=5)


class MemberTokenExpired(Refusal):
    """The token is genuine and too old to prove that the member is there."""

    code = "MEMBER_TOKEN_EXPIRED"

    def __init__(self) -> None:
        super().__init__("this QR code is out of date: ask for a fresh one", field=("member", "qr"))


class StepUpRequired(Refusal):
    """A phone, a card or a handle says who the member is, and not that the member is there."""

    code = "STEP_UP_REQUIRED"

    def __init__(self) -> None:
        super().__init__(
            "burning needs the member's presence: scan the QR code of the member's app", field=("member",)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A genuine token: whose it is, and the 16 bytes by which the ledger lets it back one burn.

    `is_current` is false when the token is not of this half-minute, give or take one. Then it
    proves nothing any more, but a repeat of an operation that it once backed is still found.
    """

    member: int
    fingerprint: bytes = field(repr=False)
    is_current: bool


def make_token(card_key: bytes, card_number: str, at: datetime) -> str:
    """The token that the member's app shows at `at` of programme time."""
    head = _VERSION + locator_of(card_key, card_number) + _step(at).to_bytes(_STEP_BYTES)
    return b32encode(head + _mac(_token_key(card_key), head)).decode()


class Tokens:
    """Reads tokens. Cards seen lately are kept in memory, so a busy till needs no SQL.

    A card is looked up again after five minutes of programme time, so one closed by another
    process is noticed by then; `forget` drops a member's cards at once.
    """

    def __init__(self, database: Database, keys: MasterKeys, *, capacity: int = 100_000) -> None:
        self._database, self._keys, self._capacity = database, keys, capacity
        self._seen: OrderedDict[bytes, _SeenCard] = OrderedDict()

    async def read(self, token: str, *, at: datetime) -> Presented:
        """Whose token this is; raises `MemberNotFound` unless it was made from a live card's key."""
        (presented,) = await self.read_many([token], at=at)
        if isinstance(presented, MemberNotFound):
            raise presented
        return presented

    async def read_many(self, tokens: Sequence[str], *, at: datetime) -> list[Presented | MemberNotFound]:
        """An answer for each of a batch's tokens, in order, with at most one question to the database."""
        read = [_decode(token) for token in tokens]
        locators = {one.locator for one in read if one is not None}
        known = {locator: seen for locator in locators if (seen := self._recall(locator, at)) is not None}
        if unseen := locators - known.keys():
            async with self._database.writer.connect() as connection:
                cards = await store.cards_by_locators(connection, unseen)
            known |= {card.locator: self._learn(card, at) for card in cards}
        return [_verify(one, known, at) for one in read]

    def forget(self, member: int) -> None:
        """Trust no card of this member that is in memory."""
        for locator in [locator for locator, seen in self._seen.items() if seen.member == member]:
            del self._seen[locator]

    def _recall(self, locator: bytes, at: datetime) -> _SeenCard | None:
        seen = self._seen.get(locator)
        if seen is None or at - seen.learned_at > _TRUSTED_FOR:
            return None
        self._seen.move_to_end(locator)
        return seen

    def _learn(self, card: store.KnownCard, at: datetime) -> _SeenCard:
        key = MemberKey.unwrap(self._keys, card.member, card.wrapped)
        token_key = _token_key(unpack(key.open(CARD_FIELD, card.sealed)).key)
        seen = _SeenCard(member=card.member, token_key=token_key, learned_at=at)
        self._seen[card.locator] = seen
        self._seen.move_to_end(card.locator)
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return seen


@dataclass(frozen=True, slots=True, kw_only=True)
class _SeenCard:
    member: int
    token_key: bytes = field(repr=False)
    learned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    head: bytes
    mac: bytes = field(repr=False)

    @property
    def locator(self) -> bytes:
        return self.head[1 : 1 + LOCATOR_BYTES]

    @property
    def step(self) -> int:
        return int.from_bytes(self.head[1 + LOCATOR_BYTES :])


def _decode(text: str) -> _Token | None:
    if len(text) != _TEXT_LENGTH:
        return None
    try:
        raw = b32decode(text.upper())
    except (binascii.Error, ValueError):
        return None
    if not raw.startswith(_VERSION):
        return None
    return _Token(head=raw[:-_MAC_BYTES], mac=raw[-_MAC_BYTES:])


def _verify(
    token: _Token | None, known: Mapping[bytes, _SeenCard], at: datetime
) -> Presented | MemberNotFound:
    card = known.get(token.locator) if token else None
    if token is None or card is None or not hmac.compare_digest(_mac(card.token_key, token.head), token.mac):
        return MemberNotFound("this code belongs to no member")
    return Presented(
        member=card.member,
        fingerprint=hashlib.sha256(token.head + token.mac).digest()[:FINGERPRINT_BYTES],
        is_current=abs(_step(at) - token.step) <= _TOLERATED_STEPS,
    )


def _step(at: datetime) -> int:
    return int(at.timestamp()) // STEP_SECONDS


def _token_key(card_key: bytes) -> bytes:
    return hmac.digest(card_key, b"kopilka/token", hashlib.sha256)


def _mac(token_key: bytes, head: bytes) -> bytes:
    return hmac.digest(token_key, head, hashlib.sha256)[:_MAC_BYTES]
