"""The sheet of a period and the statements of its partners, as the schema shows them."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry

from gateway.context import Context
from ledger.kernel.ids import OPERATOR
from ledger.kernel.refusals import InvalidInput
from ledger.kernel.rounding import half_even
from ledger.kernel.values import MICRO
from partners import Directory
from settlement import Entry as KnownEntry
from settlement import Mode, StatementUnknown, issued
from settlement import Sheet as KnownSheet
from settlement import SheetLine as KnownSheetLine
from settlement import Statement as KnownStatement

from .money import Money, decimal_text, money_of
from .node import PageInfo, global_id, page_size, read_id
from .scalars import CurrencyCode, Decimal, Points


@strawberry.enum(description="How obligations are brought to fewer payments.")
class NettingMode(Enum):
    """The modes."""

    MULTILATERAL = strawberry.enum_value("MULTILATERAL", description="One amount for each partner.")
    BILATERAL = strawberry.enum_value("BILATERAL", description="One amount for each pair.")
    GROSS = strawberry.enum_value("GROSS", description="Every obligation is paid.")


@strawberry.type(description="One account of a sheet. Positive pays, negative receives.")
class SheetLine:
    """A partner's line, or the operator's."""

    partner: strawberry.ID | None = strawberry.field(description="The partner's id; null for the operator.")
    name: str = strawberry.field(description="What people call it.")
    opening: Money = strawberry.field(description="What was left of earlier periods.")
    charge: Money = strawberry.field(description="What this period adds.")
    due: Money = strawberry.field(description="Opening and charge together.")
    payable: Money = strawberry.field(
        description="The part of what is due that can be paid in whole minor units."
    )
    carried: Money = strawberry.field(description="What is too small to pay and goes to the next period.")


@strawberry.type(description="What everybody owes, pays and carries over in a period. It sums to zero.")
class Sheet:
    """A period's sheet."""

    mode: NettingMode = strawberry.field(description="How it was netted.")
    gross: Money = strawberry.field(description="All obligations added up.")
    netting_efficiency: Decimal = strawberry.field(
        description="The share of the gross that netting spares, of 1."
    )
    sum: Money = strawberry.field(description="All charges added up: zero, or something is wrong.")
    lines: list[SheetLine] = strawberry.field(description="The operator first, then every partner.")


@strawberry.type(description="Points × price = money. Positive is paid by the partner, negative received.")
class StatementEntry:
    """A cell of a statement."""

    purpose: str = strawberry.field(
        description="What it is for: reimbursement, fee, vat, breakage share and so on."
    )
    operation: str = strawberry.field(description="The points' movement that it comes from.")
    issuer: strawberry.ID | None = strawberry.field(description="Who gave the points; null for the operator.")
    obligor: strawberry.ID | None = strawberry.field(description="Who pays for them; null for the operator.")
    redeemer: strawberry.ID | None = strawberry.field(description="Where they were burned; null for nobody.")
    origin_period: int = strawberry.field(description="The ordinal of the period in which it happened.")
    points: Points = strawberry.field(description="How many points.")
    price: Decimal | None = strawberry.field(
        description="Money for one point; null where the money was rounded once for all."
    )
    rate: Decimal | None = strawberry.field(
        description="The share that was taken, of 1: a fee of the points' value, VAT of the fees, a breakage "
        "share of the value of what expired. Null for the rest, and before statements told rates."
    )
    money: Money = strawberry.field(description="What it comes to.")


@strawberry.type(
    description="Points that a partner is obligor of, from the opening to the closing of a period."
)
class PointsRollForward:
    """A roll-forward; changes are signed."""

    opening: Points = strawberry.field(description="Outstanding at the start.")
    issued: Points = strawberry.field(description="Became available.")
    clawed_back: Points = strawberry.field(description="Taken back for returned purchases.")
    redeemed: Points = strawberry.field(description="Burned.")
    recovered: Points = strawberry.field(description="Taken back later.")
    expired: Points = strawberry.field(description="Expired.")
    adjusted: Points = strawberry.field(description="Changed by hand.")
    novated: Points = strawberry.field(description="Taken over from, or by, another obligor.")
    brought: Points = strawberry.field(description="Brought along by members of another programme.")
    transferred: Points = strawberry.field(description="Between members, on their way.")
    closing: Points = strawberry.field(description="Outstanding at the end.")


@strawberry.type(description="Points still owed to members, by month of issue and of expiry.")
class StatementAge:
    """One age."""

    issue_month: int = strawberry.field(description="Year and month as 202601.")
    expiry_month: int = strawberry.field(description="Year and month as 202701.")
    points: Points = strawberry.field(description="How many points.")
    value: Money = strawberry.field(description="What they are worth when redeemed.")


@strawberry.type(description="A partner's account of one period. It never changes once it is issued.")
class Statement:
    """A statement."""

    number: str = strawberry.field(description="Its number, unique for ever.")
    period: int = strawberry.field(description="The period's ordinal, from 1.")
    partner: strawberry.ID = strawberry.field(description="The partner's id.")
    partner_name: str = strawberry.field(description="What people called it then.")
    opening: Money = strawberry.field(description="What was left of earlier periods.")
    entries: list[StatementEntry] = strawberry.field(description="What happened in this period.")
    late: list[StatementEntry] = strawberry.field(
        description="What happened earlier and was booked in this one."
    )
    fee: Money = strawberry.field(description="The operator's fee, without tax.")
    vat: Money = strawberry.field(description="The tax on the fee.")
    breakage_share: Money = strawberry.field(
        description="The partner's part of what expired; it receives that."
    )
    charge: Money = strawberry.field(description="Entries and late items together.")
    due: Money = strawberry.field(description="Opening and charge together.")
    payable: Money = strawberry.field(description="The part of what is due that can be paid.")
    carried: Money = strawberry.field(description="What goes to the next period.")
    points: PointsRollForward = strawberry.field(description="The points it is obligor of.")
    ageing: list[StatementAge] = strawberry.field(description="What of them is still owed, oldest first.")
    cells_hash: str = strawberry.field(description="SHA-256 of the period's frozen cells, in hexadecimal.")


