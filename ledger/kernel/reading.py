"""Reading on behalf of one partner, as the reader role: its own rows and nobody else's.

A second wall behind the checks of whoever asks. A question that forgot its condition is answered
from the partner's rows all the same; one that names no partner is answered from none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import Database


@asynccontextmanager
async def reading(database: Database, *, partner: int) -> AsyncIterator[AsyncConnection]:
    """A connection that sees `partner`'s rows in one snapshot, until the block ends.

    Table names on it mean the filtered views; what it says of the partner ends with its
    transaction, so the next one to take it from the pool begins with nobody's.
    """
    async with database.reader.connect() as connection:
        await connection.execute(select(func.set_config("kopilka.partner", str(partner), True)))
        yield connection
