"""Enrolment: a phone or a card becomes a member, and the same one however often it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.ids import member_id
from ledger.kernel.refusals import InvalidInput

from . import store
from .card import CARD_FIELD, new_card, pack, unpack
from .consents import read_consents
from .identifiers import (
    MemberForgotten,
    card_index,
    card_indexes,
    phone_index,
    phone_indexes,
    read_card,
    read_phone,
)
from .keys import MasterKeys
from .personal import Personal, read_name
from .sealing import MemberKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """The member and their card. `card_key` is for the member's own app and nobody else."""

    member: int
    card_number: str = field(repr=False)
    card_key: bytes = field(repr=False)
    is_new: bool


async def enrol(
    connection: AsyncConnection,
    keys: MasterKeys,
    *,
    phone: str | None = None,
    card: str | None = None,
    name: str | None = None,
    consents: Mapping[str, bool],
    restated: Mapping[str, bool] | None = None,
    at: datetime,
) -> Enrolled:
    """The member of this phone or of this printed card, made now if there was none.

    Exactly one of `phone` and `card` is given. A repeat gives the same member and card, adds
    the consents as `restated` now (all of them, when None), keeps the name first given, and
    takes as long. Raises `InvalidInput`. Enrolments of one phone at once wait for each other
    until their transactions end.
    """
    stated, known_name = read_consents(consents), read_name(name)
    changed = stated if restated is None else read_consents(restated)
    if phone is not None and card is None:
        e164, number = read_phone(phone), None
        personal = Personal(phone=e164, name=known_name)
        draw = await _draw_by_phone(connection, keys, e164)
    elif card is not None and phone is None:
        personal, number = Personal(name=known_name), read_card(card)
        draw = await _draw_by_card(connection, keys, number)
    else:
        raise InvalidInput("exactly one of phone and card is needed")
    if draw.known is not None:
        await store.add_consents(connection, draw.known.member, changed, at=at)
        return _as_before(keys, draw.known)
    member = member_id(draw.number)
    key, issued = MemberKey.generate(member), new_card(number)
    await store.add_member(
        connection,
        member=member,
        wrapped=key.wrap(keys),
        personal=personal.seal(key),
        phone=phone_index(keys, personal.phone) if personal.phone else None,
        locator=issued.locator,
        card_number=card_index(keys, issued.number),
        sealed_card=key.seal(CARD_FIELD, pack(issued)),
        consents=stated,
        at=at,
    )
    return Enrolled(member=member, card_number=issued.number, card_key=issued.key, is_new=True)


async def enrolled_before(connection: AsyncConnection, keys: MasterKeys, member: int) -> Enrolled:
    """What the enrolment of `member` gave. Raises `MemberForgotten` if they were erased since."""
    known = await store.newest_card(connection, member)
    if known is None:
        raise MemberForgotten
    return _as_before(keys, known)


async def _draw_by_phone(connection: AsyncConnection, keys: MasterKeys, phone: str) -> store.Draw:
    indexes = phone_indexes(keys, phone)
    await store.wait_for_turn(connection, indexes)
    return await store.draw_by_phone(connection, indexes)


async def _draw_by_card(connection: AsyncConnection, keys: MasterKeys, number: str) -> store.Draw:
    indexes = card_indexes(keys, number)
    await store.wait_for_turn(connection, indexes)
    return await store.draw_by_card(connection, indexes)


def _as_before(keys: MasterKeys, known: store.KnownCard) -> Enrolled:
    key = MemberKey.unwrap(keys, known.member, known.wrapped)
    card = unpack(key.open(CARD_FIELD, known.sealed))
    return Enrolled(member=known.member, card_number=card.number, card_key=card.key, is_new=False)
