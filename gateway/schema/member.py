"""What concerns a member as a person: enrolment, and who it is that stands at the till."""

from __future__ import annotations

import dataclasses
import hmac
from base64 import urlsafe_b64encode

import msgspec
import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Context, Info
from ledger.kernel.refusals import InvalidInput
from ledger.records import survivor
from members import Enrolled, MemberNotFound, enrol, enrolled_before, find, profile
from partners import once

from .access import mutation
from .errors import UserError, below
from .operation import Balance, balance_of
from .presence import identify
from .receipt import MemberInput
from .requests import KEY
from .scalars import DateTime

CARD_KEYS = "members:card"
"""The scope of the members' own app, which alone is given the key of a card."""

_NOBODY = 0


@strawberry.input(one_of=True, description="What a member is enrolled by, exactly one of these.")
class IdentifierInput:
    """A phone or a printed card."""

    phone: str | None = strawberry.field(
        default=strawberry.UNSET, description="The phone number with its country code, such as +79161234567."
    )
    card: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The number of a printed card, 16 to 19 digits with its check digit.",
    )


@strawberry.input(description="What a member allowed or refused.")
class ConsentInput:
    """One statement."""

    purpose: str = strawberry.field(
        description="What it is for: a lower-case name such as `marketing_sms`, at most 40 characters."
    )
    granted: bool = strawberry.field(description="Whether the member allowed it.")


@strawberry.input(description="A new member.")
class MemberEnrolInput:
    """An enrolment as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    identifier: IdentifierInput = strawberry.field(description="What the member will be found by.")
    consents: list[ConsentInput] = strawberry.field(
        description="What the member was asked; at most 20. Of one known before, a partner only withdraws."
    )
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description="What the member is called; kept encrypted, shown masked."
    )


@strawberry.type(description="A member who is now enrolled.")
class Enrolment:
    """What the enroller is given."""

    handle: str = strawberry.field(description="How this partner names the member from now on.")
    card_number: str = strawberry.field(
        description="The member's card, 16 to 19 digits with its check digit."
    )
    card_key: str | None = strawberry.field(
        default=None,
        description="The secret that QR codes are made from, base64url; for the members' own app, else null.",
    )
    is_new: bool = strawberry.field(description="False when the member was there before.")


@strawberry.type(description="The answer to an enrolment.")
class MemberEnrolPayload:
    """An enrolment, or why there is none."""

    enrolment: Enrolment | None = strawberry.field(default=None, description="The member; null when refused.")
    replayed: bool = strawberry.field(
        default=False, description="True when the idempotency key was answered before."
    )
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")


@strawberry.input(description="Someone at the till.")
class MemberResolveInput:
    """What was presented."""

    member: MemberInput = strawberry.field(description="What the member presented.")


@strawberry.type(description="A member, as much as the caller may know.")
class Member:
    """A member as shown to a till, to the app or to staff."""

    handle: str = strawberry.field(
        description="How this partner, or the operator's side, names the member; means nothing elsewhere."
    )
    masked_name: str = strawberry.field(description="Enough of the name to greet; empty when none is known.")
    enrolled_at: DateTime = strawberry.field(description="When the member joined, in programme time.")
    may_burn: bool = strawberry.field(
        description="Whether what was presented proves presence, so that points burn."
    )
    balance: Balance = strawberry.field(description="The member's points now.")


@strawberry.type(description="The answer to who someone is.")
class MemberResolvePayload:
    """A member, or why there is none."""

    member: Member | None = strawberry.field(default=None, description="The member; null when refused.")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")


class _Kept(msgspec.Struct, frozen=True):
    """What is stored of an enrolment for its repeats: nobody's phone, no key."""

    member: int
    is_new: bool


