"""The room's SQL: one function a question."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Insert,
    LargeBinary,
    Row,
    Select,
    Text,
    bindparam,
    case,
    column,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from .identifiers import BlindIndex
from .sealing import WrappedKey
from .tables import cards, consents, former_numbers, member_numbers, members, merges

_MERGING: Final = 0x6D657267
"""The advisory lock of whoever merges members."""

_Drawing = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCard:
    """A stored card, with what it takes to open it."""

    member: int
    wrapped: WrappedKey
    locator: bytes
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The card of the member who was there already, or else the number of a new one."""

    number: int
    known: KnownCard | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMember:
    """A stored member who was not forgotten."""

    member: int
    wrapped: WrappedKey
    personal: bytes = field(repr=False)
    enrolled_at: datetime


async def wait_for_turn(connection: AsyncConnection, indexes: Sequence[BlindIndex]) -> None:
    """Let enrolments of one identifier go one after another, whatever key version each process has.

    Every process knows the oldest version in use, so its digest names the lock for all of them.
    """
    name = int.from_bytes(indexes[0].digest[:8], signed=True)
    await connection.execute(select(func.pg_advisory_xact_lock(name)))


async def draw_by_phone(connection: AsyncConnection, indexes: Sequence[BlindIndex]) -> Draw:
    """The member of this phone, or the next number (by uq_members_phone_digest)."""
    return await _draw(connection, _DRAW_BY_PHONE, indexes)


async def draw_by_card(connection: AsyncConnection, indexes: Sequence[BlindIndex]) -> Draw:
    """The member of this card, or the next number (by uq_cards_number_digest)."""
    return await _draw(connection, _DRAW_BY_CARD, indexes)


async def add_member(
    connection: AsyncConnection,
    *,
    member: int,
    wrapped: WrappedKey,
    personal: bytes,
    phone: BlindIndex | None,
    locator: bytes,
    card_number: BlindIndex,
    sealed_card: bytes,
    consents: Mapping[str, bool],
    at: datetime,
) -> None:
    """Store a new member, their card and their consents in one statement."""
    person = {
        "id": member,
        "key_version": wrapped.version,
        "wrapped_key": wrapped.ciphertext,
        "personal": personal,
        "phone_version": phone.version if phone else None,
        "phone_digest": phone.digest if phone else None,
    }
    card = {
        "locator": locator,
        "number_version": card_number.version,
        "number_digest": card_number.digest,
        "sealed": sealed_card,
    }
    await connection.execute(_ADD_MEMBER, {**person, **card, **_said(member, consents, at)})


async def add_consents(
    connection: AsyncConnection, member: int, stated: Mapping[str, bool], *, at: datetime
) -> None:
    """Append what a known member said when they were enrolled once more."""
    await connection.execute(_ADD_CONSENTS, _said(member, stated, at))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRow:
    """One statement."""

    purpose: str
    granted: bool
    stated_at: datetime


async def latest_consents(connection: AsyncConnection, member: int) -> list[ConsentRow]:
    """The last statement for each purpose (by ix_consents_member)."""
    statement = (
        select(consents.c.purpose, consents.c.granted, consents.c.stated_at)
        .ext(distinct_on(consents.c.purpose))
        .where(consents.c.member == member)
        .order_by(consents.c.purpose, consents.c.id.desc())
    )
    return [
        ConsentRow(purpose=row.purpose, granted=row.granted, stated_at=row.stated_at)
        for row in await connection.execute(statement)
    ]


async def members_by_phones(connection: AsyncConnection, digests: Collection[bytes]) -> dict[bytes, int]:
    """Members by their phone's blind index (by uq_members_phone_digest)."""
    wanted = _any(members.c.phone_digest, digests)
    rows = await connection.execute(select(members.c.phone_digest, members.c.id).where(wanted))
    return {row.phone_digest: row.id for row in rows}


async def members_by_cards(connection: AsyncConnection, digests: Collection[bytes]) -> dict[bytes, int]:
    """Members by their card number's blind index (by uq_cards_number_digest)."""
    wanted = _any(cards.c.number_digest, digests)
    rows = await connection.execute(select(cards.c.number_digest, cards.c.member).where(wanted))
    return {row.number_digest: row.member for row in rows}


async def cards_by_locators(connection: AsyncConnection, locators: Collection[bytes]) -> list[KnownCard]:
    """The open cards that QR tokens name (by the primary key)."""
    rows = await connection.execute(_known_cards(_any(cards.c.locator, locators)))
    return [_known_card(row) for row in rows]


