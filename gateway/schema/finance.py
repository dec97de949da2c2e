"""What finance asks for: periods, what each partner pays or receives, statements, and the proof."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final

import strawberry

from gateway.context import Context, Info
from settlement import Period as KnownPeriod
from settlement import PeriodUnknown, Reached, advance, audits, issued
from settlement import periods as known_periods

from .access import computed, mutation, query
from .errors import UserError
from .evidence import Seal, seal_for
from .node import After, First, Node, PageInfo, global_id, page_size, read_id
from .scalars import Count, DateTime
from .statement import Sheet, Statement, StatementNumber, sheet_of, statement_for, statement_of

READ: Final = "settlement:read"

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


@strawberry.type(description="A stage that a period has reached.")
class StageReached:
    """A transition."""

    stage: Stage = strawberry.field(description="The stage.")
    at: DateTime = strawberry.field(description="When, in programme time.")
    by: str = strawberry.field(description="Who brought it there.")


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
        return None if sheet is None else sheet_of(sheet, info.context.directory)

    @computed("Its seal, which vouches for everything it wrote; null before every bucket has left it.")
    async def seal(self, info: Info) -> Seal | None:
        """The signed root."""
        async with info.context.services.database.writer.connect() as connection:
            return await seal_for(connection, self.ordinal)

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
        return [statement_of(each) for each in known]


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
    findings: list[Finding] = strawberry.field(
        description="What breaks an invariant, at most five of each in each bucket."
    )
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
            rest = await known_periods.periods(connection, at=context.now, after=start, most=size + 1)
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
        "partner:read",
        READ,
        description="A statement by its number: a partner's own, or any with the scope `settlement:read`; "
        "null when there is none that the caller may see.",
    )
    async def statement(self, info: Info, number: StatementNumber) -> Statement | None:
        """A statement as it was issued."""
        return await statement_for(info.context, number)

    @query(
        "proof:read",
        description="Run every invariant over the whole ledger, in one snapshot. "
        "A bucket in which one does not hold is read-only from then on, until a person lifts that.",
        price=1_000,
    )
    async def proof(self, info: Info) -> Proof:
        """Prove."""
        async with info.context.proving():
            found = (await audits.audit(info.context.services.database, at=info.context.now)).proof
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
