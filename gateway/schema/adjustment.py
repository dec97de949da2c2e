"""Adjustments: proposed by one of staff, approved by another, and who took part in a period's."""

from __future__ import annotations

import binascii
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Context, Info
from ledger.kernel.ids import OPERATOR
from ledger.kernel.refusals import InvalidInput
from partners import Adjustment as KnownAdjustment
from partners import AdjustmentReason as KnownReason
from partners import Proposal
from partners import adjustments as known_adjustments

from .access import mutation, query
from .directory import known_number
from .errors import UserError
from .finance import READ as READ_SETTLEMENT
from .node import After, First, PageInfo, global_id, number_of, page_size, read_id
from .operation import KIND
from .presence import identify
from .receipt import MemberInput
from .requests import KEY
from .scalars import DateTime, Points
from .support import operators_tariff
from .writes import ERRORS, REPLAYED, Write

Waiting = Annotated[bool, strawberry.argument(description="Give only those that nobody has approved yet.")]
OfPeriod = Annotated[int, strawberry.argument(description="The period's number, from 1.")]


@strawberry.enum(description="Why points are corrected by hand. Each reason has an account of its own.")
class AdjustmentReason(Enum):
    """The reasons there are."""

    CORRECTION = strawberry.enum_value("CORRECTION", description="Something was booked wrongly.")
    MISSING_POINTS = strawberry.enum_value("MISSING_POINTS", description="A purchase was not credited.")
    GOODWILL = strawberry.enum_value("GOODWILL", description="To make up for something.")
    FRAUD = strawberry.enum_value("FRAUD", description="Points were got by deceit.")
    TECHNICAL = strawberry.enum_value("TECHNICAL", description="A system failed.")


@strawberry.enum(description="What has become of an adjustment.")
class AdjustmentState(Enum):
    """From proposal to posting."""

    PROPOSED = strawberry.enum_value("PROPOSED", description="It waits for somebody else's approval.")
    EXPIRED = strawberry.enum_value("EXPIRED", description="Nobody approved it in time.")
    APPROVED = strawberry.enum_value("APPROVED", description="It is approved and about to be posted.")
    POSTED = strawberry.enum_value("POSTED", description="The points have moved.")
    REFUSED = strawberry.enum_value("REFUSED", description="It was approved, and the ledger said no.")


@strawberry.type(description="Points corrected by hand: a proposal, and what became of it.")
class Adjustment:
    """An adjustment as staff sees it."""

    id: strawberry.ID = strawberry.field(description="The adjustment's id.")
    digest: str = strawberry.field(
        description="SHA-256 over what is proposed, in hexadecimal: `approveAdjustment` wants it back."
    )
    state: AdjustmentState = strawberry.field(description="What has become of it.")
    member: str = strawberry.field(description="The member's handle.")
    points: Points = strawberry.field(description="Points given; below zero, taken.")
    obligor: strawberry.ID | None = strawberry.field(
        description="The partner who pays for them or gets their value back; null for the operator."
    )
    reason: AdjustmentReason = strawberry.field(description="Why.")
    text: str = strawberry.field(description="Why, in words.")
    proposed_at: DateTime = strawberry.field(description="When it was proposed, in programme time.")
    proposed_by: str = strawberry.field(description="Who proposed it.")
    lapses_at: DateTime = strawberry.field(description="Until when it can be approved.")
    approved_at: DateTime | None = strawberry.field(description="When it was approved; null before.")
    approved_by: str | None = strawberry.field(description="Who approved it; null before.")
    operation: strawberry.ID | None = strawberry.field(
        description="The operation that moved the points; null before."
    )
    refusal: str | None = strawberry.field(description="The ledger's code of its refusal; else null.")


@strawberry.type(description="A page of adjustments, newest first.")
class AdjustmentConnection:
    """Adjustments by key."""

    nodes: list[Adjustment] = strawberry.field(description="The adjustments.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")


@strawberry.input(description="A correction of a member's points, for somebody else to approve.")
class AdjustInput:
    """A proposal as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    member: MemberInput = strawberry.field(description="Whose points they are.")
    points: Points = strawberry.field(
        description="Points to give; below zero, to take. What is taken never exceeds what there is."
    )
    obligor: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The partner who pays for them, or whose points are taken; the operator, if left out. "
        "Suspended, it pays for none.",
    )
    reason: AdjustmentReason = strawberry.field(description="Why.")
    text: str = strawberry.field(description="Why, in words; 1 to 1,000 characters on one line.")


@strawberry.input(description="The approval of exactly what was proposed.")
class ApproveAdjustmentInput:
    """An approval as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    adjustment: strawberry.ID = strawberry.field(description="The adjustment.")
    digest: str = strawberry.field(description="Its `digest`, as the approver saw it.")


@strawberry.type(description="The answer to a proposal or an approval.")
class AdjustmentPayload:
    """An adjustment, or why there is none."""

    adjustment: Adjustment | None = strawberry.field(
        default=None, description="The adjustment; null when refused."
    )
    replayed: bool = strawberry.field(default=False, description=REPLAYED)
    user_errors: list[UserError] = strawberry.field(description=ERRORS)


