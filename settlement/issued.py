"""Issued statements: found again by number, period or partner, exactly as they were issued."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from . import store
from .statements import Statement, StatementUnknown, of_row


async def find(connection: AsyncConnection, number: str) -> Statement:
    """The statement of that number; raises `StatementUnknown`."""
    row = await store.find_statement(connection, number)
    if row is None:
        raise StatementUnknown(number)
    return of_row(row)


async def statements(
    connection: AsyncConnection,
    *,
    period: int | None = None,
    partner: int | None = None,
    after: int = 0,
    most: int | None = None,
) -> list[Statement]:
    """Statements in the order of period and partner; of all periods or partners where one is None.

    At most `most` of them, of periods after the ordinal `after`.
    """
    rows = await store.statements(connection, period=period, partner=partner, after=after, most=most)
    return [of_row(row) for row in rows]
