"""The SQL of enrolling many at a time: one statement a question, whatever their number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, LargeBinary, column, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from . import store
from .identifiers import BlindIndex
from .sealing import WrappedKey
from .store import KnownMember
from .tables import cards, consents, former_numbers, member_numbers, members


@dataclass(frozen=True, slots=True)
class Former:
    """Who came with a number."""

    member: int
    is_forgotten: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Who is there already, by the digests asked for."""

    numbers: dict[bytes, Former]
    phones: dict[bytes, int]
    cards: dict[bytes, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """A member to be stored, with their card and the number they came with."""

    member: int
    wrapped: WrappedKey
    personal: bytes = field(repr=False)
    phone: BlindIndex | None
    locator: bytes
    card: BlindIndex
    sealed_card: bytes = field(repr=False)
    former: BlindIndex
    sealed_former: bytes = field(repr=False)
    consents: Mapping[str, bool]


async def wait_for_turns(connection: AsyncConnection, indexes: Collection[BlindIndex]) -> None:
    """Take the lock of every identifier that `store.wait_for_turn` takes one by one.

    In ascending order, so that two that enrol many wait for each other and never in a circle.
    """
    names = sorted({int.from_bytes(index.digest[:8], signed=True) for index in indexes})
    numbers = func.unnest(literal(names, ARRAY(BigInteger))).table_valued(column("number", BigInteger))
    asked = numbers.render_derived(name="asked")
    await connection.execute(select(func.count(func.pg_advisory_xact_lock(asked.c.number))))


async def known(
    connection: AsyncConnection,
    *,
    numbers: Collection[bytes],
    phones: Collection[bytes],
    cards: Collection[bytes],
) -> Known:
    """Who of them is there (by uq_former_numbers_digest, uq_members_phone_digest, uq_cards_number_digest)."""
    wanted = former_numbers.c.digest == func.any(literal(list(numbers), ARRAY(LargeBinary)))
    query = (
        select(former_numbers.c.digest, former_numbers.c.member, members.c.forgotten_at)
        .join_from(former_numbers, members)
        .where(wanted)
    )
    rows = await connection.execute(query)
    return Known(
        numbers={row.digest: Former(row.member, row.forgotten_at is not None) for row in rows},
        phones=await store.members_by_phones(connection, phones),
        cards=await store.members_by_cards(connection, cards),
    )


async def draw_numbers(connection: AsyncConnection, count: int) -> list[int]:
    """The next `count` numbers of enrolment."""
    if not count:
        return []
    series = func.generate_series(1, count).table_valued("place").alias("series")
    return list(await connection.scalars(select(member_numbers.next_value()).select_from(series)))


async def add_members(connection: AsyncConnection, made: Sequence[NewMember], *, at: datetime) -> None:
    """Store new members, their cards, their former numbers and their consents."""
    if not made:
        return
    await connection.execute(insert(members), [_person(one, at) for one in made])
    await connection.execute(insert(cards), [_card(one, at) for one in made])
    await connection.execute(insert(former_numbers), [_former(one) for one in made])
    stated = [
        {"member": one.member, "purpose": purpose, "granted": granted, "stated_at": at}
        for one in made
        for purpose, granted in one.consents.items()
    ]
    if stated:
        await connection.execute(insert(consents), stated)


async def former_before(connection: AsyncConnection, version: int) -> int:
    """How many former numbers are under another version, of members who are not erased."""
    wanted = former_numbers.c.version != version, former_numbers.c.sealed.is_not(None)
    query = select(func.count()).select_from(former_numbers).where(*wanted)
    return (await connection.execute(query)).scalar_one()


async def former_indexed_before(
    connection: AsyncConnection, version: int, *, limit: int
) -> list[tuple[KnownMember, bytes]]:
    """Members whose former number is not indexed under `version`, locked, with that number sealed."""
    query = (
        select(
            members.c.id,
            members.c.key_version,
            members.c.wrapped_key,
            members.c.personal,
            members.c.enrolled_at,
            former_numbers.c.sealed,
        )
        .join_from(former_numbers, members)
        .where(former_numbers.c.version != version, former_numbers.c.sealed.is_not(None))
        .limit(limit)
        .with_for_update(of=former_numbers, skip_locked=True)
    )
    return [(store.known_member(row), row.sealed) for row in await connection.execute(query)]


async def set_former_index(connection: AsyncConnection, member: int, index: BlindIndex) -> None:
    """Replace the blind index of a former number."""
    change = {"version": index.version, "digest": index.digest}
    await connection.execute(
        former_numbers.update().where(former_numbers.c.member == member).values(**change)
    )


def _person(one: NewMember, at: datetime) -> dict[str, Any]:
    return {
        "id": one.member,
        "enrolled_at": at,
        "key_version": one.wrapped.version,
        "wrapped_key": one.wrapped.ciphertext,
        "personal": one.personal,
        "phone_version": one.phone.version if one.phone else None,
        "phone_digest": one.phone.digest if one.phone else None,
    }


def _card(one: NewMember, at: datetime) -> dict[str, Any]:
    return {
        "locator": one.locator,
        "member": one.member,
        "number_version": one.card.version,
        "number_digest": one.card.digest,
        "sealed": one.sealed_card,
        "issued_at": at,
    }


def _former(one: NewMember) -> dict[str, Any]:
    return {
        "member": one.member,
        "version": one.former.version,
        "digest": one.former.digest,
        "sealed": one.sealed_former,
    }
