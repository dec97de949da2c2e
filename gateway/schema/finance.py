"""What finance asks for: periods, what each partner pays or receives, statements, and the proof."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final

import strawberry

from gateway.context import Context, Info
from ledger import proof as points_proof
from ledger.kernel.ids import OPERATOR
from ledger.kernel.rounding import half_even
from ledger.kernel.values import MICRO
from partners import Directory
from settlement import Entry as KnownEntry
from settlement import Mode, PeriodUnknown, Reached, advance, issued
from settlement import Period as KnownPeriod
from settlement import Sheet as KnownSheet
from settlement import SheetLine as KnownSheetLine
from settlement import Statement as KnownStatement
from settlement import periods as known_periods
from settlement import proof as money_proof

from .access import computed, mutation, query
from .errors import UserError
from .money import Money, decimal_text, money_of
from .node import After, First, Node, PageInfo, global_id, page_size, read_id
from .scalars import Count, CurrencyCode, DateTime, Decimal, Points

READ: Final = "settlement:read"

INVARIANTS: Final = (*points_proof.INVARIANTS, *money_proof.INVARIANTS)
"""Every room's list; whoever proves runs all of it."""


Ordinal = Annotated[int, strawberry.argument(description="The period's number, from 1.")]
OnlyPartner = Annotated[
    strawberry.ID | None, strawberry.argument(description="Give the statement of this partner only.")
]


@strawberry.enum(description="How far a period is on its way to settled. It is never led back.")
class Stage(Enum):
    """The stages in order."""

    OPEN = strawberry.enum_value("OPEN", description="Operations are booked in it, or it waits to be closed.")
    CUT_OFF = strawberry.enum_value("CUT_OFF", description="Nothing can be added to it any more.")
    FROZEN = strawberry.enum_value("FROZEN", description="Its cells are kept under a hash.")
    RECONCILING = strawberry.enum_value("RECONCILING", description="Its money is in the ledger.")
    PROPOSED = strawberry.enum_value("PROPOSED", description="Sheet and statements are drawn up.")
    APPROVED = strawberry.enum_value("APPROVED", description="It is approved by those who may.")
    INSTRUCTED = strawberry.enum_value("INSTRUCTED", description="The bank has been told to pay.")
    PARTIALLY_PAID = strawberry.enum_value("PARTIALLY_PAID", description="Some of it is paid.")
    SETTLED = strawberry.enum_value("SETTLED", description="All of it is paid.")


@strawberry.enum(description="How obligations are brought to fewer payments.")
class NettingMode(Enum):
    """The modes."""

    MULTILATERAL = strawberry.enum_value("MULTILATERAL", description="One amount for each partner.")
    BILATERAL = strawberry.enum_value("BILATERAL", description="One amount for each pair.")
    GROSS = strawberry.enum_value("GROSS", description="Every obligation is paid.")


@strawberry.type(description="A stage that a period has reached.")
class StageReached:
    """A transition."""

    stage: Stage = strawberry.field(description="The stage.")
    at: DateTime = strawberry.field(description="When, in programme time.")
    by: str = strawberry.field(description="Who brought it there.")


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


@strawberry.type(description="A local month: from its start up to, not including, its end.")
class Period(Node):
    """A period of settlement."""

    known: strawberry.Private[KnownPeriod]

    id: strawberry.ID = strawberry.field(description="The period's id.")
    ordinal: int = strawberry.field(description="Its number, from 1.")
    starts_at: DateTime = strawberry.field(description="Its first instant, in programme time.")
    ends_at: DateTime = strawberry.field(description="The first instant of the next one.")
    stage: Stage = strawberry.field(description="Where it stands.")
    history: list[StageReached] = strawberry.field(description="Every stage that it has reached, in order.")
    cells_hash: str | None = strawberry.field(
        description="SHA-256 of its frozen cells, in hexadecimal; null before it is frozen."
    )

    @computed("What everybody owes; null before it is proposed.")
    def sheet(self, info: Info) -> Sheet | None:
        """The sheet."""
        sheet = self.known.sheet
        return None if sheet is None else _sheet_of(sheet, info.context.directory)

    @computed("Its statements, one a partner; of one partner, if that is given.")
    async def statements(self, info: Info, partner: OnlyPartner = None) -> list[Statement]:
        """The accounts of the partners."""
        number = None
        if partner is not None:
            found = read_id(partner)
            if found is None or found[0] != "Partner":
                return []
            number = found[1]
        async with info.context.services.database.writer.connect() as connection:
            known = await issued.statements(connection, period=self.ordinal, partner=number)
        return [_statement_of(each) for each in known]


