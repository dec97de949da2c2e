"""What staff does on a member's wallet by itself: freezing, grants of the operator, donations."""

from __future__ import annotations

import strawberry

from gateway.context import Context, Info
from ledger.kernel.ids import OPERATOR
from partners import (
    DonationRequest,
    GrantRequest,
    Tariff,
    donate_points,
    freeze_member,
    grant_points,
    known_tariff,
    make_tariff,
    unfreeze_member,
)

from .access import mutation
from .directory import known_number
from .partner import OperationPayload, payload_of
from .presence import identify
from .receipt import MemberInput
from .requests import KEY
from .scalars import Points

REASON = "Why; 1 to 200 characters on one line, kept with the operation."


@strawberry.input(description="A member who is to be frozen, or let go on.")
class FreezeInput:
    """A freeze, or the end of one, as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    member: MemberInput = strawberry.field(description="The member.")
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="Points that the operator gives at its own cost.")
class GrantPointsInput:
    """A grant as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    member: MemberInput = strawberry.field(description="Who is given them.")
    points: Points = strawberry.field(description="How many; available at once.")
    partner: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The partner who is shown as giving them; the operator itself, if left out.",
    )
    lifetime_days: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="Days until they expire; as the programme's defaults have it, if left out.",
    )
    reason: str = strawberry.field(description=REASON)


@strawberry.input(description="Points that a member gives to a charity.")
class DonatePointsInput:
    """A donation as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    member: MemberInput = strawberry.field(description="Who gives them.")
    charity: strawberry.ID = strawberry.field(description="A partner whose agreement says it is a charity.")
    points: Points = strawberry.field(description="How many.")
    reason: str = strawberry.field(description=REASON)


@strawberry.type
class SupportMutation:
    """What staff does for a member, or against one."""

    @mutation(
        "members:freeze",
        payload=OperationPayload,
        description="Keep a member from earning and spending. What is held already may still be captured.",
        looks_up=True,
    )
    async def freeze_member(self, info: Info, input: FreezeInput) -> OperationPayload:  # noqa: A002
        """Freeze a wallet."""
        context = info.context
        member = (await identify(context, input.member)).member
        answer = await freeze_member(
            context.services.ledger,
            member=member,
            key=input.idempotency_key,
            reason=input.reason,
            by=context.known_caller.principal,
            at=context.now,
        )
        return payload_of(answer)

    @mutation(
        "members:freeze",
        payload=OperationPayload,
        description="Let a frozen member earn and spend again.",
        looks_up=True,
    )
    async def unfreeze_member(self, info: Info, input: FreezeInput) -> OperationPayload:  # noqa: A002
        """Let a wallet go on."""
        context = info.context
        member = (await identify(context, input.member)).member
        answer = await unfreeze_member(
            context.services.ledger,
            member=member,
            key=input.idempotency_key,
            reason=input.reason,
            by=context.known_caller.principal,
            at=context.now,
        )
        return payload_of(answer)

    @mutation(
        "points:grant",
        payload=OperationPayload,
        description="Give a member points that the operator pays for, whoever is shown as giving them.",
        looks_up=True,
    )
    async def grant_points(self, info: Info, input: GrantPointsInput) -> OperationPayload:  # noqa: A002
        """Grant points."""
        context = info.context
        request = GrantRequest(
            key=input.idempotency_key,
            member=(await identify(context, input.member)).member,
            points=input.points,
            reason=input.reason,
            partner=OPERATOR if input.partner is None else known_number(input.partner),
            lifetime_days=input.lifetime_days,
        )
        answer = await grant_points(
            context.services.ledger,
            context.directory,
            await operators_tariff(context),
            request,
            by=context.known_caller.principal,
            at=context.now,
        )
        return payload_of(answer)

    @mutation(
        "points:donate",
        payload=OperationPayload,
        description="Give points to a charity at a member's word. It is settled as a burn there.",
        looks_up=True,
    )
    async def donate_points(self, info: Info, input: DonatePointsInput) -> OperationPayload:  # noqa: A002
        """Donate points."""
        context = info.context
        request = DonationRequest(
            key=input.idempotency_key,
            member=(await identify(context, input.member)).member,
            charity=known_number(input.charity),
            points=input.points,
            reason=input.reason,
        )
        answer = await donate_points(
            context.services.ledger,
            context.directory,
            request,
            by=context.known_caller.principal,
            at=context.now,
        )
        return payload_of(answer)


async def operators_tariff(context: Context) -> Tariff:
    """What the operator's own points cost it by today's defaults; made the first time it is needed."""
    known = known_tariff(context.directory)
    if known is not None:
        return known
    services, by = context.services, context.known_caller.principal
    async with services.database.writer.begin() as connection:
        made = await make_tariff(connection, context.directory.programme, at=context.now, by=by)
    await services.directories.reload()
    return made
