"""QR tokens: made by the phone, read at the till."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from ledger.kernel.database import Database
from members import Enrolled, MasterKeys, MemberNotFound, Presented, Tokens, enrol, forget, make_token
from members.card import new_card

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = MasterKeys.generate()


async def a_member(database: Database, number: int = 1) -> Enrolled:
    async with database.writer.begin() as connection:
        return await enrol(connection, KEYS, phone=f"+7916{number:07d}", consents={}, at=AT)


def shown(member: Enrolled, at: datetime = AT) -> str:
    return make_token(member.card_key, member.card_number, at)


async def test_a_token_tells_its_member(database: Database) -> None:
    one = await a_member(database)

    presented = await Tokens(database, KEYS).read(shown(one), at=AT)

    assert presented.member == one.member
    assert presented.is_current
    assert len(presented.fingerprint) == 16


@pytest.mark.parametrize(
    ("seconds", "is_current"), [(-60, False), (-30, True), (29, True), (30, True), (60, False)]
)
async def test_a_token_is_current_for_its_half_minute_and_one_around(
    database: Database, seconds: int, is_current: bool
) -> None:
    one = await a_member(database)

    presented = await Tokens(database, KEYS).read(shown(one), at=AT + timedelta(seconds=seconds))

    assert presented.is_current is is_current
    assert presented.member == one.member


async def test_a_token_has_one_fingerprint_and_each_step_another(database: Database) -> None:
    one, tokens = await a_member(database), Tokens(database, KEYS)

    same = {(await tokens.read(text, at=AT)).fingerprint for text in (shown(one), shown(one).lower())}
    next_step = await tokens.read(shown(one, AT + timedelta(seconds=30)), at=AT)

    assert len(same) == 1
    assert next_step.fingerprint not in same


async def test_a_forged_or_foreign_token_finds_nobody(database: Database) -> None:
    one, tokens, stranger = await a_member(database), Tokens(database, KEYS), new_card()
    genuine = shown(one)
    changed = [
        genuine[:place] + ("A" if genuine[place] != "A" else "B") + genuine[place + 1 :]
        for place in range(40)
    ]
    unknown = make_token(stranger.key, stranger.number, AT)

    for forged in [*changed, unknown, "", genuine[:-1], genuine + "A", "É" * 40, "=" * 40, "A" * 100_000]:
        with pytest.raises(MemberNotFound):
            await tokens.read(forged, at=AT)


async def test_a_token_shows_neither_card_number_nor_key(database: Database) -> None:
    one = await a_member(database)

    assert len(shown(one)) == 40
    assert set(shown(one)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
    assert one.card_number not in shown(one)


async def test_a_card_seen_before_needs_no_sql(database: Database) -> None:
    one, tokens = await a_member(database), Tokens(database, KEYS)
    await tokens.read(shown(one), at=AT)
    statements: list[str] = []
    event.listen(
        database.writer.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )

    await tokens.read(shown(one, AT + timedelta(minutes=4)), at=AT + timedelta(minutes=4))
    assert statements == []

    await tokens.read(shown(one, AT + timedelta(minutes=6)), at=AT + timedelta(minutes=6))
    assert len(statements) == 1


async def test_a_batch_asks_once_and_answers_in_order(database: Database) -> None:
    people = [await a_member(database, number) for number in range(1, 6)]
    statements: list[str] = []
    event.listen(
        database.writer.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )

    answers = await Tokens(database, KEYS, capacity=3).read_many(
        [*(shown(one) for one in people), "nonsense"], at=AT
    )

    found = [one.member if isinstance(one, Presented) else None for one in answers]
    assert found == [*(one.member for one in people), None]
    assert len(statements) == 1


async def test_memory_is_bounded(database: Database) -> None:
    people = [await a_member(database, number) for number in range(1, 6)]
    tokens = Tokens(database, KEYS, capacity=2)

    for one in people:
        assert (await tokens.read(shown(one), at=AT)).member == one.member

    assert len(tokens._seen) == 2


async def test_a_forgotten_members_token_finds_nobody(database: Database) -> None:
    one, tokens = await a_member(database), Tokens(database, KEYS)
    elsewhere = Tokens(database, KEYS)
    for reader in (tokens, elsewhere):
        await reader.read(shown(one), at=AT)
    async with database.writer.begin() as connection:
        await forget(connection, one.member, at=AT)
    tokens.forget(one.member)
    later = AT + timedelta(minutes=6)

    with pytest.raises(MemberNotFound):
        await tokens.read(shown(one), at=AT)
    with pytest.raises(MemberNotFound):
        await elsewhere.read(shown(one, later), at=later)
