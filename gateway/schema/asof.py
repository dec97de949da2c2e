"""Balances as of an instant: a member's for the app, the programme's for the operator and finance."""

from __future__ import annotations

from typing import Annotated

import strawberry

from gateway.context import Info
from ledger import tallies
from ledger.asof import check_past
from members import MemberNotFound

from .access import query
from .directory import MANAGE
from .finance import READ
from .member import CARD_KEYS
from .operation import Balance, balance_of
from .scalars import utc
from .standing import AsOf, BalanceClock, ByClock, Standing, clock_of, standing_of

Handle = Annotated[str, strawberry.argument(description="The member's handle, as this caller was given it.")]


@strawberry.type
class AsOfQuery:
    """What was true, or known, at an instant."""

    @query(
        CARD_KEYS,
        MANAGE,
        description="A member's points after everything up to an instant; null when there is no such member.",
    )
    async def balance_as_of(
        self, info: Info, handle: Handle, as_of: AsOf, clock: ByClock = BalanceClock.EFFECTIVE
    ) -> Balance | None:
        """From the member's own operations."""
        context, instant = info.context, utc(as_of, field="asOf")
        try:
            member = context.services.handles.open(context.namer, handle)
        except MemberNotFound:
            return None
        return balance_of(await context.services.ledger.balance_as_of(member, instant, clock_of(clock)))

    @query(
        MANAGE,
        READ,
        description="Where the whole programme stood in points after everything up to an instant.",
        price=100,
    )
    async def programme_standing(
        self, info: Info, as_of: AsOf, clock: ByClock = BalanceClock.EFFECTIVE
    ) -> Standing:
        """From tallies."""
        instant = utc(as_of, field="asOf")
        check_past(instant, info.context.now)
        async with info.context.services.database.writer.connect() as connection:
            return standing_of(await tallies.programme_as_of(connection, instant, clock_of(clock)))
