"""Many operations of one till in one request, an outcome each."""

from __future__ import annotations

from collections.abc import Sequence

import strawberry

from gateway.context import Context, Info
from ledger.commands import Refused
from ledger.kernel.refusals import InvalidInput, Refusal
from partners import MAX_ITEMS, Request, post_batch

from .access import mutation
from .errors import UserError
from .partner import OperationPayload, payload_of
from .presence import Presence, identify_all
from .requests import (
    AuthorizeBurnInput,
    BurnInput,
    CaptureBurnInput,
    EarnInput,
    VoidBurnInput,
    authorize_request,
    burn_request,
    capture_request,
    earn_request,
    void_request,
)
from .returns import RETURN, ReturnPurchaseInput, ReverseInput, return_request, reverse_request


@strawberry.input(one_of=True, description="One operation of a batch, exactly one of these.")
class BatchItemInput:
    """What an item asks for."""

    earn: EarnInput | None = strawberry.field(default=strawberry.UNSET, description="As `earn` takes it.")
    authorize_burn: AuthorizeBurnInput | None = strawberry.field(
        default=strawberry.UNSET, description="As `authorizeBurn` takes it."
    )
    capture_burn: CaptureBurnInput | None = strawberry.field(
        default=strawberry.UNSET, description="As `captureBurn` takes it."
    )
    void_burn: VoidBurnInput | None = strawberry.field(
        default=strawberry.UNSET, description="As `voidBurn` takes it."
    )
    burn: BurnInput | None = strawberry.field(default=strawberry.UNSET, description="As `burn` takes it.")
    return_purchase: ReturnPurchaseInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="As `returnPurchase` takes it; the purchase was posted before the batch.",
    )
    reverse: ReverseInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="As `reverse` takes it; the operation was posted before the batch.",
    )


@strawberry.input(description="Operations to post together.")
class PostBatchInput:
    """A batch; each of its items has a key of its own."""

    items: list[BatchItemInput] = strawberry.field(
        description="At most 500; those of one member are posted in this order."
    )


@strawberry.type(description="The answer to a batch.")
class PostBatchPayload:
    """Outcomes, or why nothing was posted."""

    outcomes: list[OperationPayload] | None = strawberry.field(
        default=None,
        description="One for each item, in their order; null when the batch was refused as a whole.",
    )
    user_errors: list[UserError] = strawberry.field(
        description="Why the whole batch was refused; empty when it was not."
    )


@strawberry.type
class BatchMutation:
    """What moves points in bulk."""

    @mutation(
        "earn",
        "burn",
        RETURN,
        payload=PostBatchPayload,
        description="Post up to 500 operations, each with the outcome it would have alone. An item costs 1.",
        item_by_item=True,
    )
    async def post_batch(self, info: Info, input: PostBatchInput) -> PostBatchPayload:  # noqa: A002
        """Post a batch."""
        context, services = info.context, info.context.services
        _check_items(context, input.items)
        context.meter.charge(len(input.items))
        requests = await requests_of(context, input.items)
        answers = await post_batch(
            services.ledger, context.directory, services.quotes, context.till, requests, at=context.now
        )
        return PostBatchPayload(outcomes=[payload_of(answer) for answer in answers], user_errors=[])


def _check_items(context: Context, items: Sequence[BatchItemInput]) -> None:
    """A batch may hold what its caller may do alone."""
    if len(items) > MAX_ITEMS:
        raise InvalidInput(f"more than {MAX_ITEMS} items", field=("items",))
    for scope in sorted({_scope_of(item) for item in items}):
        context.known_caller.require(scope)


def _scope_of(item: BatchItemInput) -> str:
    if item.earn is not None:
        return "earn"
    return RETURN if item.return_purchase is not None or item.reverse is not None else "burn"


async def requests_of(context: Context, items: Sequence[BatchItemInput]) -> list[Request | Refused]:
    """The items in the words of the partners' room; a `Refused` for one that makes no sense."""
    named = [item.earn or item.burn or item.authorize_burn for item in items]
    known = iter(await identify_all(context, [each.member for each in named if each is not None]))
    presences = [None if each is None else next(known) for each in named]
    return [_request(context, item, presence) for item, presence in zip(items, presences, strict=True)]


def _request(
    context: Context, item: BatchItemInput, presence: Presence | Refused | None
) -> Request | Refused:
    if isinstance(presence, Refused):
        return presence
    try:
        if presence is None:
            return _on_posted(item)
        if item.earn is not None:
            return earn_request(context, item.earn, presence)
        if item.burn is not None:
            return burn_request(context, item.burn, presence)
        assert item.authorize_burn is not None, "only these three name a member"
        return authorize_request(context, item.authorize_burn, presence)
    except Refusal as refusal:
        return Refused.of(refusal)


def _on_posted(item: BatchItemInput) -> Request:
    """What names no member, but something posted before."""
    if item.capture_burn is not None:
        return capture_request(item.capture_burn)
    if item.return_purchase is not None:
        return return_request(item.return_purchase)
    if item.reverse is not None:
        return reverse_request(item.reverse)
    assert item.void_burn is not None, "an item is exactly one of its kinds"
    return void_request(item.void_burn)
