"""The SQL of adjustments. What was proposed never changes; what became of it is written once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import heads, operations

from .adjustment import Adjustment, AdjustmentReason
from .tables import adjustments


@dataclass(frozen=True, slots=True)
class Posted:
    """An adjustment as the ledger's history has it, posted at `at`; its bucket is in period `now_in`."""

    operation: int
    period: int
    refusal: str
    digest: bytes
    detail: bytes
    at: datetime
    now_in: int

    @property
    def booked(self) -> tuple[int | None, int | None, str | None]:
        """Its operation and period, or the code by which it was refused."""
        return (None, None, self.refusal) if self.refusal else (self.operation, self.period, None)

    @property
    def is_of_the_past(self) -> bool:
        """True when its bucket has left its period, so that the period may be closed."""
        return self.now_in > self.period


async def add(connection: AsyncConnection, **proposed: Any) -> Adjustment:
    """Store a proposal under the next id."""
    row = (await connection.execute(insert(adjustments).values(**proposed).returning(adjustments))).one()
    return _adjustment(row)


async def find(connection: AsyncConnection, id_: int, *, locked: bool = False) -> Adjustment | None:
    """An adjustment by id; `locked` keeps others from approving it before the transaction ends."""
    query = select(adjustments).where(adjustments.c.id == id_)
    row = (await connection.execute(query.with_for_update() if locked else query)).one_or_none()
    return None if row is None else _adjustment(row)


async def page(
    connection: AsyncConnection, *, before: int | None, first: int, waiting: bool
) -> list[Adjustment]:
    """At most `first` adjustments, newest first, below the id `before`; if `waiting`, unapproved ones."""
    query = select(adjustments).order_by(adjustments.c.id.desc()).limit(first)
    if before is not None:
        query = query.where(adjustments.c.id < before)
    if waiting:
        query = query.where(adjustments.c.approved_at.is_(None))
    return [_adjustment(row) for row in await connection.execute(query)]


async def approve(connection: AsyncConnection, id_: int, *, by: str, at: datetime) -> Adjustment:
    """Write who approved it."""
    query = update(adjustments).where(adjustments.c.id == id_).values(approved_by=by, approved_at=at)
    return _adjustment((await connection.execute(query.returning(adjustments))).one())


async def finish(
    connection: AsyncConnection, id_: int, *, operation: int | None, period: int | None, refusal: str | None
) -> Adjustment:
    """Write what the ledger made of it."""
    query = update(adjustments).where(adjustments.c.id == id_)
    values = {"operation": operation, "period": period, "refusal": refusal}
    return _adjustment((await connection.execute(query.values(values).returning(adjustments))).one())


async def everything(connection: AsyncConnection) -> AsyncIterator[Adjustment]:
    """Every adjustment there is, oldest first, a page at a time."""
    async with connection.stream(select(adjustments).order_by(adjustments.c.id)) as stream:
        async for row in stream:
            yield _adjustment(row)


async def posted(connection: AsyncConnection, principal: str) -> dict[str, Posted]:
    """What history has of adjustments, by key, all of it read: they are posted by `principal`."""
    op = operations.c
    query = (
        select(op.key, op.id, op.period, op.refusal, op.digest, op.detail, op.occurred_at, heads.c.period)
        .join(heads, heads.c.bucket == op.bucket)
        .where(op.principal == principal)
    )
    return {key: Posted(*row) for key, *row in await connection.execute(query)}


async def adjusters(connection: AsyncConnection, period: int) -> set[str]:
    """Everybody who proposed or approved an adjustment that is booked in `period`."""
    query = select(adjustments.c.proposed_by, adjustments.c.approved_by).where(adjustments.c.period == period)
    return {person for row in await connection.execute(query) for person in row}


def _adjustment(row: Row[Any]) -> Adjustment:
    return Adjustment(**{**row._asdict(), "reason": AdjustmentReason(row.reason)})
