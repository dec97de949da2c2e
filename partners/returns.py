"""Returning: goods of a receipt come back, under the terms of their purchase."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from ledger import Ledger
from ledger.commands import LineReturned, ReceiptKey, Refused, ReturnPurchase
from ledger.kernel.ids import bucket_of
from ledger.kernel.refusals import InvalidInput, Refusal
from ledger.kernel.values import minor_digits
from ledger.outcomes import Returned
from ledger.records import Recorded
from ledger.refusals import OperationNotFound

from .amounts import quantity
from .answer import Answer, answer_of, unreadable
from .detail import Detail, encode_detail
from .digest import digest_of
from .directory import Directory
from .names import idempotency_key, name
from .receipts import MAX_LINES, Receipt, read_instant
from .rules import Ruling
from .terms import RefundOrder, Terms
from .till import AHEAD, AHEAD_OF_TIME, OUTLET_UNKNOWN, Till

REFUND_ORDER: Final = "refund_order"
CLAW_BACK: Final = "claw_back"


class ReceiptAmbiguous(Refusal):
    """Several members have operations under this receipt, so it names no one purchase."""

    code = "RECEIPT_AMBIGUOUS"

    def __init__(self) -> None:
        super().__init__(
            "more than one member has points on this receipt: name the operation",
            field=("purchase", "receipt"),
        )


class LineGiven(Protocol):
    """A line that comes back, as it is sent."""

    @property
    def line(self) -> int: ...  # noqa: D102 - described with the published input
    @property
    def quantity(self) -> str | Decimal: ...  # noqa: D102


class Place(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A receipt by its name: the outlet's code, the terminal, the number."""

    outlet: str
    terminal: str
    number: str


class ReturnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of a purchase that come back, all that is left when None.

    The purchase is named by `operation`, any of its operations, or by `purchase`, its receipt.
    `receipt` is the return's own, `occurred_at` when it was made (now, when None).
    """

    key: str
    operation: int | None = None
    purchase: Place | None = None
    lines: tuple[LineReturned, ...] | None = None
    receipt: Place
    occurred_at: datetime | None = None


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """The purchase that a request names: one of its operations, its member, and when it was bought.

    `terms` are those under which points paid for it.
    """

    operation: int
    member: int
    terms: int
    occurred_at: datetime


async def return_purchase(
    ledger: Ledger, directory: Directory, till: Till, request: ReturnRequest, *, at: datetime
) -> Answer:
    """Take goods back. Raises `InvalidInput` for a request that makes no sense, and `Throttled`."""
    (found,) = await recall(ledger, directory, till, [request])
    command = prepare_return(directory, till, request, found, at=at)
    if isinstance(command, Refused):
        return unreadable(command, at=at)
    return answer_of(await ledger.submit(command))


def read_lines(given: Sequence[LineGiven]) -> tuple[LineReturned, ...]:
    """Lines that come back, in thousandths. Raises `InvalidInput` with the path to what makes no sense."""
    lines = []
    for index, line in enumerate(given):
        try:
            milli = quantity(line.quantity, field="quantity")
        except InvalidInput as refusal:
            raise InvalidInput(refusal.message, field=("lines", str(index), *refusal.field)) from None
        lines.append(LineReturned(line=line.line, quantity_milli=milli))
    return tuple(lines)


async def recall(
    ledger: Ledger, directory: Directory, till: Till, requests: Sequence[ReturnRequest]
) -> list[Recalled | Refusal]:
    """The purchase of each request, a refusal where it is none of the partner's; two questions for all."""
    by_id = await _named(ledger, till, requests)
    receipts = {place: None for request in requests if (place := _place(directory, till, request, by_id))}
    posted = [each for each in await ledger.operations_of_receipts(receipts) if not each.refusal]
    found = [_recalled(directory, till, request, by_id, posted) for request in requests]
    return [
        await _answered(ledger, till, request, each) if isinstance(each, Refusal) else each
        for request, each in zip(requests, found, strict=True)
    ]


