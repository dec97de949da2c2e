"""Erasure destroys the key; rotation makes everything anew under the next one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import select

from ledger.kernel.database import Database
from members import (
    Enrolled,
    MasterKeys,
    MemberNotFound,
    Tokens,
    enrol,
    find,
    forget,
    make_token,
    profile,
    reindex,
    rewrap,
)
from members.keys import UnknownKeyVersion
from members.sealing import MemberKey, WrappedKey
from members.tables import cards, members

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = MasterKeys.generate()
PHONE = "+79160000001"


async def a_member(database: Database, phone: str = PHONE) -> Enrolled:
    async with database.writer.begin() as connection:
        return await enrol(connection, KEYS, phone=phone, name="Анна", consents={}, at=AT)


async def test_a_forgotten_member_cannot_be_found_or_read(database: Database) -> None:
    one = await a_member(database)

    async with database.writer.begin() as connection:
        await forget(connection, one.member, at=AT)

    async with database.writer.connect() as connection:
        assert await find(connection, KEYS, phone=PHONE) is None
        assert await find(connection, KEYS, card=one.card_number) is None
        assert await profile(connection, KEYS, one.member) is None
        row = (await connection.execute(select(members))).one()
        card = (await connection.execute(select(cards))).one()
    assert row.wrapped_key is row.personal is row.phone_digest is None
    assert card.sealed is card.number_digest is None
    assert row.id == one.member


async def test_what_was_copied_before_stays_unreadable(database: Database) -> None:
    one = await a_member(database)
    async with database.writer.connect() as connection:
        sealed = (await connection.execute(select(members.c.personal))).scalar_one()

    async with database.writer.begin() as connection:
        await forget(connection, one.member, at=AT)

    with pytest.raises(InvalidTag):
        MemberKey.generate(one.member).open("personal", sealed)


async def test_forgetting_twice_or_nobody_is_refused(database: Database) -> None:
    one = await a_member(database)

    async with database.writer.begin() as connection:
        await forget(connection, one.member, at=AT)
        for member in (one.member, 12345):
            with pytest.raises(MemberNotFound):
                await forget(connection, member, at=AT)


async def test_the_phone_of_a_forgotten_member_enrols_anew(database: Database) -> None:
    one = await a_member(database)
    async with database.writer.begin() as connection:
        await forget(connection, one.member, at=AT)

    again = await a_member(database)

    assert again.is_new
    assert again.member != one.member


async def test_after_a_rotation_the_old_key_is_needed_for_nothing(database: Database) -> None:
    people = [await a_member(database, f"+7916000000{number}") for number in range(5)]
    both = KEYS.with_next_version()
    only_new = MasterKeys.from_text(both.reveal().split(",")[0])

    async with database.writer.begin() as connection:
        rewrapped = [await rewrap(connection, both, limit=3) for _ in range(3)]
        reindexed = [await reindex(connection, both, limit=3) for _ in range(3)]

    assert rewrapped == [3, 2, 0]
    assert reindexed == [6, 4, 0]
    tokens = Tokens(database, only_new)
    async with database.writer.connect() as connection:
        for number, one in enumerate(people):
            assert await find(connection, only_new, phone=f"+7916000000{number}") == one.member
            assert await find(connection, only_new, card=one.card_number) == one.member
            shown = await profile(connection, only_new, one.member)
            assert shown is not None
            token = make_token(one.card_key, one.card_number, AT)
            assert (await tokens.read(token, at=AT)).member == one.member


async def test_in_the_middle_of_a_rotation_everyone_is_found(database: Database) -> None:
    people = [await a_member(database, f"+7916000000{number}") for number in range(4)]
    both = KEYS.with_next_version()

    async with database.writer.begin() as connection:
        await rewrap(connection, both, limit=2)
        await reindex(connection, both, limit=2)

    async with database.writer.begin() as connection:
        for number, one in enumerate(people):
            again = await enrol(connection, both, phone=f"+7916000000{number}", consents={}, at=AT)
            assert (again.member, again.card_key) == (one.member, one.card_key)


async def test_a_key_wrapped_under_a_missing_version_says_so(database: Database) -> None:
    one = await a_member(database)
    row = WrappedKey(version=9, ciphertext=b"")

    with pytest.raises(UnknownKeyVersion):
        MemberKey.unwrap(KEYS, one.member, row)