@strawberry.type
class MemberMutation:
    """Enrolment and resolution."""

    @mutation(
        "members:enrol",
        payload=MemberEnrolPayload,
        description="Make someone a member, by phone or card; the same one is always the same member.",
        looks_up=True,
    )
    async def member_enrol(self, info: Info, input: MemberEnrolInput) -> MemberEnrolPayload:  # noqa: A002
        """Enrol by phone or card."""
        context = info.context
        context.look_up()
        try:
            async with context.services.database.writer.begin() as connection:
                enrolled, replayed = await _enrolled(context, connection, input)
        except InvalidInput as refusal:
            is_identifier = refusal.field in {("phone",), ("card",)}
            field = ("identifier", *refusal.field) if is_identifier else refusal.field
            raise InvalidInput(refusal.message, field=field) from None
        # a partner that enrols phone after phone learns whose they are, as it would by looking them up
        if replayed or not enrolled.is_new or context.known_caller.partner is None:
            context.found()
        may_have_key = CARD_KEYS in context.known_caller.scopes
        return MemberEnrolPayload(
            enrolment=Enrolment(
                handle=context.services.handles.seal(context.namer, enrolled.member),
                card_number=enrolled.card_number,
                card_key=urlsafe_b64encode(enrolled.card_key).decode() if may_have_key else None,
                is_new=enrolled.is_new,
            ),
            replayed=replayed,
            user_errors=[],
        )

    @mutation(
        "members:resolve",
        payload=MemberResolvePayload,
        description="Say who presents a QR code, a card or a phone. A miss takes as long as a hit.",
        looks_up=True,
    )
    async def member_resolve(self, info: Info, input: MemberResolveInput) -> MemberResolvePayload:  # noqa: A002
        """Find the member."""
        context, services = info.context, info.context.services
        given = input.member
        by_identifier = given.phone is not None or given.card is not None
        presence = None if by_identifier else await identify(context, given)
        member = presence.member if presence else None
        if by_identifier:
            context.look_up()
        async with services.database.writer.connect() as connection:
            if by_identifier:
                with below("member"):
                    member = await find(connection, services.keys, phone=given.phone, card=given.card)
            # Whoever was merged into another is greeted as that one; a miss asks as much as a hit.
            member = await survivor(connection, member or _NOBODY)
            known = await profile(connection, services.keys, member)
        balance = await services.ledger.balance(member)
        if known is None:
            raise MemberNotFound(field=("member",))
        if by_identifier:
            context.found()
        return MemberResolvePayload(
            member=Member(
                handle=services.handles.seal(context.namer, known.member),
                masked_name=known.masked_name,
                enrolled_at=known.enrolled_at,
                may_burn=presence is not None and presence.unproven is None,
                balance=balance_of(balance),
            ),
            user_errors=[],
        )


async def _enrolled(
    context: Context, connection: AsyncConnection, given: MemberEnrolInput
) -> tuple[Enrolled, bool]:
    keys, at, identifier = context.services.keys, context.now, given.identifier
    consents = {consent.purpose: consent.granted for consent in given.consents}
    # or else any till that hears a phone could say for its member what they have allowed
    withdrawn = {purpose: granted for purpose, granted in consents.items() if not granted}
    first: list[Enrolled] = []

    async def act() -> _Kept:
        enrolled = await enrol(
            connection,
            keys,
            phone=identifier.phone,
            card=identifier.card,
            name=given.name,
            consents=consents,
            restated=consents if context.known_caller.partner is None else withdrawn,
            at=at,
        )
        first.append(enrolled)
        return _Kept(member=enrolled.member, is_new=enrolled.is_new)

    answered = await once(
        connection,
        act,
        principal=context.known_caller.principal,
        key=given.idempotency_key,
        request=("memberEnrol", _blinded(context, given), consents),
        answer=_Kept,
        at=at,
    )
    if first:
        return first[0], False
    again = await enrolled_before(connection, keys, answered.answer.member)
    return dataclasses.replace(again, is_new=answered.answer.is_new), True


def _blinded(context: Context, given: MemberEnrolInput) -> bytes:
    """The personal part of a request under a key, since a bare digest of a phone is soon guessed."""
    identifier = given.identifier
    personal = msgspec.json.encode((identifier.phone, identifier.card, given.name))
    keys = context.services.keys
    return hmac.digest(keys.derive("requests", min(keys.versions)), personal, "sha256")
