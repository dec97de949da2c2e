"""Flows: points moved, by cell and period, added up as they are posted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import flows


@dataclass(frozen=True, slots=True)
class Flow:
    """Points (> 0) of one operation moved in one period, summed over the buckets.

    `redeemer` is 0 and `terms` is 0 where nobody redeems. `origin_period` is the period in
    which it happened, earlier than `period` for late items.
    """

    period: int
    issuer: int
    obligor: int
    redeemer: int
    operation: str
    tariff: int
    terms: int
    origin_period: int
    points: int
    count: int


async def of_period(connection: AsyncConnection, period: int) -> list[Flow]:
    """The flows of `period` in the order of their cells. Reads cells, never lines."""
    cell = [
        flows.c.period,
        flows.c.issuer,
        flows.c.obligor,
        flows.c.redeemer,
        flows.c.operation,
        flows.c.tariff,
        flows.c.terms,
        flows.c.origin_period,
    ]
    query = (
        select(*cell, func.sum(flows.c.points), func.sum(flows.c.count))
        .where(flows.c.period == period)
        .group_by(*cell)
        .order_by(*cell)
    )
    return [Flow(*row[:8], int(row[8]), int(row[9])) for row in await connection.execute(query)]
