"""A partner's position in the period that is still open: what it gave and took so far."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import flows
from ledger.accounts import REDEEMED_SIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Points of one partner in one period, returns already taken off.

    `issued` became available at this partner, `pending` is given and still waits, `redeemed`
    was burned here, whoever gave it.
    """

    period: int
    issued: int
    pending: int
    redeemed: int


async def position(connection: AsyncConnection, partner: int, *, period: int) -> Position:
    """What `partner` issued and redeemed in `period` so far. Reads cells, never lines."""
    issued = pending = redeemed = 0
    for flow in await flows.so_far(connection, period):
        if flow.issuer == partner:
            issued += flow.points * _ISSUED.get(flow.operation, 0)
            pending += flow.points * _PENDING.get(flow.operation, 0)
        if flow.redeemer == partner:
            redeemed += flow.points * REDEEMED_SIGN.get(flow.operation, 0)
    return Position(period=period, issued=issued, pending=pending, redeemed=redeemed)


_ISSUED = {"release": 1, "claw_back": -1}
_PENDING = {"earn_pending": 1, "cancel_pending": -1}
