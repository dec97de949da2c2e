"""Receipts as tills send them, read once into integers: lines, tenders, and where and when they happened."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from ledger.kernel.refusals import InvalidInput, Refusal
from ledger.kernel.values import minor_digits

from .amounts import MAX_MICRO, money, quantity
from .given import LineGiven, MoneyGiven, ReceiptGiven, TenderKind
from .names import name, optional_name

MAX_LINES: Final = 500
MAX_TENDERS: Final = 50

GIFT_CARD: Final = "GIFT_CARD"
DELIVERY: Final = "DELIVERY"
"""Two categories that every partner's tills share; all others are the partner's own words."""

_EARLIEST_YEAR: Final = 1970
_LATEST_YEAR: Final = 9000


class OccurredAtOutOfRange(Refusal):
    """A receipt says that it was made in the future, or at no time at all."""

    code = "OCCURRED_AT_OUT_OF_RANGE"

    def __init__(self, message: str) -> None:
        super().__init__(message, field=("receipt", "occurredAt"))


class Line(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One position: thousandths of a piece or kilogram, its price, and the discount on the whole line."""

    sku: str
    category: str
    quantity_milli: int
    unit_price_micro: int
    discount_micro: int = 0

    @property
    def total_micro(self) -> int:
        """What the line costs. Exact: prices have at most three decimals, and so have quantities."""
        return self.quantity_milli * self.unit_price_micro // 1_000 - self.discount_micro


class Tender(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What was paid by one means; points are given as the money they took off the price."""

    kind: TenderKind
    amount_micro: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a till has sold. `outlet` is the code, `number` unique per outlet and terminal.

    Money is in micro-units of `currency`. `occurred_at` is None when the till did not say.
    """

    outlet: str
    terminal: str
    number: str
    currency: str
    lines: tuple[Line, ...]
    tenders: tuple[Tender, ...] = ()
    occurred_at: datetime | None = None

    @property
    def total_micro(self) -> int:
        """The price of all lines."""
        return sum(line.total_micro for line in self.lines)


def read_receipt(given: ReceiptGiven, *, currency: str) -> Receipt:
    """The receipt in integers, all of it in `currency`, the programme's.

    Raises `InvalidInput` whose field is the path within the receipt, such as
    ("receipt", "lines", "3", "unitPrice"), and `OccurredAtOutOfRange`.
    """
    if len(given.lines) > MAX_LINES:
        raise InvalidInput(f"more than {MAX_LINES} lines", field=("receipt", "lines"))
    tenders = given.tenders or ()
    if len(tenders) > MAX_TENDERS:
        raise InvalidInput(f"more than {MAX_TENDERS} tenders", field=("receipt", "tenders"))
    at: tuple[str, ...] = ("receipt",)
    places = minor_digits(currency)
    try:
        outlet = name(given.outlet, field="outlet")
        terminal = name(given.terminal, field="terminal")
        number = name(given.number, field="number")
        lines = []
        for index, line in enumerate(given.lines):
            at = ("receipt", "lines", str(index))
            lines.append(_read_line(line, currency, places))
        paid = []
        for index, tender in enumerate(tenders):
            at = ("receipt", "tenders", str(index))
            amount_micro = _read_money(tender.amount, currency, places, "amount")
            paid.append(Tender(kind=tender.kind, amount_micro=amount_micro))
    except InvalidInput as refusal:
        raise InvalidInput(refusal.message, field=(*at, *refusal.field)) from None
    receipt = Receipt(
        outlet=outlet,
        terminal=terminal,
        number=number,
        currency=currency,
        lines=tuple(lines),
        tenders=tuple(paid),
        occurred_at=read_instant(given.occurred_at),
    )
    _check_sums(receipt)
    return receipt


def _read_line(given: LineGiven, currency: str, places: int) -> Line:
    discount = given.discount
    line = Line(
        sku=name(given.sku, field="sku"),
        category=optional_name(given.category, field="category"),
        quantity_milli=quantity(given.quantity, field="quantity"),
        unit_price_micro=_read_money(given.unit_price, currency, places, "unitPrice"),
        discount_micro=_read_money(discount, currency, places, "discount") if discount else 0,
    )
    total_micro = line.total_micro
    if total_micro < 0:
        raise InvalidInput("the discount is more than the line costs", field=("discount",))
    if total_micro > MAX_MICRO:
        raise InvalidInput("amount out of range", field=("unitPrice",))
    return line


def _read_money(given: MoneyGiven, currency: str, places: int, field: str) -> int:
    if given.currency != currency:
        raise InvalidInput(f"the programme's currency is {currency}", field=(field, "currency"))
    return money(given.amount, places=places, field=field)


def read_instant(occurred_at: datetime | None) -> datetime | None:
    """When a receipt says it was made. Raises `InvalidInput` and `OccurredAtOutOfRange`."""
    if not occurred_at:
        return None
    if occurred_at.tzinfo is None:
        raise InvalidInput("an instant needs its offset from UTC", field=("receipt", "occurredAt"))
    if not _EARLIEST_YEAR <= occurred_at.year <= _LATEST_YEAR:
        raise OccurredAtOutOfRange("no receipt was made in that year")
    return occurred_at


def _check_sums(receipt: Receipt) -> None:
    total_micro = receipt.total_micro
    if total_micro > MAX_MICRO:
        raise InvalidInput("amount out of range", field=("receipt", "lines"))
    points_micro = sum(t.amount_micro for t in receipt.tenders if t.kind is TenderKind.POINTS)
    if points_micro > total_micro:
        raise InvalidInput("more is paid with points than the receipt costs", field=("receipt", "tenders"))
