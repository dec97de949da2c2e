"""How a till's decimal text becomes integers: money in micro-units, quantities in thousandths."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import micro_of

MAX_MICRO: Final = 10**15
"""A thousand million of money: no receipt is larger, and sums of 500 lines stay within 64 bits."""
MAX_MILLI: Final = 10**9
"""A million pieces, or a thousand tonnes in kilograms."""

_LONGEST: Final = 40
_SCALE: Final = (1_000_000, 100_000, 10_000, 1_000, 100, 10, 1)


def money(text: str | Decimal, *, places: int, field: str) -> int:
    """Micro-units of an amount ≥ 0 with at most `places` decimals.

    Raises `InvalidInput` at `field` for anything else, or for more than a thousand million.
    """
    micro = _micro(text, places, field)
    if micro < 0:
        raise InvalidInput("must not be negative", field=(field,))
    if micro > MAX_MICRO:
        raise InvalidInput("amount out of range", field=(field,))
    return micro


def quantity(text: str | Decimal, *, field: str) -> int:
    """Thousandths of a quantity > 0 with at most three decimals; raises `InvalidInput` at `field`."""
    milli = _micro(text, 3, field) // 1_000
    if milli <= 0:
        raise InvalidInput("must be more than zero", field=(field,))
    if milli > MAX_MILLI:
        raise InvalidInput("quantity out of range", field=(field,))
    return milli


def money_text(micro: int) -> str:
    """An amount ≥ 0 as a person reads it: two decimals, more only where they carry something."""
    whole, fraction = divmod(micro, 1_000_000)
    if fraction % 10_000 == 0:
        return f"{whole}.{fraction // 10_000:02d}"
    return f"{whole}.{fraction:06d}".rstrip("0")


def percent_text(ppm: int) -> str:
    """A share in millionths as a percentage without wasted zeros: 15000 is "1.5 %"."""
    whole, fraction = divmod(ppm, 10_000)
    return f"{whole}.{fraction:04d}".rstrip("0").rstrip(".") + " %"


def _micro(text: str | Decimal, places: int, field: str) -> int:
    """The usual form "123.45" by hand, for speed; every other one through `micro_of`."""
    given, text = text, str(text)
    whole, dot, fraction = text.partition(".")
    if (
        text.isascii()
        and len(whole) <= 12
        and whole.isdigit()
        and (not dot or (fraction.isdigit() and len(fraction) <= places))
    ):
        return int(whole + fraction) * _SCALE[len(fraction)]
    if len(text) > _LONGEST:
        raise InvalidInput("not a decimal number", field=(field,))
    try:
        return micro_of(given, places=places)
    except InvalidInput as refusal:
        raise InvalidInput(refusal.message, field=(field,)) from None
