"""Stock: points outstanding, by cell, as they stand now and as they stood at each fence."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import stock_at_fence, stock_now


@dataclass(frozen=True, slots=True)
class Stock:
    """Points (≥ 0) owed to members, available or held. Months are yyyymm in the programme's zone."""

    issuer: int
    obligor: int
    tariff: int
    issue_month: int
    expiry_month: int
    points: int


async def at_fence(connection: AsyncConnection, period: int) -> list[Stock]:
    """What was outstanding at the end of `period`, summed over the buckets that have left it."""
    table = stock_at_fence
    cell = [table.c.issuer, table.c.obligor, table.c.tariff, table.c.issue_month, table.c.expiry_month]
    query = (
        select(*cell, func.sum(table.c.points))
        .where(table.c.period == period)
        .group_by(*cell)
        .order_by(*cell)
    )
    return [Stock(*row[:5], int(row[5])) for row in await connection.execute(query)]


async def live(connection: AsyncConnection) -> list[Stock]:
    """What is outstanding now, summed over the buckets."""
    table = stock_now
    cell = [table.c.issuer, table.c.obligor, table.c.tariff, table.c.issue_month, table.c.expiry_month]
    query = select(*cell, func.sum(table.c.points)).group_by(*cell).order_by(*cell)
    return [Stock(*row[:5], int(row[5])) for row in await connection.execute(query)]
