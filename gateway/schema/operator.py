"""What the operator does: the programme, partners, their terms, outlets and clients, and the clock."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Info
from ledger.kernel.refusals import InvalidInput, Refusal
from partners import Agreement as KnownAgreement
from partners import Answered, ensure_calendar
from partners import Outlet as KnownOutlet
from partners import Partner as KnownPartner
from partners import Terms as KnownTerms
from partners import create_partner as add_partner
from partners import create_programme as add_programme
from partners import make_agreement as agree
from partners import open_outlet as add_outlet
from partners import reinstate_outlet as take_outlet_back
from partners import reinstate_partner as take_partner_back
from partners import suspend_outlet as put_outlet_off
from partners import suspend_partner as put_partner_off

from .access import mutation, query
from .directory import (
    MANAGE,
    READ,
    Agreement,
    Outlet,
    Partner,
    PartnerConnection,
    Programme,
    agreement_of,
    cursor_of,
    known_number,
    outlet_of,
    page_of,
    partner_number,
    partner_of,
    programme_of,
    visible_partner,
)
from .errors import UserError
from .money import micro_units
from .node import After, First, PageInfo, number_of
from .requests import KEY
from .scalars import CurrencyCode, Date, DateTime, Decimal, stored_utc
from .terms import TermsInput, read_terms, within
from .writes import ERRORS, REPLAYED, Write

MAX_OUTLETS: Final = 500

PartnerId = Annotated[
    strawberry.ID | None, strawberry.argument(description="The partner's id; the caller's own, if left out.")
]


class ClockNotDriven(Refusal):
    """Only an installation that was created with a driven clock can be advanced."""

    code = "CLOCK_NOT_DRIVEN"

    def __init__(self) -> None:
        super().__init__("this installation follows the wall clock")


@strawberry.input(description="The programme of a new installation.")
class CreateProgrammeInput:
    """A programme as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    name: str = strawberry.field(description="What people will call it; 1 to 200 characters.")
    currency: CurrencyCode = strawberry.field(description="The currency of prices and positions.")
    time_zone: str = strawberry.field(description="The IANA zone in which days and months are counted.")
    point_value: Decimal = strawberry.field(
        default="1", description="What a point takes off a price, in units of the currency."
    )
    opens_on: Date | None = strawberry.field(
        default=strawberry.UNSET, description="A day of the first period; today, if left out."
    )
    notice_days: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="How many days before points expire members are told; nobody is, if left out.",
    )
    defaults: TermsInput | None = strawberry.field(
        default=strawberry.UNSET, description="The terms that agreements start from."
    )


