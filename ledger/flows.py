"""Flows: points moved, by cell and period, added up as they are posted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import FromClause, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import flows, flows_now


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
    """The flows of a `period` that every bucket has left, in the order of their cells.

    Reads cells, never lines.
    """
    return await _read(connection, flows, period)


async def so_far(connection: AsyncConnection, period: int) -> list[Flow]:
    """The flows of a `period` that may still be open: cells, and what the latest blocks have moved."""
    return await _read(connection, flows_now, period)


async def _read(connection: AsyncConnection, table: FromClause, period: int) -> list[Flow]:
    cell = [
        table.c.period,
        table.c.issuer,
        table.c.obligor,
        table.c.redeemer,
        table.c.operation,
        table.c.tariff,
        table.c.terms,
        table.c.origin_period,
    ]
    query = (
        select(*cell, func.sum(table.c.points), func.sum(table.c.count))
        .where(table.c.period == period)
        .group_by(*cell)
        .order_by(*cell)
    )
    return [Flow(*row[:8], int(row[8]), int(row[9])) for row in await connection.execute(query)]