@strawberry.type
class AdjustmentMutation:
    """Two people correct points."""

    @mutation(
        "points:adjust",
        payload=AdjustmentPayload,
        description="Propose to correct a member's points by hand. Nothing moves before it is approved.",
        looks_up=True,
    )
    async def adjust(self, info: Info, input: AdjustInput) -> AdjustmentPayload:  # noqa: A002
        """Propose."""
        context = info.context
        proposal = Proposal(
            member=(await identify(context, input.member)).member,
            points=input.points,
            obligor=OPERATOR if input.obligor is None else known_number(input.obligor),
            reason=KnownReason[input.reason.name],
            text=input.text,
        )
        by, tariff = context.known_caller.principal, await _tariff_of(context, proposal.obligor)

        async def act(connection: AsyncConnection, at: datetime) -> KnownAdjustment:
            return await known_adjustments.propose(
                connection, context.directory, proposal, tariff=tariff, by=by, at=at
            )

        write = Write(context, "adjust", input.idempotency_key, proposal)
        answered = await write.do(act, KnownAdjustment)
        shown = adjustment_of(context, answered.answer)
        return AdjustmentPayload(adjustment=shown, replayed=answered.replayed, user_errors=[])

    @mutation(
        "points:approve",
        payload=AdjustmentPayload,
        description="Approve an adjustment that somebody else proposed: the points move.",
    )
    async def approve_adjustment(self, info: Info, input: ApproveAdjustmentInput) -> AdjustmentPayload:  # noqa: A002
        """Approve and post."""
        context = info.context
        number = number_of(input.adjustment, "Adjustment", field="adjustment")
        by, digest = context.known_caller.principal, _read_digest(input.digest)

        async def act(connection: AsyncConnection, at: datetime) -> KnownAdjustment:
            return await known_adjustments.approve(connection, number, digest=digest, by=by, at=at)

        write = Write(context, "approveAdjustment", input.idempotency_key, (number, digest))
        answered = await write.do(act, KnownAdjustment)
        services = context.services
        posted = await known_adjustments.post(
            services.database, services.ledger, context.directory, answered.answer, at=context.now
        )
        shown = adjustment_of(context, posted)
        return AdjustmentPayload(adjustment=shown, replayed=answered.replayed, user_errors=[])


@strawberry.type
class AdjustmentQuery:
    """What was proposed, and by whom."""

    @query(
        "points:adjust",
        "points:approve",
        READ_SETTLEMENT,
        description="Adjustments, newest first.",
    )
    async def adjustments(
        self, info: Info, first: First = 20, after: After = None, waiting: Waiting = False
    ) -> AdjustmentConnection:
        """A page of adjustments."""
        context, size = info.context, page_size(first)
        before = None
        if after is not None:
            cursor = read_id(after)
            if cursor is None or cursor[0] != "Cursor":
                raise InvalidInput("not a cursor", field=("after",))
            before = cursor[1]
        async with context.services.database.writer.connect() as connection:
            found = await known_adjustments.page(connection, before=before, first=size + 1, waiting=waiting)
        shown = found[:size]
        return AdjustmentConnection(
            nodes=[adjustment_of(context, each) for each in shown],
            page_info=PageInfo(
                has_next_page=len(found) > size,
                end_cursor=global_id("Cursor", shown[-1].id) if shown else None,
            ),
        )

    @query(
        READ_SETTLEMENT,
        description="Who proposed or approved adjustments booked in a period: none of them may approve it.",
    )
    async def adjusters(self, info: Info, period: OfPeriod) -> list[str]:
        """Who is not independent of a period's figures."""
        async with info.context.services.database.writer.connect() as connection:
            return sorted(await known_adjustments.adjusters(connection, period))


def adjustment_of(context: Context, known: KnownAdjustment) -> Adjustment:
    """An adjustment as the schema has it."""
    return Adjustment(
        id=global_id("Adjustment", known.id),
        digest=known.digest.hex(),
        state=_state(known, context.now),
        member=context.services.handles.seal(context.namer, known.member),
        points=known.points,
        obligor=None if known.obligor == OPERATOR else global_id("Partner", known.obligor),
        reason=AdjustmentReason[known.reason.name],
        text=known.text,
        proposed_at=known.proposed_at,
        proposed_by=known.proposed_by,
        lapses_at=known.lapses_at,
        approved_at=known.approved_at,
        approved_by=known.approved_by,
        operation=None if known.operation is None else global_id(KIND, known.operation),
        refusal=known.refusal,
    )


def _state(known: KnownAdjustment, at: datetime) -> AdjustmentState:
    if known.operation is not None:
        return AdjustmentState.POSTED
    if known.refusal is not None:
        return AdjustmentState.REFUSED
    if known.approved_by is not None:
        return AdjustmentState.APPROVED
    return AdjustmentState.PROPOSED if at < known.lapses_at else AdjustmentState.EXPIRED


async def _tariff_of(context: Context, obligor: int) -> int:
    """The tariff that points given at an obligor's cost are priced by."""
    if obligor == OPERATOR:
        return (await operators_tariff(context)).id
    context.directory.partner(obligor)
    agreement = context.directory.agreement_at(obligor, context.now)
    if agreement is None:
        raise InvalidInput("this partner has no agreement yet", field=("obligor",))
    return agreement.tariff


def _read_digest(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except (ValueError, binascii.Error):
        raise InvalidInput("not a digest", field=("digest",)) from None
