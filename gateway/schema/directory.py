"""The programme, its partners, their outlets and terms, as the schema shows them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, TypeVar

import strawberry

from gateway.context import Context, Info
from ledger import fence, tallies
from ledger.asof import check_past
from ledger.kernel.refusals import InvalidInput
from partners import Agreement as KnownAgreement
from partners import Limits as KnownLimits
from partners import Outlet as KnownOutlet
from partners import Partner as KnownPartner
from partners import PartnerUnknown, position
from partners import Programme as KnownProgramme
from partners import Terms as KnownTerms
from partners.clients import Client as KnownClient
from partners.clients import clients_of

from .access import computed
from .limits import IssuanceWindow, Limits, limits_of
from .money import Money, decimal_text, money_of
from .node import After, First, Node, PageInfo, global_id, page_size, read_id
from .scalars import CurrencyCode, DateTime, Decimal, Points, utc
from .standing import AsOf, BalanceClock, ByClock, PartnerStanding, clock_of, partner_standing_of
from .statement import StatementConnection, statements_for

MANAGE: Final = "programme:manage"
READ: Final = "partner:read"
"""The scopes of the directory."""


@strawberry.enum(description="When the one who pays for a point pays for it.")
class Funding(Enum):
    """The two models."""

    AT_ISSUE = strawberry.enum_value("AT_ISSUE", description="When the points become available.")
    AT_REDEMPTION = strawberry.enum_value("AT_REDEMPTION", description="When the points are burned.")


@strawberry.enum(description="What a returned purchase gives back first.")
class RefundOrder(Enum):
    """The orders."""

    MONEY_FIRST = strawberry.enum_value("MONEY_FIRST", description="Money before points.")
    POINTS_FIRST = strawberry.enum_value("POINTS_FIRST", description="Points before money.")
    PROPORTIONAL = strawberry.enum_value("PROPORTIONAL", description="Both, as they paid.")


@strawberry.type(description="The terms that a partner trades under. Shares are of 1, so 0.015 is 1.5 %.")
class Terms:
    """All terms of an agreement."""

    funding: Funding = strawberry.field(description="When the partner pays for the points it gives.")
    issue_price: Money = strawberry.field(description="What it pays for a point that is funded at issue.")
    redemption_value: Money = strawberry.field(description="What a partner is paid for a point burned there.")
    fee: Decimal = strawberry.field(
        description="The operator's share of what a redeemer is reimbursed, of 1."
    )
    vat: Decimal = strawberry.field(description="Value added tax on that fee, of 1.")
    earn_rate: Decimal = strawberry.field(description="Points given for one unit of money.")
    burn_cap: Decimal = strawberry.field(description="The most of a price that points may pay, of 1.")
    burn_money_floor: Money = strawberry.field(description="The least of a price that is paid in money.")
    burn_limit: Points | None = strawberry.field(
        description="The most points a receipt takes; null for no limit."
    )
    burn_step: Points = strawberry.field(description="Points are taken in multiples of this.")
    excluded_categories: list[str] = strawberry.field(description="Lines that neither earn nor take points.")
    includes_gift_cards: bool = strawberry.field(description="Whether gift cards earn and take points.")
    includes_delivery: bool = strawberry.field(description="Whether delivery earns and takes points.")
    pending_days: int = strawberry.field(description="Days until earned points may be spent.")
    lot_lifetime_days: int = strawberry.field(description="Days until earned points expire.")
    hold_ttl_seconds: int = strawberry.field(description="Seconds that a hold lasts at most.")
    quote_ttl_seconds: int = strawberry.field(description="Seconds that a quote is kept.")
    refund_order: RefundOrder = strawberry.field(description="What a returned purchase gives back first.")
    issuance_limit: Points | None = strawberry.field(
        description="The most points given in the issuance window; null for no limit."
    )
    issuance_window: IssuanceWindow = strawberry.field(
        description="The time in which the issuance limit counts."
    )
    limits: Limits | None = strawberry.field(
        description="What each member may do at this partner; null when that is not limited."
    )
    is_charity: bool = strawberry.field(description="Whether members may donate points to it.")
    collateral: Money = strawberry.field(description="What the partner has deposited.")
    breakage_share: Decimal = strawberry.field(description="The partner's share of what expires, of 1.")
    late_window_days: int = strawberry.field(description="Days after a purchase that its receipt is taken.")
    settlement_currency: CurrencyCode = strawberry.field(
        description="The currency the partner is settled in."
    )


@strawberry.type(
    description="A version of a partner's terms, in force from its start until the next one starts."
)
class Agreement(Node):
    """Dated terms."""

    id: strawberry.ID = strawberry.field(description="The agreement's id.")
    starts_at: DateTime = strawberry.field(description="From when it is in force, in programme time.")
    made_at: DateTime = strawberry.field(description="When it was agreed, in programme time.")
    terms: Terms = strawberry.field(description="What was agreed.")


@strawberry.type(description="A shop or site of a partner.")
class Outlet(Node):
    """A place of sale."""

    id: strawberry.ID = strawberry.field(description="The outlet's id.")
    code: str = strawberry.field(description="What the partner's tills call it.")
    name: str = strawberry.field(description="What people call it.")
    opened_at: DateTime = strawberry.field(description="When it was registered, in programme time.")
    suspended_at: DateTime | None = strawberry.field(
        description="Since when no receipt is taken; null if they are."
    )


@strawberry.type(description="A page of outlets, in the order they were registered.")
class OutletConnection:
    """Outlets by key."""

    nodes: list[Outlet] = strawberry.field(description="The outlets.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="What a partner gave and took in the period that is open, returns taken off.")
class Position:
    """Points so far."""

    period: int = strawberry.field(description="The period's ordinal, from 1.")
    issued: Points = strawberry.field(description="Points of this partner that became available.")
    pending: Points = strawberry.field(description="Points that it gave and that still wait.")
    redeemed: Points = strawberry.field(description="Points burned here, whoever gave them.")


@strawberry.enum(description="Whom an OAuth client acts for.")
class ClientKind(Enum):
    """The kinds."""

    PARTNER = strawberry.enum_value("PARTNER", description="A partner's tills, shops or back office.")
    OPERATOR = strawberry.enum_value("OPERATOR", description="The operator's staff.")
    FINANCE = strawberry.enum_value("FINANCE", description="The operator's finance.")
    SUPPORT = strawberry.enum_value("SUPPORT", description="The operator's support of members.")
    APP = strawberry.enum_value("APP", description="The members' own app.")


@strawberry.type(description="A program that may ask for access tokens.")
class Client:
    """An OAuth client without its secrets."""

    client_id: str = strawberry.field(description="Its name at the token endpoint.")
    kind: ClientKind = strawberry.field(description="Whom it acts for.")
    name: str = strawberry.field(description="What people call it.")
    scopes: list[str] = strawberry.field(description="The most that its tokens allow.")
    outlets: list[strawberry.ID] | None = strawberry.field(
        description="The outlets it may act for; null for all of its partner's."
    )
    created_at: DateTime = strawberry.field(description="When it was registered, by the clock of machines.")
    revoked_at: DateTime | None = strawberry.field(
        description="When it was ended for good; null if it was not."
    )


@strawberry.type(description="A merchant of the coalition.")
class Partner(Node):
    """A partner as itself and the operator see it."""

    number: strawberry.Private[int]

    id: strawberry.ID = strawberry.field(description="The partner's id.")
    name: str = strawberry.field(description="What people call it.")
    created_at: DateTime = strawberry.field(description="When it joined, in programme time.")
    suspended_at: DateTime | None = strawberry.field(
        description="Since when it neither gives nor takes points; null if it does."
    )

    @computed("The terms in force now; null before the first.")
    async def agreement(self, info: Info) -> Agreement | None:
        """The agreement of today."""
        directory = await info.context.shown_directory()
        found = directory.agreement_at(self.number, info.context.now)
        return None if found is None else agreement_of(found, directory.programme.currency)

    @computed("Every version of the terms, earliest start first.")
    async def agreements(self, info: Info) -> list[Agreement]:
        """The history and what is dated ahead."""
        directory = await info.context.shown_directory()
        return [
            agreement_of(each, directory.programme.currency) for each in directory.agreements_of(self.number)
        ]

    @computed("The shops and sites.")
    async def outlets(self, info: Info, first: First = 20, after: After = None) -> OutletConnection:
        """A page of outlets."""
        known = (await info.context.shown_directory()).outlets_of(self.number)
        page, more = page_of(known, first=first, after=after)
        return OutletConnection(
            nodes=[outlet_of(each) for each in page],
            page_info=PageInfo(has_next_page=more, end_cursor=cursor_of(page)),
        )

    @computed("What it gave and took in the open period so far; null before the programme.", price=100)
    async def position(self, info: Info) -> Position | None:
        """The live position."""
        async with info.context.reading() as connection:
            calendar = await fence.load_calendar(connection)
            if calendar is None:
                return None
            found = await position(connection, self.number, period=calendar.period_at(info.context.now))
        return Position(
            period=found.period, issued=found.issued, pending=found.pending, redeemed=found.redeemed
        )

    @computed(
        "The statements issued to it, earliest first: what it pays or receives for each closed period, and "
        "out of what that is made. The operator's side needs the scope `settlement:read`."
    )
    async def issued_statements(
        self, info: Info, first: First = 20, after: After = None
    ) -> StatementConnection:
        """A page of statements."""
        return await statements_for(info.context, self.number, first=first, after=after)

    @computed("Where it stood in points after everything up to an instant that is not ahead.", price=100)
    async def standing(
        self, info: Info, as_of: AsOf, clock: ByClock = BalanceClock.EFFECTIVE
    ) -> PartnerStanding:
        """The partner as issuer, as obligor and as redeemer."""
        instant = utc(as_of, field="asOf")
        check_past(instant, info.context.now)
        async with info.context.reading() as connection:
            return partner_standing_of(
                await tallies.partner_as_of(connection, self.number, instant, clock_of(clock))
            )

    @computed("Its OAuth clients, revoked ones included.")
    async def clients(self, info: Info) -> list[Client]:
        """The programs that act for it."""
        async with info.context.reading() as connection:
            return [client_of(each) for each in await clients_of(connection, self.number)]


@strawberry.type(description="A page of partners, in the order they joined.")
class PartnerConnection:
    """Partners by key."""

    nodes: list[Partner] = strawberry.field(description="The partners.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.type(description="What all partners share.")
class Programme:
    """The programme of this installation."""

    name: str = strawberry.field(description="What people call it.")
    currency: CurrencyCode = strawberry.field(description="The currency of prices and positions.")
    time_zone: str = strawberry.field(description="The IANA zone in which days and months are counted.")
    point_value: Money = strawberry.field(description="What a point takes off a price.")
    opened_at: DateTime = strawberry.field(description="When its first period begins.")
    notice_days: int | None = strawberry.field(
        description="How many days before points expire members are told; null where nobody is."
    )
    defaults: Terms = strawberry.field(description="The terms that agreements start from.")
    limits: Limits | None = strawberry.field(
        description="What each member may do over all partners now; null when that is not limited."
    )


K = TypeVar("K", KnownOutlet, KnownPartner)


def page_of(items: Sequence[K], *, first: int, after: str | None) -> tuple[list[K], bool]:
    """The items after a cursor, and whether there are more. Raises `InvalidInput`."""
    size = page_size(first)
    start = 0
    if after is not None:
        cursor = read_id(after)
        if cursor is None or cursor[0] != "Cursor":
            raise InvalidInput("not a cursor", field=("after",))
        start = cursor[1]
    rest = [item for item in items if item.id > start]
    return rest[:size], len(rest) > size


def cursor_of(page: Sequence[K]) -> str | None:
    """Where a page ends."""
    return global_id("Cursor", page[-1].id) if page else None


def partner_of(known: KnownPartner) -> Partner:
    """A partner as the schema has it."""
    return Partner(
        number=known.id,
        id=global_id("Partner", known.id),
        name=known.name,
        created_at=known.created_at,
        suspended_at=known.suspended_at,
    )


def outlet_of(known: KnownOutlet) -> Outlet:
    """An outlet as the schema has it."""
    return Outlet(
        id=global_id("Outlet", known.id),
        code=known.code,
        name=known.name,
        opened_at=known.opened_at,
        suspended_at=known.suspended_at,
    )


def agreement_of(known: KnownAgreement, currency: str) -> Agreement:
    """An agreement as the schema has it."""
    return Agreement(
        id=global_id("Agreement", known.id),
        starts_at=known.starts_at,
        made_at=known.made_at,
        terms=terms_of(known.terms, currency),
    )


def programme_of(known: KnownProgramme, limits: KnownLimits | None = None) -> Programme:
    """The programme as the schema has it, with the limits that are in force."""
    return Programme(
        name=known.name,
        currency=known.currency,
        time_zone=known.time_zone,
        point_value=money_of(known.point_value_micro, known.currency),
        opened_at=known.opened_at,
        notice_days=known.notice_days,
        defaults=terms_of(known.defaults, known.currency),
        limits=limits_of(limits),
    )


def client_of(known: KnownClient) -> Client:
    """An OAuth client as the schema has it."""
    outlets = None if known.outlets is None else [global_id("Outlet", each) for each in sorted(known.outlets)]
    return Client(
        client_id=known.client_id,
        kind=ClientKind(known.kind.upper()),
        name=known.name,
        scopes=sorted(known.scopes),
        outlets=outlets,
        created_at=known.created_at,
        revoked_at=known.revoked_at,
    )


def terms_of(known: KnownTerms, currency: str) -> Terms:
    """Terms as the schema has them."""
    return Terms(
        funding=Funding(known.funding.name),
        issue_price=money_of(known.issue_price_micro, currency),
        redemption_value=money_of(known.redemption_value_micro, currency),
        fee=decimal_text(known.fee_ppm),
        vat=decimal_text(known.vat_ppm),
        earn_rate=decimal_text(known.earn_rate_ppm),
        burn_cap=decimal_text(known.burn_cap_ppm),
        burn_money_floor=money_of(known.burn_money_floor_micro, currency),
        burn_limit=known.burn_limit_points,
        burn_step=known.burn_step_points,
        excluded_categories=list(known.excluded_categories),
        includes_gift_cards=known.includes_gift_cards,
        includes_delivery=known.includes_delivery,
        pending_days=known.pending_days,
        lot_lifetime_days=known.lot_lifetime_days,
        hold_ttl_seconds=known.hold_ttl_seconds,
        quote_ttl_seconds=known.quote_ttl_seconds,
        refund_order=RefundOrder(known.refund_order.name),
        issuance_limit=known.issuance_limit_points,
        issuance_window=IssuanceWindow[known.issuance_window.name],
        limits=limits_of(known.limits),
        is_charity=known.is_charity,
        collateral=money_of(known.collateral_micro, currency),
        breakage_share=decimal_text(known.breakage_share_ppm),
        late_window_days=known.late_window_days,
        settlement_currency=known.settlement_currency,
    )


async def visible_partner(context: Context, number: int) -> Partner | None:
    """The partner, unless the caller acts for another one."""
    own = context.known_caller.partner
    known = (await context.shown_directory()).partners.get(number)
    return None if known is None or own not in {None, number} else partner_of(known)


def partner_number(id_: str) -> int | None:
    """The number in a partner's id, None for any other text."""
    found = read_id(id_)
    return found[1] if found is not None and found[0] == "Partner" else None


def known_number(id_: str) -> int:
    """The same; raises `PartnerUnknown` for any other text."""
    number = partner_number(id_)
    if number is None:
        raise PartnerUnknown
    return number
