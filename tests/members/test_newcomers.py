"""Enrolling many: what one enrolment promises, a thousand promise too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from sqlalchemy import func, select

from ledger.kernel.database import Database
from ledger.kernel.ids import HOME_BUCKETS, bucket_of
from ledger.kernel.refusals import Refusal
from members import (
    Arrival,
    MasterKeys,
    Newcomer,
    consents_of,
    enrol,
    enrol_many,
    find,
    forget,
    profile,
    read_newcomer,
    reindex,
    rewrap,
)
from members.tables import cards, former_numbers, members

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = MasterKeys.generate()


def phone(number: int) -> str:
    return f"+7916{number:07d}"


def someone(number: int, *, card: str | None = None, shown_phone: str | None = None) -> Newcomer:
    return read_newcomer(
        source="old",
        number=f"m{number}",
        phone=shown_phone or phone(number),
        card=card,
        name="Анна Ли",
        consents={"marketing_sms": True},
    )


async def arrive(database: Database, *people: Newcomer, keys: MasterKeys = KEYS) -> list[Arrival | Refusal]:
    async with database.writer.begin() as connection:
        return await enrol_many(connection, keys, people, at=AT)


def made(answers: list[Arrival | Refusal]) -> list[int]:
    return [answer.member for answer in answers if isinstance(answer, Arrival)]


async def test_each_is_a_member_like_any_other(database: Database) -> None:
    ids = made(await arrive(database, *(someone(number) for number in range(1, 131))))

    assert len(set(ids)) == 130
    assert {bucket_of(member) for member in ids} == set(range(HOME_BUCKETS))
    async with database.writer.connect() as connection:
        assert await find(connection, KEYS, phone=phone(130)) == ids[-1]
        shown = await profile(connection, KEYS, ids[0])
        assert shown is not None
        assert shown.masked_name == "А••• Л•••"
        assert [(one.purpose, one.granted) for one in await consents_of(connection, ids[0])] == [
            ("marketing_sms", True)
        ]
    async with database.writer.begin() as connection:
        again = await enrol(connection, KEYS, phone=phone(1), consents={}, at=AT)
    assert (again.member, again.is_new) == (ids[0], False)


async def test_nothing_personal_is_stored_in_the_clear(database: Database) -> None:
    await arrive(database, someone(1))

    async with database.writer.connect() as connection:
        rows = [
            row
            for table in (members, cards, former_numbers)
            for row in await connection.execute(select(table))
        ]
    stored = b" ".join(bytes(cell) for row in rows for cell in row if isinstance(cell, bytes))
    for secret in (phone(1), phone(1)[1:], "m1", "Анна"):
        assert secret.encode() not in stored


async def test_the_same_people_at_once_arrive_once(database: Database) -> None:
    people = [someone(number) for number in range(1, 41)]

    async def alone(number: int) -> int:
        async with database.writer.begin() as connection:
            return (await enrol(connection, KEYS, phone=phone(number), consents={}, at=AT)).member

    forwards, backwards, *single = await asyncio.gather(
        arrive(database, *people), arrive(database, *reversed(people)), *(alone(n) for n in (3, 17))
    )

    assert isinstance(forwards, list)
    assert isinstance(backwards, list)
    assert len({*made(forwards), *made(backwards), *(one for one in single if isinstance(one, int))}) == 40
    async with database.writer.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(members))).scalar_one() == 40


async def test_an_erased_member_leaves_no_number_behind(database: Database) -> None:
    (member,) = made(await arrive(database, someone(1)))
    async with database.writer.begin() as connection:
        await forget(connection, member, at=AT)

    (answer,) = await arrive(database, someone(1))

    assert isinstance(answer, Refusal)
    assert answer.code == "MEMBER_FORGOTTEN"
    async with database.writer.connect() as connection:
        (kept,) = (await connection.execute(select(former_numbers))).all()
    assert kept.sealed is None


async def test_a_rotated_key_still_knows_who_arrived(database: Database) -> None:
    ids = made(await arrive(database, someone(1), someone(2)))
    both = KEYS.with_next_version()
    only_new = MasterKeys.from_text(both.reveal().split(",")[0])

    async with database.writer.begin() as connection:
        while await rewrap(connection, both, limit=1) or await reindex(connection, both, limit=1):
            pass

    again = await arrive(database, someone(1), someone(2), keys=only_new)
    assert [answer for answer in again if isinstance(answer, Arrival) and not answer.is_new]
    assert made(again) == ids
