"""Scalars of the published schema: points, decimals, currencies, instants and dates, never a float."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NewType

import msgspec
import strawberry
from strawberry.types.scalar import ScalarDefinition

from gateway.http import Exactly
from ledger.kernel.refusals import InvalidInput

if TYPE_CHECKING:
    Points = int
    Count = int
    Decimal = str
    CurrencyCode = str
    DateTime = datetime
    Date = date
else:
    Points = NewType("Points", int)
    Count = NewType("Count", int)
    Decimal = NewType("Decimal", str)
    CurrencyCode = NewType("CurrencyCode", str)
    DateTime = NewType("DateTime", datetime)
    Date = NewType("Date", date)

_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_LONGEST_DECIMAL: Final = 40
_LARGEST: Final = 2**53
"""What a double, as JSON numbers are read, holds exactly."""


def _whole(value: object) -> int:
    if value.__class__ is not int or not -_LARGEST <= value <= _LARGEST:
        raise TypeError(f"not a whole number within ±2^53: {value!r}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r}")
    return value


def _instant(value: object) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"not an instant: {value!r}")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def utc(instant: datetime, *, field: str) -> datetime:
    """The same instant in UTC. Raises `InvalidInput` at `field` for one that UTC has no year for."""
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidInput("no such instant in UTC", field=(field,)) from None


def stored_utc(instant: datetime, *, field: str) -> datetime:
    """The same instant in UTC, of one that is to be kept. Raises `InvalidInput` as `utc` does.

    The first and the last instant that there are would come back from the database as infinities.
    """
    at = utc(instant, field=field)
    if at in (_FIRST, _LAST):
        raise InvalidInput("no such instant can be kept", field=(field,))
    return at


def _day(value: object) -> str:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError(f"not a date: {value!r}")
    return value.isoformat()


SCALARS: Final[dict[Any, ScalarDefinition]] = {
    Points: strawberry.scalar(
        name="Points",
        description="A whole number of points, from −2^53 to 2^53, as a JSON number without a fraction.",
        serialize=_whole,
        parse_value=Exactly(Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]),
    ),
    Count: strawberry.scalar(
        name="Count",
        description="How many there are, a whole number from 0 to 2^53.",
        serialize=_whole,
        parse_value=Exactly(Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]),
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number as a string of plain digits, such as "12.34". Its unit stands '
        "with the field.",
        serialize=_text,
        parse_value=Exactly(Annotated[str, msgspec.Meta(max_length=_LONGEST_DECIMAL)]),
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description='A currency by its three letters in ISO 4217, such as "RUB".',
        serialize=_text,
        parse_value=Exactly(Annotated[str, msgspec.Meta(min_length=3, max_length=3)]),
    ),
    DateTime: strawberry.scalar(
        name="DateTime",
        description='An instant in ISO 8601 with its offset from UTC, such as "2026-01-31T18:05:00+03:00".',
        serialize=_instant,
        parse_value=Exactly(Annotated[datetime, msgspec.Meta(tz=True)]),
    ),
    Date: strawberry.scalar(
        name="Date",
        description='A day in ISO 8601, such as "2026-01-31", in the time zone of the programme.',
        serialize=_day,
        parse_value=Exactly(date),
    ),
}
"""What Strawberry takes these names in annotations for."""
