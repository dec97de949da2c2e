"""What takes things back: the return of a purchase, and the reversal of a mistake."""

from __future__ import annotations

import strawberry

from gateway.context import Info
from partners import Place, ReturnRequest, ReverseRequest, read_lines
from partners import return_purchase as take_back
from partners import reverse as undo
from partners import reverse_for_operator as undo_for_operator

from .access import mutation
from .directory import MANAGE
from .node import number_of
from .operation import KIND
from .partner import OperationPayload, payload_of
from .requests import KEY
from .scalars import DateTime, Decimal

RETURN = "return"


@strawberry.input(description="A receipt by its name.")
class ReceiptNameInput:
    """Where a purchase is found again."""

    outlet: str = strawberry.field(description="The code of the outlet.")
    terminal: str = strawberry.field(description="The till within the outlet.")
    number: str = strawberry.field(description="The receipt's number at that terminal.")


@strawberry.input(one_of=True, description="A purchase, by exactly one of these.")
class PurchaseInput:
    """What goods come back of."""

    operation: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="Any earn, burn, hold or capture of its receipt."
    )
    receipt: ReceiptNameInput | None = strawberry.field(
        default=strawberry.UNSET, description="Its receipt, in any outlet of the partner."
    )


@strawberry.input(description="A line of the original receipt that comes back.")
class LineReturnedInput:
    """How much of a line comes back."""

    line: int = strawberry.field(description="The position of the line in the original receipt, from 0.")
    quantity: Decimal = strawberry.field(
        description="Pieces or kilograms, more than 0, with at most three decimals."
    )


@strawberry.input(description="The receipt of a return.")
class ReturnReceiptInput:
    """Where and when goods come back."""

    outlet: str = strawberry.field(description="The code of the outlet that takes the goods back.")
    terminal: str = strawberry.field(description="The till within the outlet; 1 to 200 characters.")
    number: str = strawberry.field(
        description="The number of the return's own receipt at that terminal; 1 to 200 characters."
    )
    occurred_at: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="When the goods came back; now, if left out."
    )


@strawberry.input(description="Goods that come back.")
class ReturnPurchaseInput:
    """A return as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    purchase: PurchaseInput = strawberry.field(description="What was bought.")
    receipt: ReturnReceiptInput = strawberry.field(description="The return's own receipt.")
    lines: list[LineReturnedInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description="What comes back of it, at most 500 lines; everything that is left, if left out.",
    )


@strawberry.input(description="An operation that was posted by mistake.")
class ReverseInput:
    """A reversal as it is sent."""

    idempotency_key: str = strawberry.field(description=KEY)
    operation: strawberry.ID = strawberry.field(
        description="An earn, a burn, a hold, or the only capture of one."
    )
    reason: str = strawberry.field(
        description="Why, for those who read the books; 1 to 200 characters, naming nobody."
    )


@strawberry.type
class ReturnMutation:
    """What takes things back."""

    @mutation(
        RETURN,
        payload=OperationPayload,
        description="Take goods back: restore the points that paid for them, take back those they earned.",
    )
    async def return_purchase(self, info: Info, input: ReturnPurchaseInput) -> OperationPayload:  # noqa: A002
        """Post a return."""
        context = info.context
        answer = await take_back(
            context.services.ledger, context.directory, context.till, return_request(input), at=context.now
        )
        return payload_of(answer)

    @mutation(
        RETURN,
        MANAGE,
        payload=OperationPayload,
        description="Undo an operation that was posted by mistake, whole and once.",
    )
    async def reverse(self, info: Info, input: ReverseInput) -> OperationPayload:  # noqa: A002
        """Post a reversal."""
        context, caller = info.context, info.context.known_caller
        ledger, request = context.services.ledger, reverse_request(input)
        if caller.partner is None:
            answer = await undo_for_operator(
                ledger, context.directory, caller.principal, request, at=context.now
            )
        else:
            answer = await undo(ledger, context.directory, context.till, request, at=context.now)
        return payload_of(answer)


def return_request(given: ReturnPurchaseInput) -> ReturnRequest:
    """A return in the words of the partners' room. Raises `InvalidInput`."""
    purchase, receipt = given.purchase, given.receipt
    named = purchase.receipt
    return ReturnRequest(
        key=given.idempotency_key,
        operation=None
        if purchase.operation is None
        else number_of(purchase.operation, KIND, field="purchase"),
        purchase=None
        if named is None
        else Place(outlet=named.outlet, terminal=named.terminal, number=named.number),
        lines=None if given.lines is None else read_lines(given.lines),
        receipt=Place(outlet=receipt.outlet, terminal=receipt.terminal, number=receipt.number),
        occurred_at=receipt.occurred_at,
    )


def reverse_request(given: ReverseInput) -> ReverseRequest:
    """A reversal in the words of the partners' room. Raises `InvalidInput`."""
    return ReverseRequest(
        key=given.idempotency_key,
        operation=number_of(given.operation, KIND, field="operation"),
        reason=given.reason,
    )