def prepare_return(
    directory: Directory, till: Till, request: ReturnRequest, found: Recalled | Refusal, *, at: datetime
) -> ReturnPurchase | Refused:
    """The ledger's command for a return, refused already when a rule says so. Pure."""
    key, lines = idempotency_key(request.key), _check_lines(request.lines)
    receipt, occurred_at = _check_place(request.receipt), read_instant(request.occurred_at)
    if isinstance(found, Refusal):
        return Refused.of(found)
    terms = directory.terms(found.terms)
    outlet = directory.outlet(till.partner, receipt.outlet)
    currency = directory.programme.currency
    when = occurred_at or at
    return ReturnPurchase(
        principal=till.principal,
        key=key,
        digest=digest_of(
            "return", request.operation, request.purchase, request.lines, receipt, request.occurred_at
        ),
        member=found.member,
        occurred_at=when,
        partner=till.partner,
        outlet=outlet.id if outlet else 0,
        terms=found.terms,
        detail=_detail(receipt, occurred_at, currency, terms.refund_order),
        refused=_refused(directory, till, receipt.outlet, when, found, terms, at),
        operation=found.operation,
        lines=lines,
        refund_order=terms.refund_order.value,
        minor_micro=int(10 ** (6 - minor_digits(currency))),
        receipt=ReceiptKey(outlet=outlet.id, terminal=receipt.terminal, number=receipt.number)
        if outlet
        else None,
    )


def explain(returned: Returned) -> tuple[Ruling, ...]:
    """What became of the points that the purchase had earned, in plain words."""
    total = returned.cancelled + returned.taken + returned.due
    if not total:
        text = "The goods had earned no points that were to be taken back."
        return (Ruling(rule=CLAW_BACK, applied=False, points=0, text=text),)
    parts = [
        f"{points} {what}"
        for points, what in (
            (returned.cancelled, "were still pending"),
            (returned.taken, "were available"),
            (returned.due, "are owed: points to come pay for them first"),
        )
        if points
    ]
    text = f"Of {total} points earned with the goods, {', '.join(parts)}."
    return (Ruling(rule=CLAW_BACK, applied=True, points=total, text=text),)


async def _named(ledger: Ledger, till: Till, requests: Sequence[ReturnRequest]) -> dict[int, Recorded]:
    """The operations that requests name, of captures and voids their authorisation; the partner's own."""
    ids = {request.operation for request in requests if request.operation is not None}
    found = await ledger.operations(ids)
    holds = await ledger.operations({each.reference for each in found.values() if each.reference})
    own = {id_: holds.get(each.reference, each) for id_, each in found.items()}
    return {id_: each for id_, each in own.items() if each.partner == till.partner}


def _place(
    directory: Directory, till: Till, request: ReturnRequest, by_id: dict[int, Recorded]
) -> tuple[int, int, str, str] | None:
    """Partner, outlet, terminal and number of the original receipt, if it can have one."""
    if request.operation is not None:
        named = by_id.get(request.operation)
        if named is None or not named.receipt:
            return None
        return named.partner, named.outlet, named.terminal, named.receipt
    assert request.purchase is not None, "a purchase is named in one of two ways"
    outlet = directory.outlet(till.partner, request.purchase.outlet)
    if outlet is None:
        return None
    return till.partner, outlet.id, request.purchase.terminal, request.purchase.number


def _recalled(
    directory: Directory,
    till: Till,
    request: ReturnRequest,
    by_id: dict[int, Recorded],
    posted: Sequence[Recorded],
) -> Recalled | Refusal:
    place = _place(directory, till, request, by_id)
    same = [each for each in posted if (each.partner, each.outlet, each.terminal, each.receipt) == place]
    if request.operation is not None:
        named = by_id.get(request.operation)
        if named is None:
            return OperationNotFound(("purchase", "operation"))
        same = [each for each in same if each.member == named.member] or [named]
        return _purchase(request.operation, same)
    if not same:
        return OperationNotFound(("purchase", "receipt"))
    if len({each.member for each in same}) > 1:
        return ReceiptAmbiguous()
    return _purchase(same[0].id, same)


