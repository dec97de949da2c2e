"""Standings: who had how many points as of an instant, by what happened or by what was written."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry

from ledger.asof import Clock
from ledger.tallies import PartnerStanding as KnownPartnerStanding
from ledger.tallies import Standing as KnownStanding

from .scalars import DateTime, Points


@strawberry.enum(description="By which of its two instants an operation counts.")
class BalanceClock(Enum):
    """The two clocks."""

    EFFECTIVE = strawberry.enum_value(
        "EFFECTIVE", description="When it happened: what is written late counts where it belongs."
    )
    RECORDED = strawberry.enum_value("RECORDED", description="When it was written: what was known then.")


AsOf = Annotated[
    DateTime,
    strawberry.argument(description="The instant, itself included; in programme time and not ahead."),
]
ByClock = Annotated[BalanceClock, strawberry.argument(description="By which clock.")]


@strawberry.type(
    description="Points by what has become of them. By the effective clock any of them may be negative."
)
class Standing:
    """Sums over members."""

    pending: Points = strawberry.field(description="Points given that are not available yet.")
    available: Points = strawberry.field(description="Points that members may spend.")
    held: Points = strawberry.field(description="Points held for purchases under way.")
    in_transit: Points = strawberry.field(description="Points on their way between members.")
    outstanding: Points = strawberry.field(
        description="Available, held and in transit: what is owed to members."
    )
    clawback_due: Points = strawberry.field(description="Points that members owe.")
    issued: Points = strawberry.field(description="Points given until then, pending ones included.")
    brought: Points = strawberry.field(description="Points brought along from another programme until then.")
    redeemed: Points = strawberry.field(description="Points redeemed until then, returns taken off.")
    expired: Points = strawberry.field(description="Points that had expired.")
    cancelled: Points = strawberry.field(description="Points taken back with returned purchases.")
    adjusted: Points = strawberry.field(description="Points given by adjustments, less those taken.")


@strawberry.type(description="A partner in each of its roles.")
class PartnerStanding:
    """Three views of one partner."""

    as_issuer: Standing = strawberry.field(
        description="Of the points that it gave, whoever answers for them."
    )
    as_obligor: Standing = strawberry.field(description="Of the points that it answers for.")
    redeemed_here: Points = strawberry.field(description="Points redeemed at it, whoever gave them.")


def clock_of(clock: BalanceClock) -> Clock:
    """The ledger's name for a clock."""
    return Clock[clock.name]


def standing_of(known: KnownStanding) -> Standing:
    """A standing as the schema has it."""
    return Standing(
        pending=known.pending,
        available=known.available,
        held=known.held,
        in_transit=known.in_transit,
        outstanding=known.outstanding,
        clawback_due=known.clawback_due,
        issued=known.issued,
        brought=known.brought,
        redeemed=known.redeemed,
        expired=known.expired,
        cancelled=known.cancelled,
        adjusted=known.adjusted,
    )


def partner_standing_of(known: KnownPartnerStanding) -> PartnerStanding:
    """A partner's standing as the schema has it."""
    return PartnerStanding(
        as_issuer=standing_of(known.as_issuer),
        as_obligor=standing_of(known.as_obligor),
        redeemed_here=known.redeemed_here,
    )
