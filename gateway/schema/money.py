"""Money and shares on their way in and out: decimals as text outside, micro-units inside."""

from __future__ import annotations

import strawberry

from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import decimal_of, micro_of

from .scalars import CurrencyCode, Decimal


@strawberry.type(description="An amount of money.")
class Money:
    """Money as it is answered."""

    amount: Decimal = strawberry.field(
        description="In units of the currency, not of its hundredths; negative means the other direction."
    )
    currency: CurrencyCode = strawberry.field(description="The currency.")


@strawberry.input(description="An amount of money.")
class MoneyInput:
    """Money as it is sent."""

    amount: Decimal = strawberry.field(
        description="In units of the currency, with no more decimals than a till can pay."
    )
    currency: CurrencyCode = strawberry.field(description="The currency, which is the programme's.")


def money_of(micro: int, currency: str) -> Money:
    """An amount of micro-units as the schema has it."""
    return Money(amount=decimal_text(micro), currency=currency)


def decimal_text(micro: int) -> str:
    """Micro-units, or millionths, as a plain decimal."""
    return f"{decimal_of(micro):f}"


def micro_units(text: str, field: str) -> int:
    """Micro-units, or millionths, of a decimal with at most six places. Raises `InvalidInput` at `field`."""
    try:
        return micro_of(text)
    except InvalidInput as refusal:
        raise InvalidInput(refusal.message, field=(field,)) from None
