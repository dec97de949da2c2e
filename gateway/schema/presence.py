"""From what a member presented to the member, and to what it proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.context import Context
from ledger.commands import Refused
from ledger.kernel.refusals import InvalidInput
from members import (
    MemberNotFound,
    MemberTokenExpired,
    Presented,
    StepUpRequired,
    find,
    find_many,
    read_card,
    read_phone,
)

from .errors import below
from .receipt import MemberInput


@dataclass(frozen=True, slots=True)
class Presence:
    """A member. `fingerprint` (16 bytes) is that of a QR code; `unproven` is why points may not be burned."""

    member: int
    fingerprint: bytes = b""
    unproven: Refused | None = None


_STEP_UP: Final = Refused.of(StepUpRequired())
_EXPIRED: Final = Refused.of(MemberTokenExpired())


async def identify(context: Context, given: MemberInput, *, name: str = "member") -> Presence:
    """Who `given` is, which stands at `name` in the input.

    Raises `MemberNotFound`, `InvalidInput` and `Throttled`.
    """
    if given.handle is not None:
        return Presence(_by_handle(context, given.handle, name), unproven=_STEP_UP)
    if given.qr is not None:
        (presented,) = await context.services.tokens.read_many([given.qr], at=context.now)
        if isinstance(presented, MemberNotFound):
            raise _at(presented, name, "qr")
        return _by_code(presented)
    context.look_up()
    async with context.services.database.writer.connect() as connection:
        with below(name):
            member = await find(connection, context.services.keys, phone=given.phone, card=given.card)
    if member is None:
        raise MemberNotFound(field=(name,))
    context.found()
    return Presence(member, unproven=_STEP_UP)


async def identify_all(context: Context, given: Sequence[MemberInput]) -> list[Presence | Refused]:
    """The same for a batch, in order, with one question each for codes, phones and cards."""
    found: list[Presence | Refused | None] = [_at_once(context, each) for each in given]
    codes = [(index, each.qr) for index, each in enumerate(given) if each.qr is not None]
    if codes:
        read = await context.services.tokens.read_many([code for _, code in codes], at=context.now)
        for (index, _), presented in zip(codes, read, strict=True):
            found[index] = (
                Refused.of(_at(presented, "member", "qr"))
                if isinstance(presented, MemberNotFound)
                else _by_code(presented)
            )
    await _look_up(context, given, found)
    return [each or Refused.of(MemberNotFound(field=("member",))) for each in found]


def _at_once(context: Context, given: MemberInput) -> Presence | Refused | None:
    if given.handle is None:
        return None
    try:
        return Presence(_by_handle(context, given.handle), unproven=_STEP_UP)
    except MemberNotFound as refusal:
        return Refused.of(refusal)


async def _look_up(
    context: Context, given: Sequence[MemberInput], found: list[Presence | Refused | None]
) -> None:
    """Fill in the members who were named by phone or card."""
    phones: dict[int, str] = {}
    cards: dict[int, str] = {}
    for index, each in enumerate(given):
        try:
            with below("member"):
                if each.phone is not None:
                    phones[index] = read_phone(each.phone)
                elif each.card is not None:
                    cards[index] = read_card(each.card)
        except InvalidInput as refusal:
            found[index] = Refused.of(refusal)
    if not phones and not cards:
        return
    context.look_up(len(phones) + len(cards))
    async with context.services.database.writer.connect() as connection:
        known = await find_many(
            connection, context.services.keys, phones=phones.values(), cards=cards.values()
        )
    members = {index: known.phones.get(phone) for index, phone in phones.items()}
    members |= {index: known.cards.get(card) for index, card in cards.items()}
    context.found(sum(member is not None for member in members.values()))
    for index, member in members.items():
        if member is not None:
            found[index] = Presence(member, unproven=_STEP_UP)


def _by_handle(context: Context, handle: str, name: str = "member") -> int:
    try:
        return context.services.handles.open(context.namer, handle)
    except MemberNotFound as refusal:
        raise _at(refusal, name, "handle") from None


def _at(refusal: MemberNotFound, *path: str) -> MemberNotFound:
    return MemberNotFound(refusal.message, field=path)


def _by_code(presented: Presented) -> Presence:
    return Presence(presented.member, presented.fingerprint, None if presented.is_current else _EXPIRED)
