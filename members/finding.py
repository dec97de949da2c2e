"""Look-ups: from a phone or a card number to the member, one at a time or a batch at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.refusals import InvalidInput

from . import store
from .identifiers import card_indexes, phone_indexes, read_card, read_phone
from .keys import MasterKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Members found in bulk, by the identifiers asked for; unknown ones are absent."""

    phones: dict[str, int] = field(repr=False)
    cards: dict[str, int] = field(repr=False)


async def find(
    connection: AsyncConnection, keys: MasterKeys, *, phone: str | None = None, card: str | None = None
) -> int | None:
    """The member with this phone or this card number (exactly one of them), or None.

    A miss does the same work as a hit. Raises `InvalidInput` for a malformed identifier.
    """
    if phone is not None and card is None:
        indexes = phone_indexes(keys, read_phone(phone))
        by_digest = await store.members_by_phones(connection, [index.digest for index in indexes])
        return next(iter(by_digest.values()), None)
    if card is not None and phone is None:
        indexes = card_indexes(keys, read_card(card))
        by_digest = await store.members_by_cards(connection, [index.digest for index in indexes])
        return next(iter(by_digest.values()), None)
    raise InvalidInput("exactly one of phone and card is needed")


async def find_many(
    connection: AsyncConnection, keys: MasterKeys, *, phones: Iterable[str] = (), cards: Iterable[str] = ()
) -> Found:
    """The members of a whole batch in one question each for phones and for cards.

    Identifiers come as `read_phone` and `read_card` gave them.
    """
    by_phone = {index.digest: phone for phone in set(phones) for index in phone_indexes(keys, phone)}
    by_card = {index.digest: card for card in set(cards) for index in card_indexes(keys, card)}
    found_phones = await store.members_by_phones(connection, by_phone) if by_phone else {}
    found_cards = await store.members_by_cards(connection, by_card) if by_card else {}
    return Found(
        phones={by_phone[digest]: member for digest, member in found_phones.items()},
        cards={by_card[digest]: member for digest, member in found_cards.items()},
    )
