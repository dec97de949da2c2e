"""What a partner's till asks for: quote, earn, burn, and what has become of an operation."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Context, Info
from ledger import Recorded, records
from partners import (
    Answer,
    QuoteRequest,
)
from partners import authorize_burn as hold_points
from partners import burn as burn_points
from partners import capture_burn as capture_points
from partners import earn as earn_points
from partners import quote as quote_receipt
from partners import void_burn as void_points

from .access import mutation, query
from .errors import UserError, user_error
from .money import Money, money_of
from .node import Id, read_id
from .operation import (
    KIND,
    Explanation,
    LineOutcome,
    Operation,
    explanations,
    line_outcomes,
    operation_of,
    recorded_operation,
)
from .presence import identify
from .receipt import receipt_of
from .requests import (
    AuthorizeBurnInput,
    BurnInput,
    CaptureBurnInput,
    EarnInput,
    QuoteInput,
    VoidBurnInput,
    authorize_request,
    burn_request,
    capture_request,
    earn_request,
    void_request,
)
from .scalars import DateTime, Points


@strawberry.enum(description="What keeps a burn from being larger.")
class CapName(Enum):
    """The limits, in the words of the API."""

    BALANCE = strawberry.enum_value("BALANCE", description="The points that the member has.")
    PERCENT = strawberry.enum_value("PERCENT", description="A share of the price.")
    MONEY_FLOOR = strawberry.enum_value("MONEY_FLOOR", description="What has to be paid in money.")
    EXCLUDED_LINES = strawberry.enum_value("EXCLUDED_LINES", description="Lines that points do not pay for.")
    AGREEMENT = strawberry.enum_value("AGREEMENT", description="A limit of the agreement on one receipt.")
    STEP = strawberry.enum_value("STEP", description="Points are taken in steps.")


@strawberry.type(description="One limit on a burn.")
class Cap:
    """A limit and the reason for it."""

    name: CapName = strawberry.field(description="Which limit it is.")
    points: Points = strawberry.field(description="The most points that it allows.")
    text: str = strawberry.field(description="Why, in plain words.")


@strawberry.type(
    description="What a purchase would earn and how much of it points may pay, promised for a while."
)
class Quote:
    """A quote as it is answered."""

    token: str = strawberry.field(description="Give this to `earn` or `burn` to have these terms kept.")
    expires_at: DateTime = strawberry.field(description="Until when they are kept, in programme time.")
    points_to_earn: Points = strawberry.field(description="Points that the purchase earns as it stands.")
    most_points: Points = strawberry.field(description="The most points that may pay for it.")
    most_money: Money = strawberry.field(description="What these points take off the price.")
    cap: Cap = strawberry.field(description="The limit that decides `mostPoints`.")
    caps: list[Cap] = strawberry.field(description="Every limit that was looked at.")
    lines: list[LineOutcome] = strawberry.field(
        description="The split over the lines, if the most is burned."
    )
    explanation: list[Explanation] = strawberry.field(
        description="Each rule applied or refused, in plain words."
    )


@strawberry.type(description="The answer to a quote.")
class QuotePayload:
    """A quote, or why there is none."""

    quote: Quote | None = strawberry.field(default=None, description="The quote; null when it was refused.")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")


@strawberry.type(description="The answer to a request that moves points.")
class OperationPayload:
    """An operation, or why there is none."""

    operation: Operation | None = strawberry.field(
        default=None, description="What was recorded; null when it was refused."
    )
    replayed: bool = strawberry.field(
        default=False, description="True when the idempotency key was answered before; this is that answer."
    )
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")


def payload_of(answer: Answer) -> OperationPayload:
    """An answer of the partners' room: what was recorded, or the refusal."""
    outcome = answer.outcome
    if outcome.refused is not None:
        return OperationPayload(replayed=outcome.replayed, user_errors=[user_error(outcome.refused)])
    return OperationPayload(operation=operation_of(answer), replayed=outcome.replayed, user_errors=[])