@strawberry.type(description="A page of periods, earliest first.")
class PeriodConnection:
    """Periods by key."""

    nodes: list[Period] = strawberry.field(description="The periods.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.input(description="A period that is over.")
class ClosePeriodInput:
    """A close as it is sent. Closing is its own key: what is closed already is not closed again."""

    period: int = strawberry.field(description="The period's ordinal, from 1.")


@strawberry.type(description="The answer to a close.")
class ClosePeriodPayload:
    """A period, or why it was not closed."""

    period: Period | None = strawberry.field(default=None, description="The period; null when refused.")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")


@strawberry.type(description="A claim about the whole ledger.")
class Invariant:
    """What is proved."""

    name: str = strawberry.field(description="Its name, the same for ever.")
    claim: str = strawberry.field(description="What holds, in plain words.")


@strawberry.type(description="A row that breaks an invariant.")
class Finding:
    """What must not be."""

    invariant: str = strawberry.field(description="The invariant's name.")
    bucket: int | None = strawberry.field(description="The bucket, 0 to 64; null where none is to blame.")
    row: str = strawberry.field(description="The row, in words.")


@strawberry.type(description="What a run of every invariant found, at one instant.")
class Proof:
    """The proof."""

    is_ok: bool = strawberry.field(description="Whether nothing was found.")
    checked: list[Invariant] = strawberry.field(description="What was looked at.")
    findings: list[Finding] = strawberry.field(description="What breaks an invariant, at most 20 of each.")
    operations: Count = strawberry.field(description="How many operations the ledger holds.")
    lines: Count = strawberry.field(description="How many lines it holds.")
    blocks: Count = strawberry.field(description="How many blocks chain them.")


@strawberry.type
class FinanceQuery:
    """Periods and the proof."""

    @query(READ, description="The periods that have begun, earliest first.")
    async def periods(self, info: Info, first: First = 20, after: After = None) -> PeriodConnection:
        """A page of periods."""
        context, size = info.context, page_size(first)
        cursor = read_id(after) if after is not None else ("Period", 0)
        start = cursor[1] if cursor is not None and cursor[0] == "Period" else 0
        async with context.services.database.writer.connect() as connection:
            known = await known_periods.periods(connection, at=context.now)
        rest = [each for each in known if each.ordinal > start]
        nodes = [period_of(each) for each in rest[:size]]
        end = nodes[-1].id if nodes else None
        return PeriodConnection(
            nodes=nodes, page_info=PageInfo(has_next_page=len(rest) > size, end_cursor=end)
        )

    @query(READ, description="One period by its ordinal; null when there is none.")
    async def period(self, info: Info, ordinal: Ordinal) -> Period | None:
        """A period."""
        return await period_for(info.context, ordinal)

    @query(
        "proof:read", description="Run every invariant over the whole ledger, in one snapshot.", price=1_000
    )
    async def proof(self, info: Info) -> Proof:
        """Prove."""
        found = await points_proof.prove(info.context.services.database.writer, INVARIANTS)
        return Proof(
            is_ok=found.is_ok,
            checked=[Invariant(name=each.name, claim=each.claim) for each in found.checked],
            findings=[
                Finding(invariant=each.invariant, bucket=each.bucket, row=each.row) for each in found.findings
            ],
            operations=found.operations,
            lines=found.lines,
            blocks=found.blocks,
        )


@strawberry.type
class FinanceMutation:
    """What moves a period."""

    @mutation(
        "settlement:close",
        payload=ClosePeriodPayload,
        description="Bring a period that is over to its proposal: sheet and statements. It stays closed.",
        price=100,
    )
    async def close_period(self, info: Info, input: ClosePeriodInput) -> ClosePeriodPayload:  # noqa: A002
        """Close."""
        context, services = info.context, info.context.services
        closed = await advance(
            services.database,
            services.ledger,
            input.period,
            at=context.now,
            by=context.known_caller.principal,
        )
        await services.directories.reload()
        return ClosePeriodPayload(period=period_of(closed), user_errors=[])


async def period_for(context: Context, ordinal: int) -> Period | None:
    """The period of that ordinal, None when the calendar has no such."""
    try:
        async with context.services.database.writer.connect() as connection:
            return period_of(await known_periods.period(connection, ordinal))
    except PeriodUnknown:
        return None


def period_of(known: KnownPeriod) -> Period:
    """A period as the schema has it."""
    return Period(
        known=known,
        id=global_id("Period", known.ordinal),
        ordinal=known.ordinal,
        starts_at=known.starts_at,
        ends_at=known.ends_at,
        stage=Stage(known.stage.value),
        history=[_reached(each) for each in known.history],
        cells_hash=known.hash.hex() if known.hash else None,
    )


def _reached(known: Reached) -> StageReached:
    return StageReached(stage=Stage(known.stage.value), at=known.at, by=known.by)


def _sheet_of(known: KnownSheet, directory: Directory) -> Sheet:
    currency, spared = known.currency, known.efficiency
    return Sheet(
        mode=_MODES[known.mode],
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


def _statement_of(known: KnownStatement) -> Statement:
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
        money=money_of(known.micro, currency),
    )


def _party(partner: int) -> strawberry.ID | None:
    return None if partner == OPERATOR else global_id("Partner", partner)


_MODES = {
    Mode.MULTILATERAL: NettingMode.MULTILATERAL,
    Mode.BILATERAL: NettingMode.BILATERAL,
    Mode.GROSS: NettingMode.GROSS,
}