async def _answered(
    ledger: Ledger, till: Till, request: ReturnRequest, refusal: Refusal
) -> Recalled | Refusal:
    """What was answered once stays answered: of a repeat the lane needs no more than the member."""
    first = _first_answer(request, await ledger.operations_by_key(till.principal, request.key))
    if first is None:
        return refusal
    return Recalled(operation=0, member=first.member, terms=first.terms, occurred_at=first.occurred_at)


def _first_answer(request: ReturnRequest, answered: Sequence[Recorded]) -> Recorded | None:
    """Of what was answered under its key, oldest first, that which the request repeats.

    A key has an operation in each bucket whose members it was sent for. A return is in the bucket of
    the operation that it names; of several that are named by receipts, it is the one with its own receipt.
    """
    if request.operation is not None:
        bucket = bucket_of(request.operation)
        return next((each for each in answered if bucket_of(each.id) == bucket), None)
    own = (request.receipt.terminal, request.receipt.number)
    return max(
        answered, key=lambda each: (each.kind == "return", (each.terminal, each.receipt) == own), default=None
    )


def _purchase(operation: int, same: Sequence[Recorded]) -> Recalled:
    """The terms are those under which points paid for it, since they say what is given back first."""
    paid = next((each for each in same if each.kind in ("burn", "authorize")), same[0])
    occurred_at = min(each.occurred_at for each in same)
    return Recalled(operation=operation, member=same[0].member, terms=paid.terms, occurred_at=occurred_at)


def _refused(
    directory: Directory,
    till: Till,
    outlet: str,
    when: datetime,
    found: Recalled,
    terms: Terms,
    at: datetime,
) -> Refused | None:
    """Why the counter does not take it. A suspended partner may still give back what it took."""
    known = directory.outlet(till.partner, outlet)
    if known is None or (till.outlets is not None and known.id not in till.outlets):
        return OUTLET_UNKNOWN
    if when > at + AHEAD:
        return AHEAD_OF_TIME
    if when < found.occurred_at - AHEAD:
        return BEFORE_PURCHASE
    if at - when > timedelta(days=terms.late_window_days):
        return Refused(
            code="LATE_WINDOW_PASSED",
            message=f"returns are taken until {terms.late_window_days} days after they were made",
            field=("receipt", "occurredAt"),
        )
    return None


BEFORE_PURCHASE: Final = Refused(
    code="OCCURRED_AT_OUT_OF_RANGE",
    message="the return is dated before its purchase",
    field=("receipt", "occurredAt"),
)


def _check_lines(lines: tuple[LineReturned, ...] | None) -> tuple[LineReturned, ...]:
    if lines is None:
        return ()
    if not lines:
        raise InvalidInput("no line comes back; leave the lines out to return everything", field=("lines",))
    if len(lines) > MAX_LINES:
        raise InvalidInput(f"more than {MAX_LINES} lines", field=("lines",))
    return lines


def _check_place(place: Place) -> Place:
    for text, field in ((place.terminal, "terminal"), (place.number, "number")):
        try:
            name(text, field=field)
        except InvalidInput as refusal:
            raise InvalidInput(refusal.message, field=("receipt", field)) from None
    return place


def _detail(receipt: Place, occurred_at: datetime | None, currency: str, order: RefundOrder) -> bytes:
    ruling = Ruling(rule=REFUND_ORDER, applied=True, points=0, text=_ORDERS[order])
    own = Receipt(
        outlet=receipt.outlet,
        terminal=receipt.terminal,
        number=receipt.number,
        currency=currency,
        lines=(),
        occurred_at=occurred_at,
    )
    return encode_detail(Detail(receipt=own, rulings=(ruling,), lines=(), ruleset=0))


_ORDERS: Final = {
    RefundOrder.MONEY_FIRST: (
        "Of each line the money is given back first, and the points that paid for it after that."
    ),
    RefundOrder.POINTS_FIRST: (
        "Of each line the points that paid for it are given back first, and the money after that."
    ),
    RefundOrder.PROPORTIONAL: (
        "Of each line money and points are given back alike, in proportion to what comes back."
    ),
}