@strawberry.type
class TillMutation:
    """What moves points."""

    @mutation(
        "quote",
        payload=QuotePayload,
        description="Say what a purchase would earn, how many points may pay for it, and why. Posts nothing.",
        price=5,
    )
    async def quote(self, info: Info, input: QuoteInput) -> QuotePayload:  # noqa: A002  # the published name
        """Quote a basket."""
        context = info.context
        presence = await identify(context, input.member)
        request = QuoteRequest(member=presence.member, receipt=receipt_of(context, input.receipt))
        services = context.services
        quoted = await quote_receipt(
            services.ledger, context.directory, services.quotes, context.till, request, at=context.now
        )
        currency = request.receipt.currency
        caps = [Cap(name=CapName(cap.name.upper()), points=cap.points, text=cap.text) for cap in quoted.caps]
        return QuotePayload(
            quote=Quote(
                token=quoted.token,
                expires_at=quoted.expires_at,
                points_to_earn=quoted.earn_points,
                most_points=quoted.most_points,
                most_money=money_of(quoted.most_money_micro, currency),
                cap=caps[quoted.caps.index(quoted.cap)],
                caps=caps,
                lines=line_outcomes(quoted.lines, currency),
                explanation=explanations(quoted.rulings),
            ),
            user_errors=[],
        )

    @mutation(
        "earn",
        payload=OperationPayload,
        description="Give the points that a purchase earns. The server computes how many.",
    )
    async def earn(self, info: Info, input: EarnInput) -> OperationPayload:  # noqa: A002  # the published name
        """Post a receipt."""
        context, services = info.context, info.context.services
        presence = await identify(context, input.member)
        request = earn_request(context, input, presence)
        answer = await earn_points(
            services.ledger, context.directory, services.quotes, context.till, request, at=context.now
        )
        return payload_of(answer)

    @mutation(
        "burn",
        payload=OperationPayload,
        description="Hold points for a purchase under way, until they are captured, voided, or time is up.",
        burns=True,
    )
    async def authorize_burn(self, info: Info, input: AuthorizeBurnInput) -> OperationPayload:  # noqa: A002
        """Hold points."""
        context, services = info.context, info.context.services
        presence = await identify(context, input.member)
        request = authorize_request(context, input, presence)
        answer = await hold_points(
            services.ledger, context.directory, services.quotes, context.till, request, at=context.now
        )
        return payload_of(answer)

    @mutation(
        "burn",
        payload=OperationPayload,
        description="Redeem held points, all or a part; several times until the hold is empty or `final`.",
    )
    async def capture_burn(self, info: Info, input: CaptureBurnInput) -> OperationPayload:  # noqa: A002
        """Redeem a hold."""
        context = info.context
        answer = await capture_points(
            context.services.ledger, context.directory, context.till, capture_request(input), at=context.now
        )
        return payload_of(answer)

    @mutation("burn", payload=OperationPayload, description="Give back what is left of a hold.")
    async def void_burn(self, info: Info, input: VoidBurnInput) -> OperationPayload:  # noqa: A002
        """Undo a hold."""
        context = info.context
        answer = await void_points(context.services.ledger, context.till, void_request(input), at=context.now)
        return payload_of(answer)

    @mutation(
        "burn",
        payload=OperationPayload,
        description="Pay for part of a purchase with points, at once: authorise and capture in one.",
        burns=True,
    )
    async def burn(self, info: Info, input: BurnInput) -> OperationPayload:  # noqa: A002
        """Redeem points."""
        context, services = info.context, info.context.services
        presence = await identify(context, input.member)
        request = burn_request(context, input, presence)
        answer = await burn_points(
            services.ledger, context.directory, services.quotes, context.till, request, at=context.now
        )
        return payload_of(answer)


Key = Annotated[str, strawberry.argument(description="The idempotency key that the request was sent with.")]

OWN_OPERATIONS = ("earn", "burn", "quote", "return", "partner:read", "settlement:read")


@strawberry.type
class TillQuery:
    """What has become of an operation."""

    @query(
        *OWN_OPERATIONS, description="A recorded operation by its id; null when there is none of one's own."
    )
    async def operation(self, info: Info, id: Id) -> Operation | None:  # noqa: A002
        """An operation that the caller may see."""
        found = read_id(id)
        if found is None or found[0] != KIND:
            return None
        return await operation_for(info.context, found[1])

    @query(
        *OWN_OPERATIONS,
        description="What was recorded under an idempotency key of one's own, oldest first: settles an "
        "unknown outcome. Usually one; the same key sent for several members may have made several.",
    )
    async def operations(self, info: Info, key: Key) -> list[Operation]:
        """None, or one of each bucket whose members the key was sent for."""
        context = info.context
        async with context.reading() as connection:
            found = await records.operations_by_key(connection, context.known_caller.principal, key)
            return [recorded_operation(each) for each in found if await _may_see(context, connection, each)]


async def operation_for(context: Context, number: int) -> Operation | None:
    """The operation, unless it is another partner's, or of an outlet that the client may not use."""
    async with context.reading() as connection:
        recorded = await records.operation(connection, number)
        if recorded is None or not await _may_see(context, connection, recorded):
            return None
    return recorded_operation(recorded)


async def _may_see(context: Context, connection: AsyncConnection, recorded: Recorded) -> bool:
    caller = context.known_caller
    if caller.partner is None:
        return True
    if recorded.partner != caller.partner:
        return False
    return caller.outlets is None or await records.outlet_of(connection, recorded) in caller.outlets
