"""Rotation of the master key: what older versions made is made again under the current one.

`rewrap` and `reindex` take a portion and are repeated; they may run in several processes and beside
enrolments, and pass over what is in other hands. Only when nothing is `under_older` can the old
version be taken out of the configuration. Handles are not stored: those of the old version stop opening then.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from . import newcomers_store, store
from .card import CARD_FIELD, unpack
from .identifiers import card_index, former_index, phone_index
from .keys import MasterKeys
from .newcomers import FORMER_FIELD
from .personal import Personal
from .sealing import MemberKey


async def rewrap(connection: AsyncConnection, keys: MasterKeys, *, limit: int = 500) -> int:
    """Wrap members' keys under the current version; how many were done."""
    portion = await store.members_wrapped_before(connection, keys.current, limit=limit)
    for known in portion:
        key = MemberKey.unwrap(keys, known.member, known.wrapped)
        await store.set_wrapped_key(connection, known.member, key.wrap(keys))
    return len(portion)


async def reindex(connection: AsyncConnection, keys: MasterKeys, *, limit: int = 500) -> int:
    """Index phones, card numbers and former numbers under the current version; how many were done."""
    people = await store.members_indexed_before(connection, keys.current, limit=limit)
    for known in people:
        personal = Personal.open(MemberKey.unwrap(keys, known.member, known.wrapped), known.personal)
        assert personal.phone is not None, "only members with a phone have a phone's index"
        await store.set_phone_index(connection, known.member, phone_index(keys, personal.phone))
    cards = await store.cards_indexed_before(connection, keys.current, limit=limit)
    for card in cards:
        key = MemberKey.unwrap(keys, card.member, card.wrapped)
        number = unpack(key.open(CARD_FIELD, card.sealed)).number
        await store.set_card_index(connection, card.locator, card_index(keys, number))
    return len(people) + len(cards) + await _reindex_former(connection, keys, limit)


async def under_older(connection: AsyncConnection, keys: MasterKeys) -> int:
    """How many things are still under another version than the current one."""
    return await store.made_before(connection, keys.current) + await newcomers_store.former_before(
        connection, keys.current
    )


async def _reindex_former(connection: AsyncConnection, keys: MasterKeys, limit: int) -> int:
    """The numbers that members came with; those of the erased keep the version they have."""
    portion = await newcomers_store.former_indexed_before(connection, keys.current, limit=limit)
    for known, sealed in portion:
        key = MemberKey.unwrap(keys, known.member, known.wrapped)
        source, _, number = key.open(FORMER_FIELD, sealed).decode().partition("\0")
        await newcomers_store.set_former_index(connection, known.member, former_index(keys, source, number))
    return len(portion)