async def member(connection: AsyncConnection, member: int) -> KnownMember | None:
    """A member who was not forgotten."""
    statement = select(
        members.c.id, members.c.key_version, members.c.wrapped_key, members.c.personal, members.c.enrolled_at
    ).where(members.c.id == member, members.c.forgotten_at.is_(None))
    row = (await connection.execute(statement)).one_or_none()
    return row and known_member(row)


async def forget(connection: AsyncConnection, member: int, *, at: datetime) -> bool:
    """Destroy a member's key, and the indexes by which they were found; whether there was one."""
    closed = (
        update(cards)
        .where(cards.c.member == member, cards.c.closed_at.is_(None))
        .values(number_version=None, number_digest=None, sealed=None, closed_at=at)
    )
    unsealed = update(former_numbers).where(former_numbers.c.member == member).values(sealed=None)
    statement = (
        update(members)
        .where(members.c.id == member, members.c.forgotten_at.is_(None))
        .values(
            key_version=None,
            wrapped_key=None,
            personal=None,
            phone_version=None,
            phone_digest=None,
            forgotten_at=at,
        )
        .add_cte(closed.cte("closed"), unsealed.cte("unsealed"))
    )
    return (await connection.execute(statement)).rowcount == 1


async def wait_for_merges(connection: AsyncConnection) -> None:
    """Let merges go one after another, each seeing what the last one did."""
    await connection.execute(select(func.pg_advisory_xact_lock(_MERGING)))


async def is_member(connection: AsyncConnection, member: int) -> bool:
    """Whether there is such a member who was not forgotten."""
    where = (members.c.id == member) & members.c.forgotten_at.is_(None)
    return await connection.scalar(select(members.c.id).where(where)) is not None


async def add_merge(
    connection: AsyncConnection, *, merged: int, survivor: int, reason: str, at: datetime, by: str
) -> None:
    """Note who was merged into whom, by whom and why."""
    row = {"merged": merged, "survivor": survivor, "reason": reason, "merged_at": at, "merged_by": by}
    await connection.execute(insert(merges).values(row))


async def members_wrapped_before(
    connection: AsyncConnection, version: int, *, limit: int
) -> list[KnownMember]:
    """Members whose key is not wrapped under `version`, locked; those in other hands are passed over."""
    return await _members_to_turn(connection, members.c.key_version != version, limit)


async def members_indexed_before(
    connection: AsyncConnection, version: int, *, limit: int
) -> list[KnownMember]:
    """Members whose phone is not indexed under `version`, locked."""
    return await _members_to_turn(connection, members.c.phone_version != version, limit)


async def cards_indexed_before(connection: AsyncConnection, version: int, *, limit: int) -> list[KnownCard]:
    """Open cards whose number is not indexed under `version`, locked."""
    statement = _known_cards(cards.c.number_version != version).limit(limit)
    rows = await connection.execute(statement.with_for_update(of=cards, skip_locked=True))
    return [_known_card(row) for row in rows]


async def made_before(connection: AsyncConnection, version: int) -> int:
    """How many members' keys and phones, and open cards, are under another version."""
    people = select(
        func.count().filter(members.c.key_version != version)
        + func.count().filter(members.c.phone_version != version)
    )
    numbers = select(func.count()).where(cards.c.closed_at.is_(None), cards.c.number_version != version)
    of_people: int = (await connection.execute(people)).scalar_one()
    of_cards: int = (await connection.execute(numbers)).scalar_one()
    return of_people + of_cards


async def newest_card(connection: AsyncConnection, member: int) -> KnownCard | None:
    """The member's open card, the newest of several; None for nobody, and for whoever was erased."""
    query = _known_cards(cards.c.member == member).order_by(cards.c.issued_at.desc()).limit(1)
    row = (await connection.execute(query)).first()
    return None if row is None else _known_card(row)


async def set_wrapped_key(connection: AsyncConnection, member: int, wrapped: WrappedKey) -> None:
    """Replace the wrapping of a member's key."""
    change = {"key_version": wrapped.version, "wrapped_key": wrapped.ciphertext}
    await connection.execute(update(members).where(members.c.id == member).values(**change))


async def set_phone_index(connection: AsyncConnection, member: int, phone: BlindIndex) -> None:
    """Replace a phone's blind index."""
    change = {"phone_version": phone.version, "phone_digest": phone.digest}
    await connection.execute(update(members).where(members.c.id == member).values(**change))