@strawberry.type(description="A page of statements, earliest first.")
class StatementConnection:
    """Statements by key."""

    nodes: list[Statement] = strawberry.field(description="The statements.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


StatementNumber = Annotated[str, strawberry.argument(description="Its number, such as 0001-0002.")]


async def statement_for(context: Context, number: str) -> Statement | None:
    """The statement of that number; None when there is none, or it is another partner's."""
    _check_reader(context)
    try:
        async with context.reading() as connection:
            known = await issued.find(connection, number)
    except StatementUnknown:
        return None
    own = context.known_caller.partner
    return statement_of(known) if own in {None, known.partner} else None


async def statements_for(
    context: Context, partner: int, *, first: int, after: str | None
) -> StatementConnection:
    """A page of what was issued to a partner that the caller may see."""
    _check_reader(context)
    size = page_size(first)
    cursor = read_id(after) if after is not None else ("Cursor", 0)
    if cursor is None or cursor[0] != "Cursor":
        raise InvalidInput("not a cursor", field=("after",))
    async with context.reading() as connection:
        known = await issued.statements(connection, partner=partner, after=cursor[1], most=size + 1)
    return StatementConnection(
        nodes=[statement_of(each) for each in known[:size]],
        page_info=PageInfo(
            has_next_page=len(known) > size,
            end_cursor=global_id("Cursor", known[:size][-1].period) if known else None,
        ),
    )


def _check_reader(context: Context) -> None:
    """A partner reads its own. Of the operator's side finance does, and not whoever may see partners."""
    if context.known_caller.partner is None:
        context.known_caller.require("settlement:read")


def sheet_of(known: KnownSheet, directory: Directory) -> Sheet:
    """A sheet as the schema has it."""
    currency, spared = known.currency, known.efficiency
    return Sheet(
        mode=_MODES[Mode(known.mode)],
        gross=money_of(known.gross_micro, currency),
        netting_efficiency=decimal_text(half_even(spared.numerator * MICRO, spared.denominator)),
        sum=money_of(known.sum_micro, currency),
        lines=[_line_of(line, currency, directory) for line in known.lines],
    )


def _line_of(known: KnownSheetLine, currency: str, directory: Directory) -> SheetLine:
    partner = directory.partners.get(known.partner)
    return SheetLine(
        partner=_party(known.partner),
        name=partner.name if partner else directory.programme.name,
        opening=money_of(known.opening_micro, currency),
        charge=money_of(known.charge_micro, currency),
        due=money_of(known.due_micro, currency),
        payable=money_of(known.payable_micro, currency),
        carried=money_of(known.carried_micro, currency),
    )


def statement_of(known: KnownStatement) -> Statement:
    """A statement as the schema has it."""
    currency: CurrencyCode = known.currency
    return Statement(
        number=known.number,
        period=known.period,
        partner=global_id("Partner", known.partner),
        partner_name=known.partner_name,
        opening=money_of(known.opening_micro, currency),
        entries=[_entry_of(each, currency) for each in known.entries],
        late=[_entry_of(each, currency) for each in known.late],
        fee=money_of(known.fee_micro, currency),
        vat=money_of(known.vat_micro, currency),
        breakage_share=money_of(known.breakage_share_micro, currency),
        charge=money_of(known.charge_micro, currency),
        due=money_of(known.due_micro, currency),
        payable=money_of(known.payable_micro, currency),
        carried=money_of(known.carried_micro, currency),
        points=PointsRollForward(
            opening=known.points.opening,
            issued=known.points.issued,
            clawed_back=known.points.clawed_back,
            redeemed=known.points.redeemed,
            recovered=known.points.recovered,
            expired=known.points.expired,
            adjusted=known.points.adjusted,
            novated=known.points.novated,
            brought=known.points.brought,
            transferred=known.points.transferred,
            closing=known.points.closing,
        ),
        ageing=[
            StatementAge(
                issue_month=age.issue_month,
                expiry_month=age.expiry_month,
                points=age.points,
                value=money_of(age.value_micro, currency),
            )
            for age in known.ageing
        ],
        cells_hash=known.cells_hash,
    )


def _entry_of(known: KnownEntry, currency: str) -> StatementEntry:
    return StatementEntry(
        purpose=known.purpose,
        operation=known.operation,
        issuer=_party(known.issuer),
        obligor=_party(known.obligor),
        redeemer=_party(known.redeemer),
        origin_period=known.origin_period,
        points=known.points,
        price=None if known.price_micro is None else decimal_text(known.price_micro),
        rate=None if known.rate_ppm is None else decimal_text(known.rate_ppm),
        money=money_of(known.micro, currency),
    )


def _party(partner: int) -> strawberry.ID | None:
    return None if partner == OPERATOR else global_id("Partner", partner)


_MODES = {
    Mode.MULTILATERAL: NettingMode.MULTILATERAL,
    Mode.BILATERAL: NettingMode.BILATERAL,
    Mode.GROSS: NettingMode.GROSS,
}
