"""Enrolment: one phone, one member, whatever happens at once."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import event, select, text

from ledger.kernel.database import Database
from ledger.kernel.ids import HOME_BUCKETS, bucket_of, compose, member_id
from ledger.kernel.refusals import InvalidInput
from members import Enrolled, MasterKeys, consents_of, enrol, find, find_many, profile, read_card
from members.card import new_card
from members.tables import cards, consents, members

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = MasterKeys.generate()


async def enrolled(database: Database, phone: str, **consents: bool) -> Enrolled:
    async with database.writer.begin() as connection:
        return await enrol(connection, KEYS, phone=phone, name="Анна Ли", consents=consents, at=AT)


def a_phone(number: int = 1) -> str:
    return f"+7 916 {number:07d}"


async def test_a_new_member_gets_a_valid_card_and_a_key(database: Database) -> None:
    made = await enrolled(database, a_phone(), marketing_sms=True)

    assert made.is_new
    assert read_card(made.card_number) == made.card_number
    assert len(made.card_key) == 32
    assert made.card_number not in repr(made)


async def test_a_second_enrolment_is_the_same_member(database: Database) -> None:
    first = await enrolled(database, a_phone())

    again = await enrolled(database, "+7 (916) 000-00-01")

    assert not again.is_new
    assert (again.member, again.card_number, again.card_key) == (
        first.member,
        first.card_number,
        first.card_key,
    )


async def test_repeats_leave_no_gaps_in_the_buckets(database: Database) -> None:
    for _ in range(5):
        first = await enrolled(database, a_phone(1))
    second = await enrolled(database, a_phone(2))

    assert (first.member, second.member) == (member_id(1), member_id(2))


async def test_enrolments_of_one_phone_at_once_make_one_member(database: Database) -> None:
    made = await asyncio.gather(*(enrolled(database, a_phone()) for _ in range(20)))

    assert len({one.member for one in made}) == 1
    assert [one.is_new for one in made].count(True) == 1


async def test_processes_before_and_after_a_rotation_make_one_member(database: Database) -> None:
    rotated = KEYS.with_next_version()
    before = MasterKeys.from_text(",".join(reversed(rotated.reveal().split(","))))
    assert (before.current, rotated.current) == (1, 2)

    async def by(keys: MasterKeys) -> Enrolled:
        async with database.writer.begin() as connection:
            return await enrol(connection, keys, phone=a_phone(), consents={}, at=AT)

    made = await asyncio.gather(*(by(keys) for keys in (before, rotated) * 8))

    assert len({(one.member, one.card_key) for one in made}) == 1


async def test_members_are_found_by_phone_and_by_card(database: Database) -> None:
    one, two = await enrolled(database, a_phone(1)), await enrolled(database, a_phone(2))

    async with database.writer.connect() as connection:
        assert await find(connection, KEYS, phone=a_phone(1)) == one.member
        assert await find(connection, KEYS, card=two.card_number) == two.member
        assert await find(connection, KEYS, phone=a_phone(3)) is None
        assert await find(connection, KEYS, card=new_card().number) is None
        found = await find_many(
            connection, KEYS, phones=["+79160000001", "+79160000009"], cards=[two.card_number]
        )

    assert found.phones == {"+79160000001": one.member}
    assert found.cards == {two.card_number: two.member}
    assert two.card_number not in repr(found)


async def test_a_printed_card_enrols_once(database: Database) -> None:
    number = new_card().number
    made = []
    for _ in range(2):
        async with database.writer.begin() as connection:
            made.append(await enrol(connection, KEYS, card=number, consents={}, at=AT))

    assert [one.is_new for one in made] == [True, False]
    assert {one.card_number for one in made} == {number}
    assert made[0].member == made[1].member


async def test_neither_phone_nor_card_or_both_is_refused(database: Database) -> None:
    async with database.writer.connect() as connection:
        for phone, card in ((None, None), (a_phone(), new_card().number)):
            with pytest.raises(InvalidInput):
                await enrol(connection, KEYS, phone=phone, card=card, consents={}, at=AT)


async def test_consents_are_kept_and_the_last_word_counts(database: Database) -> None:
    made = await enrolled(database, a_phone(), marketing_sms=True, profiling=False)
    async with database.writer.begin() as connection:
        await enrol(
            connection,
            KEYS,
            phone=a_phone(),
            consents={"marketing_sms": False},
            at=AT + timedelta(days=1),
        )

    async with database.writer.connect() as connection:
        latest = await consents_of(connection, made.member)
        history = (await connection.execute(select(consents.c.id))).all()

    assert [(one.purpose, one.granted, one.stated_at) for one in latest] == [
        ("marketing_sms", False, AT + timedelta(days=1)),
        ("profiling", False, AT),
    ]
    assert len(history) == 3


@pytest.mark.parametrize("purpose", ["", "Marketing", "a b", "x" * 41, "🦊"])
async def test_a_malformed_purpose_is_refused(database: Database, purpose: str) -> None:
    with pytest.raises(InvalidInput):
        await enrolled(database, a_phone(), **{purpose: True})


async def test_a_profile_is_masked_and_a_stranger_has_none(database: Database) -> None:
    made = await enrolled(database, a_phone())

    async with database.writer.connect() as connection:
        shown = await profile(connection, KEYS, made.member)
        nobody = await profile(connection, KEYS, None)

    assert shown is not None
    assert shown.masked_name == "А••• Л•••"
    assert nobody is None


async def test_nothing_personal_lies_in_the_tables(database: Database) -> None:
    made = await enrolled(database, a_phone(), marketing_sms=True)

    async with database.writer.connect() as connection:
        rows = [
            row
            for table in (members, cards, consents)
            for row in await connection.execute(text(f"SELECT t::text FROM {table.name} t"))
        ]
    dump = "\n".join(str(row[0]) for row in rows)
    binary = b"".join(bytes.fromhex(part) for part in re.findall(r"\\x([0-9a-f]+)", dump))

    for secret in ("9160000001", "Анна", made.card_number):
        assert secret not in dump
        assert secret.encode() not in binary
    assert made.card_key not in binary


def test_home_buckets_fill_evenly() -> None:
    ids = [member_id(number) for number in range(1, 10 * HOME_BUCKETS + 1)]

    assert Counter(bucket_of(one) for one in ids) == dict.fromkeys(range(HOME_BUCKETS), 10)


@pytest.mark.parametrize("buckets", [1, 4, 64])
def test_ids_never_meet_when_the_number_of_home_buckets_changes(
    buckets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {member_id(number) for number in range(1, 641)}
    # As they were numbered once: by bucket.
    before |= {compose((number - 1) % 64, (number - 1) // 64 + 1) for number in range(1, 641)}
    monkeypatch.setattr("ledger.kernel.ids.HOME_BUCKETS", buckets)

    assert before.isdisjoint(member_id(number) for number in range(641, 2_000))


async def test_a_miss_asks_the_database_what_a_hit_asks(database: Database) -> None:
    made = await enrolled(database, a_phone())
    asked: list[list[str]] = []

    for phone, member in ((a_phone(1), made.member), (a_phone(2), None)):
        statements: list[str] = []
        record = partial(_record, statements)
        event.listen(database.writer.sync_engine, "before_cursor_execute", record)
        async with database.writer.connect() as connection:
            assert await find(connection, KEYS, phone=phone) == member
            await profile(connection, KEYS, member)
        event.remove(database.writer.sync_engine, "before_cursor_execute", record)
        asked.append(statements)

    assert asked[0] == asked[1]
    assert len(asked[0]) == 2


def _record(statements: list[str], *execution: object) -> None:
    statements.append(str(execution[2]))