async def set_card_index(connection: AsyncConnection, locator: bytes, number: BlindIndex) -> None:
    """Replace a card number's blind index."""
    change = {"number_version": number.version, "number_digest": number.digest}
    await connection.execute(update(cards).where(cards.c.locator == locator).values(**change))


async def _draw(connection: AsyncConnection, statement: _Drawing, indexes: Sequence[BlindIndex]) -> Draw:
    digests = [index.digest for index in indexes]
    row = (await connection.execute(statement, {"digests": digests})).one()
    return Draw(number=row.number, known=None if row.member is None else _known_card(row))


def _known_cards(wanted: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return (
        select(cards.c.member, members.c.key_version, members.c.wrapped_key, cards.c.locator, cards.c.sealed)
        .join_from(cards, members)
        .where(cards.c.closed_at.is_(None), wanted)
    )


def _known_card(row: Row[*tuple[Any, ...]]) -> KnownCard:
    wrapped = WrappedKey(version=row.key_version, ciphertext=row.wrapped_key)
    return KnownCard(member=row.member, wrapped=wrapped, locator=row.locator, sealed=row.sealed)


async def _members_to_turn(
    connection: AsyncConnection, wanted: ColumnElement[bool], limit: int
) -> list[KnownMember]:
    statement = (
        select(
            members.c.id,
            members.c.key_version,
            members.c.wrapped_key,
            members.c.personal,
            members.c.enrolled_at,
        )
        .where(wanted)
        .order_by(members.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [known_member(row) for row in await connection.execute(statement)]


def known_member(row: Row[*tuple[Any, ...]]) -> KnownMember:
    """A row's member."""
    wrapped = WrappedKey(version=row.key_version, ciphertext=row.wrapped_key)
    return KnownMember(member=row.id, wrapped=wrapped, personal=row.personal, enrolled_at=row.enrolled_at)


def _said(member: int, stated: Mapping[str, bool], at: datetime) -> dict[str, Any]:
    return {
        "member": member,
        "purposes": list(stated),
        "answers": list(stated.values()),
        "at": at,
    }


def _any(where: ColumnElement[bytes], values: Collection[bytes]) -> ColumnElement[bool]:
    return where == func.any(literal(list(values), ARRAY(LargeBinary)))


def _drawing(digest: Column[bytes]) -> _Drawing:
    """One row: the newest open card found by the digest, or nulls and the next number.

    A number is drawn for new members only, so that repeats leave no gaps in the buckets.
    """
    wanted = digest == func.any(bindparam("digests", type_=ARRAY(LargeBinary)))
    known = _known_cards(wanted).order_by(cards.c.issued_at.desc()).limit(1).subquery()
    one = select(literal(1).label("one")).subquery()
    number = case((known.c.member.is_(None), member_numbers.next_value()), else_=0)
    return select(number.label("number"), known).select_from(one.outerjoin(known, true()))


def _adding_consents() -> Insert:
    said = func.unnest(
        bindparam("purposes", type_=ARRAY(Text)), bindparam("answers", type_=ARRAY(Boolean))
    ).table_valued(column("purpose", Text), column("granted", Boolean))
    rows = said.render_derived()
    return insert(consents).from_select(
        ["member", "purpose", "granted", "stated_at"],
        select(_MEMBER, rows.c.purpose, rows.c.granted, _AT),
    )


def _adding_member() -> Insert:
    of_member = ("id", "key_version", "wrapped_key", "personal", "phone_version", "phone_digest")
    of_card = ("locator", "number_version", "number_digest", "sealed")
    person = insert(members).values(
        **{name: bindparam(name, type_=members.c[name].type) for name in of_member},
        enrolled_at=_AT,
    )
    card = insert(cards).values(
        **{name: bindparam(name, type_=cards.c[name].type) for name in of_card},
        member=_MEMBER,
        issued_at=_AT,
    )
    return _adding_consents().add_cte(person.cte("person"), card.cte("card"))


# Enrolment is the room's busiest writer, so its statements are built once.
_MEMBER: Final = bindparam("member", type_=BigInteger)
_AT: Final = bindparam("at", type_=DateTime(timezone=True))
_DRAW_BY_PHONE: Final = _drawing(members.c.phone_digest)
_DRAW_BY_CARD: Final = _drawing(cards.c.number_digest)
_ADD_CONSENTS: Final = _adding_consents()
_ADD_MEMBER: Final = _adding_member()
