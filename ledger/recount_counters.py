"""Recounting what was counted: counters and escrows again, from the outcomes that history keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .counters import Count, unpack
from .evidence.recount import Flaw
from .outcomes import read_outcome
from .tables import allowances, counters, operations
from .windows import ONCE, oldest_of


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Counters and escrows that are not what the accepted operations counted."""
    wallets, escrows = await _recounted(connection)
    for row in await connection.execute(select(counters)):
        again = wallets.pop((row.bucket, row.member, row.name, row.span), Count())
        if again.cells != unpack(row.cells).cells:
            yield Flaw(row.bucket, f"counter {row.name} in {row.span} of member {row.member}")
    for bucket, member, name, span in wallets:
        yield Flaw(bucket, f"counter {name} in {span} of member {member} is not there")
    for row in await connection.execute(select(allowances)):
        used = escrows.pop((row.bucket, row.name, row.span, row.cell), 0)
        if used != row.used:
            yield Flaw(row.bucket, f"escrow {row.name} in {row.span}: used {row.used}; its operations {used}")


async def _recounted(
    connection: AsyncConnection,
) -> tuple[dict[tuple[int, int, str, str], Count], dict[tuple[int, str, str, int], int]]:
    """Counts by bucket, member, name and window; what escrows spent by bucket, name, window and cell."""
    wallets: dict[tuple[int, int, str, str], Count] = defaultdict(Count)
    escrows: dict[tuple[int, str, str, int], int] = defaultdict(int)
    query = (
        select(operations.c.bucket, operations.c.id, operations.c.member, operations.c.outcome)
        .where(operations.c.refusal == "", operations.c.kind != "money")
        .order_by(operations.c.bucket, operations.c.id)
    )
    if not await _is_used(connection):
        return wallets, escrows
    async with connection.stream(query) as stream:
        async for bucket, id_, member, outcome in stream:
            for counted in read_outcome(id_, outcome).counted:
                if counted.is_shared:
                    escrows[bucket, counted.name, counted.window, counted.cell] += counted.increment
                elif counted.window != ONCE:
                    known = wallets[bucket, member, counted.name, counted.window]
                    oldest = oldest_of(counted.window, counted.cell)
                    known.add(counted.cell, oldest, counted.increment)
    return wallets, escrows


async def _is_used(connection: AsyncConnection) -> bool:
    """False while nothing was ever counted, and history need not be read."""
    for table in (counters, allowances):
        if await connection.scalar(select(func.count()).select_from(select(table).limit(1).subquery())):
            return True
    return False
