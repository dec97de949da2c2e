"""Limits on what a member may do, as the operator sends and sees them."""

from __future__ import annotations

from enum import Enum

import strawberry

from partners import IssuanceWindow as KnownWindow
from partners import Limits as KnownLimits

from .scalars import Points


@strawberry.enum(description="The time in which an issuance limit counts, by the programme's calendar.")
class IssuanceWindow(Enum):
    """Local days, weeks from Monday, months, years; or for ever."""

    DAY = strawberry.enum_value("DAY", description="A local day.")
    WEEK = strawberry.enum_value("WEEK", description="A local week, from Monday.")
    MONTH = strawberry.enum_value("MONTH", description="A local month.")
    YEAR = strawberry.enum_value("YEAR", description="A local year.")
    EVER = strawberry.enum_value("EVER", description="All time together.")


@strawberry.type(
    description="The most that one member may do; null sets no limit. What is recorded counts, on its day."
)
class Limits:
    """Limits in force."""

    earned_per_receipt: Points | None = strawberry.field(description="Points that one receipt earns.")
    earned_per_day: Points | None = strawberry.field(description="Points earned in a local day.")
    earned_in_window: Points | None = strawberry.field(description="Points earned in the rolling window.")
    burned_per_receipt: Points | None = strawberry.field(description="Points that one receipt takes.")
    burned_per_day: Points | None = strawberry.field(description="Points held or burned in a local day.")
    burned_in_window: Points | None = strawberry.field(
        description="Points held or burned in the rolling window."
    )
    operations_per_minute: int | None = strawberry.field(
        description="Earns, burns, holds and captures in any 60 seconds."
    )
    window_seconds: int = strawberry.field(description="The length of the rolling window, in seconds.")


@strawberry.input(
    description="The most that one member may do. What is left out is not limited; `{}` lifts all limits."
)
class LimitsInput:
    """Limits as they are sent: all of them, each time."""

    earned_per_receipt: Points | None = strawberry.field(
        default=strawberry.UNSET, description="Points that one receipt earns."
    )
    earned_per_day: Points | None = strawberry.field(
        default=strawberry.UNSET, description="Points earned in a local day."
    )
    earned_in_window: Points | None = strawberry.field(
        default=strawberry.UNSET, description="Points earned in the rolling window."
    )
    burned_per_receipt: Points | None = strawberry.field(
        default=strawberry.UNSET, description="Points that one receipt takes."
    )
    burned_per_day: Points | None = strawberry.field(
        default=strawberry.UNSET, description="Points held or burned in a local day."
    )
    burned_in_window: Points | None = strawberry.field(
        default=strawberry.UNSET, description="Points held or burned in the rolling window."
    )
    operations_per_minute: int | None = strawberry.field(
        default=strawberry.UNSET, description="Earns, burns, holds and captures in any 60 seconds."
    )
    window_seconds: int | None = strawberry.field(
        default=strawberry.UNSET,
        description="The length of the rolling window, 1 to 31,622,400 seconds; 30 days, if left out.",
    )


def read_limits(given: LimitsInput) -> KnownLimits:
    """Limits as they were sent; whoever keeps them checks them."""
    known = {
        field: value
        for field in KnownLimits.__struct_fields__
        if (value := getattr(given, field.removesuffix("_points"))) is not None
    }
    return KnownLimits(**known)


def limits_of(known: KnownLimits | None) -> Limits | None:
    """Limits as the schema has them."""
    if known is None:
        return None
    fields = KnownLimits.__struct_fields__
    return Limits(**{field.removesuffix("_points"): getattr(known, field) for field in fields})


def read_window(given: IssuanceWindow) -> KnownWindow:
    """An issuance window as the partners' room knows it."""
    return KnownWindow[given.name]
