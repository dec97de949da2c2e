"""What a return or a reversal did, as the schema tells it."""

from __future__ import annotations

import strawberry

from ledger import Returned as KnownReturn

from .money import Money, money_of
from .node import global_id
from .scalars import DateTime, Decimal, Points


@strawberry.type(description="What came back of one line.")
class LineReturned:
    """A line's part of a return."""

    line: int = strawberry.field(description="The position of the line in the original receipt, from 0.")
    quantity: Decimal = strawberry.field(description="Pieces or kilograms that came back with this return.")
    points_taken_back: Points = strawberry.field(description="Points that it had earned and that are gone.")
    points_restored: Points = strawberry.field(description="Points that had paid for it, given back.")
    money_due: Money = strawberry.field(description="Money to be paid back for it.")


@strawberry.type(description="Burned points that are the member's again.")
class LotRestored:
    """Where restored points went."""

    points: Points = strawberry.field(description="How many.")
    expires_at: DateTime = strawberry.field(
        description="When they expire: as before, or after the grace if their time had passed."
    )


@strawberry.type(description="What a return or a reversal gave back and took back.")
class Returned:
    """The effects of a return."""

    purchase: strawberry.ID = strawberry.field(
        description="The first operation of the original receipt; of a reversal the operation undone."
    )
    lines: list[LineReturned] = strawberry.field(
        description="What came back, line by line; empty for a reversal."
    )
    points_restored: Points = strawberry.field(description="Burned points given back, in all.")
    lots: list[LotRestored] = strawberry.field(description="The same by the lots that they went back to.")
    points_taken_back: Points = strawberry.field(
        description="Earned points taken back, in all: cancelled, clawed back and due."
    )
    points_cancelled: Points = strawberry.field(
        description="Of these, points that were not available yet: they never will be."
    )
    points_clawed_back: Points = strawberry.field(description="Of these, points that were available.")
    points_due: Points = strawberry.field(
        description="Of these, points that were gone: owed, and taken from the next that become available."
    )
    points_forfeited: Points = strawberry.field(
        description="Earned points that had expired or been corrected away: nothing is taken back for them."
    )
    money_due: Money | None = strawberry.field(
        description="Money to be paid back, in all; null for a reversal, which is about no goods."
    )


def returned_of(known: KnownReturn, currency: str) -> Returned:
    """The effects of a return as the schema has them."""
    return Returned(
        purchase=global_id("Operation", known.purchase),
        lines=[
            LineReturned(
                line=line.line,
                quantity=_quantity(line.quantity_milli),
                points_taken_back=line.points_taken,
                points_restored=line.points_restored,
                money_due=money_of(line.money_micro, currency),
            )
            for line in known.lines
        ],
        points_restored=known.restored,
        lots=[LotRestored(points=lot.points, expires_at=lot.expires_at) for lot in known.lots],
        points_taken_back=known.cancelled + known.taken + known.due,
        points_cancelled=known.cancelled,
        points_clawed_back=known.taken,
        points_due=known.due,
        points_forfeited=known.forfeited,
        money_due=money_of(known.money_micro, currency) if known.lines else None,
    )


def _quantity(milli: int) -> str:
    whole, thousandths = divmod(milli, 1_000)
    return f"{whole}.{thousandths:03d}".rstrip("0").rstrip(".")
