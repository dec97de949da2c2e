"""Newcomers: members of an existing programme who are enrolled many at a time.

The guarantees are those of `enrol`: personal data sealed under a key of the member's own, blind
indexes, one member a phone and a card whatever happens at once. Besides, whoever came with a number
of the old programme is known by it again, so that a file can be read twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.ids import member_id
from ledger.kernel.refusals import Refusal

from . import newcomers_store
from .card import CARD_FIELD, new_card, pack
from .consents import read_consents
from .identifiers import (
    BlindIndex,
    MemberForgotten,
    card_index,
    card_indexes,
    former_index,
    former_indexes,
    phone_index,
    phone_indexes,
    read_card,
    read_phone,
)
from .keys import MasterKeys
from .newcomers_store import NewMember
from .personal import Personal, read_name
from .sealing import MemberKey

FORMER_FIELD = "former"
"""The name under which a member's key seals the number they came with."""


class PhoneTaken(Refusal):
    """Another member has this phone."""

    code: ClassVar[str] = "PHONE_TAKEN"

    def __init__(self) -> None:
        super().__init__("a member has this phone already", field=("phone",))


class CardTaken(Refusal):
    """Another member has this card."""

    code: ClassVar[str] = "CARD_TAKEN"

    def __init__(self) -> None:
        super().__init__("a member has this card already", field=("card",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """Someone who comes along from `source`, where they had `number`. Checked by `read_newcomer`."""

    source: str
    number: str = field(repr=False)
    phone: str | None = field(repr=False)
    card: str | None = field(repr=False)
    name: str | None = field(repr=False)
    consents: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Arrival:
    """The member that a newcomer is; `is_new` unless they had arrived before."""

    member: int
    is_new: bool


def read_newcomer(
    *,
    source: str,
    number: str,
    phone: str | None,
    card: str | None,
    name: str | None,
    consents: Mapping[str, bool],
) -> Newcomer:
    """A newcomer with everything in its stored form. Raises `InvalidInput` naming the value."""
    return Newcomer(
        source=source,
        number=number,
        phone=None if phone is None else read_phone(phone),
        card=None if card is None else read_card(card),
        name=read_name(name),
        consents=read_consents(consents),
    )


async def enrol_many(
    connection: AsyncConnection, keys: MasterKeys, newcomers: Sequence[Newcomer], *, at: datetime
) -> list[Arrival | Refusal]:
    """Make members of `newcomers`, and say of each, in order, who it is or why it is nobody.

    Someone whose number arrived before is that member, whatever else is said of them now. A phone
    or a card that another member has, or an earlier one of `newcomers`, is refused; so is someone
    who was erased. Enrolments of the same identifiers at once wait until this transaction ends.
    """
    await newcomers_store.wait_for_turns(connection, _oldest_indexes(keys, newcomers))
    roll = _Roll(keys, await _known(connection, keys, newcomers))
    answers: list[Arrival | Refusal | _Place] = [roll.place(who) for who in newcomers]
    ids = [member_id(number) for number in await newcomers_store.draw_numbers(connection, len(roll.new))]
    made = [_new_member(keys, member, who) for member, who in zip(ids, roll.new, strict=True)]
    await newcomers_store.add_members(connection, made, at=at)
    return [
        Arrival(ids[answer.index], answer.is_first) if isinstance(answer, _Place) else answer
        for answer in answers
    ]


async def who_is_known(
    connection: AsyncConnection, keys: MasterKeys, newcomers: Sequence[Newcomer], *, seen: set[bytes]
) -> list[Arrival | Refusal | None]:
    """What `enrol_many` would say, None for someone who would be new. Writes nothing.

    `seen` holds the digests of those who would have arrived before, and takes these in.
    """
    roll = _Roll(keys, await _known(connection, keys, newcomers), seen=seen)
    answers = [roll.place(who) for who in newcomers]
    return [None if isinstance(answer, _Place) else answer for answer in answers]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where among the new ones someone stands; `is_first` unless they are named twice."""

    index: int
    is_first: bool


class _Roll:
    """Who is there already, in the database or earlier on the roll."""

    def __init__(
        self, keys: MasterKeys, known: newcomers_store.Known, *, seen: set[bytes] | None = None
    ) -> None:
        self.new: list[Newcomer] = []
        self._keys = keys
        self._known = known
        self._taken: set[bytes] = set() if seen is None else seen
        self._numbers: dict[tuple[str, str], int] = {}

    def place(self, who: Newcomer) -> Arrival | Refusal | _Place:
        """Put someone on the roll, unless they cannot be."""
        for index in former_indexes(self._keys, who.source, who.number):
            found = self._known.numbers.get(index.digest)
            if found is not None:
                return MemberForgotten() if found.is_forgotten else Arrival(found.member, is_new=False)
        place = self._numbers.get((who.source, who.number))
        if place is not None:
            return _Place(place, is_first=False)
        phones = [] if who.phone is None else [index.digest for index in phone_indexes(self._keys, who.phone)]
        if any(digest in self._known.phones or digest in self._taken for digest in phones):
            return PhoneTaken()
        cards = [] if who.card is None else [index.digest for index in card_indexes(self._keys, who.card)]
        if any(digest in self._known.cards or digest in self._taken for digest in cards):
            return CardTaken()
        self._taken.update(phones, cards)
        self._numbers[who.source, who.number] = len(self.new)
        self.new.append(who)
        return _Place(len(self.new) - 1, is_first=True)


def _new_member(keys: MasterKeys, member: int, who: Newcomer) -> NewMember:
    key, issued = MemberKey.generate(member), new_card(who.card)
    return NewMember(
        member=member,
        wrapped=key.wrap(keys),
        personal=Personal(phone=who.phone, name=who.name).seal(key),
        phone=phone_index(keys, who.phone) if who.phone else None,
        locator=issued.locator,
        card=card_index(keys, issued.number),
        sealed_card=key.seal(CARD_FIELD, pack(issued)),
        former=former_index(keys, who.source, who.number),
        sealed_former=key.seal(FORMER_FIELD, f"{who.source}\0{who.number}".encode()),
        consents=who.consents,
    )


def _oldest_indexes(keys: MasterKeys, newcomers: Sequence[Newcomer]) -> list[BlindIndex]:
    """What names the locks: every process knows the oldest version in use."""
    oldest = [former_indexes(keys, who.source, who.number)[0] for who in newcomers]
    oldest += [phone_indexes(keys, who.phone)[0] for who in newcomers if who.phone]
    oldest += [card_indexes(keys, who.card)[0] for who in newcomers if who.card]
    return oldest


async def _known(
    connection: AsyncConnection, keys: MasterKeys, newcomers: Sequence[Newcomer]
) -> newcomers_store.Known:
    return await newcomers_store.known(
        connection,
        numbers=_digests(former_indexes(keys, who.source, who.number) for who in newcomers),
        phones=_digests(phone_indexes(keys, who.phone) for who in newcomers if who.phone),
        cards=_digests(card_indexes(keys, who.card) for who in newcomers if who.card),
    )


def _digests(indexes: Iterable[Sequence[BlindIndex]]) -> list[bytes]:
    return [index.digest for versions in indexes for index in versions]
