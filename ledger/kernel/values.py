"""Points, money and prices as integers, and how they are read and written.

Points are `int`. Money is integer micro-units (scale 6) with an ISO 4217 code. A price is
money per point, also in micro-units. Never float.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from .refusals import InvalidInput

MICRO: Final = 1_000_000
MAX_POINTS: Final = 10**9
"""What one operation may move. Sums of a member, a cell or a programme then stay far below 2^63, in
points and in micro-units of money, and below the 2^53 that a JSON number holds exactly."""

MINOR_DIGITS: Final = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "KWD": 3, "BHD": 3, "TND": 3}
"""ISO 4217 currencies whose minor unit is not a hundredth; every other has two digits."""

_PLAIN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Money(msgspec.Struct, frozen=True):
    """An amount of `currency` in micro-units; negative means the other direction."""

    micro: int
    currency: str

    def __str__(self) -> str:
        return f"{decimal_of(self.micro)} {self.currency}"


def minor_digits(currency: str) -> int:
    """Decimal places that a till of this currency can pay."""
    return MINOR_DIGITS.get(currency, 2)


def micro_of(text: str | Decimal, *, places: int = 6) -> int:
    """Micro-units of a decimal amount such as "12.34".

    Text is plain: digits of ASCII, a point between them, a minus before them, and nothing else that
    `Decimal` would read ("1_000", " 1", "1e3", "٣"). Raises `InvalidInput` if it is not, is not finite,
    has more than `places` decimal places, or exceeds fifteen digits before the point.
    """
    if isinstance(text, str) and not _PLAIN.fullmatch(text):
        raise InvalidInput("not a decimal number")
    try:
        value = Decimal(text)
    except (InvalidOperation, ValueError):
        raise InvalidInput("not a decimal number") from None
    if not value.is_finite() or value.adjusted() > 14:
        raise InvalidInput("amount out of range")
    exponent = value.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -places:
        raise InvalidInput(f"more than {places} decimal places")
    return int(value.scaleb(6))


def decimal_of(micro: int) -> Decimal:
    """The decimal amount of `micro` micro-units, at least two decimal places, none wasted."""
    value = Decimal(micro).scaleb(-6).normalize()
    exponent = value.as_tuple().exponent
    return value.quantize(Decimal("0.01")) if isinstance(exponent, int) and exponent > -2 else value