@strawberry.type(description="The answer to a new programme.")
class ProgrammePayload:
    """A programme, or why there is none."""

    programme: Programme | None = strawberry.field(
        default=None, description="The programme; null when refused."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A merchant who joins the coalition.")
class CreatePartnerInput:
    """A partner as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    name: str = strawberry.field(description="What people will call it; 1 to 200 characters.")


@strawberry.input(description="A partner that is to be kept from trading.")
class SuspendPartnerInput:
    """A suspension as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    partner: strawberry.ID = strawberry.field(description="The partner.")
    reason: str = strawberry.field(description="Why; 1 to 200 characters, kept with it.")


@strawberry.input(description="A suspended partner that is to trade again.")
class ReinstatePartnerInput:
    """A reinstatement as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    partner: strawberry.ID = strawberry.field(description="The partner.")


@strawberry.type(description="The answer to a change of a partner.")
class PartnerPayload:
    """A partner, or why it was not changed."""

    partner: Partner | None = strawberry.field(default=None, description="The partner; null when refused.")
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="Terms that are agreed with a partner.")
class MakeAgreementInput:
    """An agreement as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    partner: strawberry.ID = strawberry.field(description="The partner.")
    terms: TermsInput = strawberry.field(description="What is agreed.")
    starts_at: DateTime | None = strawberry.field(
        default=strawberry.UNSET,
        description="From when it is in force; now, if left out. Only the first may begin in the past.",
    )


@strawberry.type(description="The answer to new terms.")
class AgreementPayload:
    """An agreement, or why there is none."""

    agreement: Agreement | None = strawberry.field(
        default=None, description="The agreement; null when refused."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="A shop or site that a partner opens.")
class OpenOutletInput:
    """An outlet as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    partner: strawberry.ID = strawberry.field(description="The partner.")
    code: str = strawberry.field(
        description="What its tills call it; 1 to 200 characters, the partner's own."
    )
    name: str = strawberry.field(description="What people call it; 1 to 200 characters.")


@strawberry.input(description="One of many shops or sites.")
class NewOutletInput:
    """An outlet of a list as it is sent."""

    code: str = strawberry.field(
        description="What its tills call it; 1 to 200 characters, the partner's own."
    )
    name: str = strawberry.field(description="What people call it; 1 to 200 characters.")


@strawberry.input(description="The shops or sites of a partner, registered together or not at all.")
class OpenOutletsInput:
    """A list of outlets as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    partner: strawberry.ID = strawberry.field(description="The partner.")
    outlets: list[NewOutletInput] = strawberry.field(description=f"1 to {MAX_OUTLETS} outlets.")


@strawberry.type(description="The answer to many new outlets.")
class OutletsPayload:
    """Outlets, or why none was made."""

    outlets: list[Outlet] | None = strawberry.field(
        default=None, description="The outlets in the order sent; null when refused."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="An outlet whose receipts are no longer taken, or are taken again.")
class OutletInput:
    """A change of an outlet as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    outlet: strawberry.ID = strawberry.field(description="The outlet.")


@strawberry.type(description="The answer to a change of an outlet.")
class OutletPayload:
    """An outlet, or why it was not changed."""

    outlet: Outlet | None = strawberry.field(default=None, description="The outlet; null when refused.")
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.input(description="Where a driven clock is to go.")
class AdvanceClockInput:
    """An instant of programme time."""

    to: DateTime = strawberry.field(description="The instant; an earlier one than now changes nothing.")


@strawberry.type(description="The answer to a driven clock.")
class AdvanceClockPayload:
    """The time, or why it was not moved."""

    now: DateTime | None = strawberry.field(default=None, description="Programme time; null when refused.")
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class OperatorQuery:
    """The programme and its partners."""

    @query(READ, MANAGE, description="The programme of this installation; null before it is created.")
    def programme(self, info: Info) -> Programme | None:
        """The one programme."""
        directory = info.context.directory
        if not directory.has_programme:
            return None
        return programme_of(directory.programme, directory.limits_at(info.context.now))

    @query(READ, MANAGE, description="One's own partner, or for the operator any; null when there is none.")
    async def partner(self, info: Info, id: PartnerId = None) -> Partner | None:  # noqa: A002
        """A partner that the caller may see."""
        number = info.context.known_caller.partner if id is None else partner_number(id)
        return None if number is None else await visible_partner(info.context, number)

    @query(READ, MANAGE, description="Every partner that the caller may see, in the order they joined.")
    async def partners(self, info: Info, first: First = 20, after: After = None) -> PartnerConnection:
        """A page of partners."""
        own = info.context.known_caller.partner
        directory = await info.context.shown_directory()
        known = [each for each in directory.partners.values() if own in {None, each.id}]
        page, more = page_of(sorted(known, key=lambda each: each.id), first=first, after=after)
        return PartnerConnection(
            nodes=[partner_of(each) for each in page],
            page_info=PageInfo(has_next_page=more, end_cursor=cursor_of(page)),
        )


@strawberry.type
class OperatorMutation:
    """What changes the coalition."""

    @mutation(MANAGE, payload=ProgrammePayload, description="Create the programme; an installation has one.")
    async def create_programme(self, info: Info, input: CreateProgrammeInput) -> ProgrammePayload:  # noqa: A002
        """Found the coalition."""
        context = info.context
        base = KnownTerms(settlement_currency=input.currency)
        defaults = read_terms(input.defaults, base, at="defaults") if input.defaults else base
        value_micro = micro_units(input.point_value, "point_value")

        async def act(connection: AsyncConnection, at: datetime) -> bool:
            with within("defaults"):
                await add_programme(
                    connection,
                    name=input.name,
                    currency=input.currency,
                    time_zone=input.time_zone,
                    at=at,
                    by=context.known_caller.principal,
                    defaults=defaults,
                    point_value_micro=value_micro,
                    opens_on=input.opens_on,
                    notice_days=input.notice_days,
                )
            return True

        asked: tuple[object, ...] = (
            input.name,
            input.currency,
            input.time_zone,
            value_micro,
            input.opens_on,
            defaults,
        )
        if input.notice_days is not None:
            asked = (*asked, input.notice_days)  # a request without it keeps the digest it had
        answered = await Write(context, "createProgramme", input.idempotency_key, asked).do(act, bool)
        await context.services.ledger.reload_calendar()
        programme = programme_of(context.directory.programme)
        return ProgrammePayload(programme=programme, replayed=answered.replayed, user_errors=[])

    @mutation(MANAGE, payload=PartnerPayload, description="Take a merchant into the coalition.")
    async def create_partner(self, info: Info, input: CreatePartnerInput) -> PartnerPayload:  # noqa: A002
        """Add a partner; it trades once it has an agreement and an outlet."""
        by = info.context.known_caller.principal

        async def act(connection: AsyncConnection, at: datetime) -> KnownPartner:
            return await add_partner(connection, name=input.name, at=at, by=by)

        write = Write(info.context, "createPartner", input.idempotency_key, input.name)
        return _partner_payload(await write.do(act, KnownPartner))

    @mutation(MANAGE, payload=PartnerPayload, description="Keep a partner from giving and taking points.")
    async def suspend_partner(self, info: Info, input: SuspendPartnerInput) -> PartnerPayload:  # noqa: A002
        """Suspend; a hold may still be voided."""
        by, partner = info.context.known_caller.principal, known_number(input.partner)

        async def act(connection: AsyncConnection, at: datetime) -> KnownPartner:
            return await put_partner_off(connection, partner, reason=input.reason, at=at, by=by)

        write = Write(info.context, "suspendPartner", input.idempotency_key, (partner, input.reason))
        return _partner_payload(await write.do(act, KnownPartner))

    @mutation(MANAGE, payload=PartnerPayload, description="Let a suspended partner trade again.")
    async def reinstate_partner(self, info: Info, input: ReinstatePartnerInput) -> PartnerPayload:  # noqa: A002
        """End a suspension."""
        by, partner = info.context.known_caller.principal, known_number(input.partner)

        async def act(connection: AsyncConnection, at: datetime) -> KnownPartner:
            return await take_partner_back(connection, partner, at=at, by=by)

        write = Write(info.context, "reinstatePartner", input.idempotency_key, partner)
        return _partner_payload(await write.do(act, KnownPartner))

    @mutation(
        MANAGE, payload=AgreementPayload, description="Agree terms with a partner, from now or a later date."
    )
    async def make_agreement(self, info: Info, input: MakeAgreementInput) -> AgreementPayload:  # noqa: A002
        """Date new terms."""
        context, partner = info.context, known_number(input.partner)
        programme = context.directory.programme
        terms = read_terms(input.terms, programme.defaults, at="terms")
        starts_at = None if input.starts_at is None else stored_utc(input.starts_at, field="startsAt")

        async def act(connection: AsyncConnection, at: datetime) -> KnownAgreement:
            with within("terms"):
                return await agree(
                    connection,
                    partner,
                    terms=terms,
                    at=at,
                    by=context.known_caller.principal,
                    starts_at=starts_at,
                )

        asked = (partner, terms, starts_at)
        answered = await Write(context, "makeAgreement", input.idempotency_key, asked).do(act, KnownAgreement)
        agreement = agreement_of(answered.answer, programme.currency)
        return AgreementPayload(agreement=agreement, replayed=answered.replayed, user_errors=[])

    @mutation(MANAGE, payload=OutletPayload, description="Register a shop or site of a partner.")
    async def open_outlet(self, info: Info, input: OpenOutletInput) -> OutletPayload:  # noqa: A002
        """Add an outlet."""
        by, partner = info.context.known_caller.principal, known_number(input.partner)

        async def act(connection: AsyncConnection, at: datetime) -> KnownOutlet:
            return await add_outlet(connection, partner, code=input.code, name=input.name, at=at, by=by)

        write = Write(info.context, "openOutlet", input.idempotency_key, (partner, input.code, input.name))
        return _outlet_payload(await write.do(act, KnownOutlet))

    @mutation(
        MANAGE, payload=OutletsPayload, description="Register many shops or sites of a partner.", price=100
    )
    async def open_outlets(self, info: Info, input: OpenOutletsInput) -> OutletsPayload:  # noqa: A002
        """Add outlets, all or none."""
        by, partner = info.context.known_caller.principal, known_number(input.partner)
        asked = [(outlet.code, outlet.name) for outlet in input.outlets]
        if not 1 <= len(asked) <= MAX_OUTLETS:
            raise InvalidInput(f"1 to {MAX_OUTLETS} outlets at a time", field=("outlets",))

        async def act(connection: AsyncConnection, at: datetime) -> list[KnownOutlet]:
            made = []
            for number, (code, name) in enumerate(asked):
                try:
                    made.append(await add_outlet(connection, partner, code=code, name=name, at=at, by=by))
                except Refusal as refusal:
                    refusal.field = ("outlets", str(number), *refusal.field)
                    raise
            return made

        write = Write(info.context, "openOutlets", input.idempotency_key, (partner, asked))
        answered = await write.do(act, list[KnownOutlet])
        outlets = [outlet_of(outlet) for outlet in answered.answer]
        return OutletsPayload(outlets=outlets, replayed=answered.replayed, user_errors=[])

    @mutation(MANAGE, payload=OutletPayload, description="Take no more receipts from an outlet.")
    async def suspend_outlet(self, info: Info, input: OutletInput) -> OutletPayload:  # noqa: A002
        """Suspend an outlet."""
        by, outlet = info.context.known_caller.principal, number_of(input.outlet, "Outlet", field="outlet")

        async def act(connection: AsyncConnection, at: datetime) -> KnownOutlet:
            return await put_outlet_off(connection, outlet, at=at, by=by)

        write = Write(info.context, "suspendOutlet", input.idempotency_key, outlet)
        return _outlet_payload(await write.do(act, KnownOutlet))

    @mutation(MANAGE, payload=OutletPayload, description="Take receipts from a suspended outlet again.")
    async def reinstate_outlet(self, info: Info, input: OutletInput) -> OutletPayload:  # noqa: A002
        """End the suspension of an outlet."""
        by, outlet = info.context.known_caller.principal, number_of(input.outlet, "Outlet", field="outlet")

        async def act(connection: AsyncConnection, at: datetime) -> KnownOutlet:
            return await take_outlet_back(connection, outlet, at=at, by=by)

        write = Write(info.context, "reinstateOutlet", input.idempotency_key, outlet)
        return _outlet_payload(await write.do(act, KnownOutlet))

    @mutation(
        "clock",
        payload=AdvanceClockPayload,
        description="Move a driven clock on; everything due on the way happens before this returns.",
    )
    async def advance_clock(self, info: Info, input: AdvanceClockInput) -> AdvanceClockPayload:  # noqa: A002
        """Drive programme time."""
        context, services = info.context, info.context.services
        if not services.clock.is_driven:
            raise ClockNotDriven
        to = stored_utc(input.to, field="to")
        if context.directory.has_programme:
            async with services.database.writer.begin() as connection:
                await ensure_calendar(connection, context.directory.programme, upto=max(to, context.now))
            await services.ledger.reload_calendar()
        return AdvanceClockPayload(now=await services.ledger.advance(to), user_errors=[])


def _partner_payload(answered: Answered[KnownPartner]) -> PartnerPayload:
    return PartnerPayload(partner=partner_of(answered.answer), replayed=answered.replayed, user_errors=[])


def _outlet_payload(answered: Answered[KnownOutlet]) -> OutletPayload:
    return OutletPayload(outlet=outlet_of(answered.answer), replayed=answered.replayed, user_errors=[])
