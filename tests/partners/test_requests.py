"""Idempotency of writes outside the ledger."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from ledger.kernel.database import Database
from ledger.kernel.refusals import InvalidInput
from ledger.refusals import IdempotencyConflict
from partners import Answered, once

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Made(msgspec.Struct, frozen=True):
    """An answer with a secret in it."""

    number: int
    secret: str | None


class Maker:
    """Makes the next thing, and counts how often it was asked."""

    def __init__(self) -> None:
        self.made = 0

    async def __call__(self) -> Made:
        self.made += 1
        return Made(self.made, "s3cret")


async def test_a_repeat_gets_the_first_answer_without_its_secret(database: Database) -> None:
    maker = Maker()

    first, second = [await _ask(database, maker) for _ in range(2)]

    assert first == Answered(Made(1, "s3cret"), replayed=False)
    assert second == Answered(Made(1, None), replayed=True)
    assert maker.made == 1


async def test_the_same_key_for_something_else_is_a_conflict(database: Database) -> None:
    await _ask(database, Maker())

    with pytest.raises(IdempotencyConflict):
        await _ask(database, Maker(), request={"op": "make", "size": 2})


async def test_the_order_of_what_is_asked_is_no_difference(database: Database) -> None:
    await _ask(database, Maker(), request={"op": "make", "size": 1})

    assert (await _ask(database, Maker(), request={"size": 1, "op": "make"})).replayed


async def test_a_key_is_its_principals_own(database: Database) -> None:
    await _ask(database, Maker(), principal="partner:1")

    assert not (await _ask(database, Maker(), principal="partner:2")).replayed


async def test_simultaneous_repeats_have_one_effect(database: Database) -> None:
    maker = Maker()

    answers = await asyncio.gather(*(_ask(database, maker) for _ in range(6)))

    assert maker.made == 1
    assert sum(not answered.replayed for answered in answers) == 1


async def test_a_refused_request_is_not_remembered(database: Database) -> None:
    async def refuse() -> Made:
        raise InvalidInput("no")

    with pytest.raises(InvalidInput):
        async with database.writer.begin() as connection:
            await once(connection, refuse, principal="p", key="k", request=1, answer=Made, at=AT)

    assert not (await _ask(database, Maker(), principal="p")).replayed


async def test_a_key_must_be_readable(database: Database) -> None:
    with pytest.raises(InvalidInput):
        await _ask(database, Maker(), key="\x00")


async def _ask(
    database: Database,
    maker: Maker,
    *,
    principal: str = "staff:1",
    key: str = "k",
    request: object = None,
) -> Answered[Made]:
    async with database.writer.begin() as connection:
        return await once(
            connection,
            maker,
            principal=principal,
            key=key,
            request=request,
            answer=Made,
            at=AT,
            without_secrets=lambda made: Made(made.number, None),
        )
