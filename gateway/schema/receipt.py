"""Receipts as tills send them, and the member they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import strawberry

from gateway.context import Context
from partners import LineGiven, MoneyGiven, Receipt, TenderGiven, read_receipt
from partners import TenderKind as KnownTender

from .money import MoneyInput
from .scalars import DateTime, Decimal


@strawberry.enum(description="A means of payment, as far as the rules care.")
class TenderKind(Enum):
    """How a part of a receipt was paid."""

    MONEY = strawberry.enum_value("MONEY", description="Cash, a bank card, or any other money.")
    POINTS = strawberry.enum_value("POINTS", description="Points of this programme.")


@strawberry.input(
    one_of=True,
    description="A member, by exactly one of these. Only a current QR code lets points be burned.",
)
class MemberInput:
    """Who the points belong to."""

    handle: str | None = strawberry.field(
        default=strawberry.UNSET, description="The member's handle at this partner, from `memberResolve`."
    )
    qr: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The text of the QR code that the member's app shows; 40 characters.",
    )
    card: str | None = strawberry.field(
        default=strawberry.UNSET, description="The card number, 16 to 19 digits with its check digit."
    )
    phone: str | None = strawberry.field(
        default=strawberry.UNSET, description="The phone number with its country code, such as +79161234567."
    )


@strawberry.input(description="One position of a receipt.")
class LineInput:
    """What was sold."""

    sku: str = strawberry.field(description="The partner's article number; 1 to 200 characters.")
    unit_price: MoneyInput = strawberry.field(
        description="The price of one piece or kilogram before discounts."
    )
    quantity: Decimal = strawberry.field(
        default="1", description="Pieces or kilograms, more than 0, with at most three decimals."
    )
    category: str = strawberry.field(
        default="",
        description="The partner's category, or GIFT_CARD or DELIVERY; agreements exclude some from points.",
    )
    discount: MoneyInput | None = strawberry.field(
        default=strawberry.UNSET, description="What is taken off the whole line, not off each piece."
    )


@strawberry.input(description="What was paid by one means.")
class TenderInput:
    """A part of the payment."""

    kind: TenderKind = strawberry.field(description="The means of payment.")
    amount: MoneyInput = strawberry.field(
        description="How much of the price it paid; points as the money that they took off."
    )


@strawberry.input(description="A receipt. Place, terminal and number together name it once and for all.")
class ReceiptInput:
    """What a till has sold."""

    outlet: str = strawberry.field(description="The code of the outlet, as the operator registered it.")
    terminal: str = strawberry.field(description="The till within the outlet; 1 to 200 characters.")
    number: str = strawberry.field(description="The receipt's number at that terminal; 1 to 200 characters.")
    lines: list[LineInput] = strawberry.field(description="The positions, at most 500.")
    occurred_at: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="When the purchase was made; now, if left out."
    )
    tenders: list[TenderInput] | None = strawberry.field(
        default=strawberry.UNSET, description="How it was paid, at most 50; all in money, if left out."
    )


def receipt_of(context: Context, given: ReceiptInput) -> Receipt:
    """The receipt in integers. Raises a refusal with the path to the value that makes no sense."""
    return read_receipt(_Given.of(given), currency=context.directory.programme.currency)


@dataclass(frozen=True, slots=True)
class _Tender:
    kind: KnownTender
    amount: MoneyGiven


@dataclass(frozen=True, slots=True)
class _Given:
    """The input with its tenders in the words of the partners' room."""

    outlet: str
    terminal: str
    number: str
    occurred_at: datetime | None
    lines: Sequence[LineGiven]
    tenders: Sequence[TenderGiven]

    @classmethod
    def of(cls, given: ReceiptInput) -> _Given:
        return cls(
            given.outlet,
            given.terminal,
            given.number,
            given.occurred_at,
            given.lines,
            [_Tender(_TENDERS[tender.kind], tender.amount) for tender in given.tenders or ()],
        )


_TENDERS = {TenderKind.MONEY: KnownTender.MONEY, TenderKind.POINTS: KnownTender.POINTS}
