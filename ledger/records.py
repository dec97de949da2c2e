"""Reading back what was recorded: operations, balances, what is due. No state is changed here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .kernel.ids import BUCKETS, bucket_of
from .keys import Keys
from .outcomes import Balance, Outcome
from .tables import heads, keys, operations, wallets

_decode: Final = msgspec.msgpack.Decoder(Outcome).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One stored operation. `outcome` is the first answer, as a repeat would get it.

    `refusal` is a code, empty when it was accepted; `reference` the hold it used, 0 for none.
    """

    id: int
    kind: str
    member: int
    partner: int
    outlet: int
    terms: int
    period: int
    origin_period: int
    occurred_at: datetime
    recorded_at: datetime
    principal: str
    key: str
    refusal: str
    reference: int
    points: int
    terminal: str
    receipt: str
    detail: bytes
    outcome: Outcome


_COLUMNS: Final = (
    operations.c.id,
    operations.c.kind,
    operations.c.member,
    operations.c.partner,
    operations.c.outlet,
    operations.c.terms,
    operations.c.period,
    operations.c.origin_period,
    operations.c.occurred_at,
    operations.c.recorded_at,
    operations.c.principal,
    operations.c.key,
    operations.c.refusal,
    operations.c.reference,
    operations.c.points,
    operations.c.terminal,
    operations.c.receipt,
    operations.c.detail,
    operations.c.outcome,
)


async def operation(connection: AsyncConnection, id_: int) -> Recorded | None:
    """The operation with this id, by primary key; None if there is none."""
    where = (operations.c.bucket == bucket_of(id_)) & (operations.c.id == id_)
    row = (await connection.execute(select(*_COLUMNS).where(where))).first()
    return None if row is None else _recorded(row)


async def operation_by_key(connection: AsyncConnection, principal: str, key: str) -> Recorded | None:
    """The operation that `principal` posted under `key`, looked for in every bucket: one probe each."""
    fingerprint = Keys.fingerprint(principal, key)
    found = (
        await connection.execute(
            select(keys.c.operation, keys.c.recorded_at).where(
                keys.c.bucket.in_(range(BUCKETS)), keys.c.key == fingerprint
            )
        )
    ).first()
    return None if found is None else await operation(connection, found.operation)


async def history(
    connection: AsyncConnection, member: int, *, before: int | None, limit: int
) -> list[Recorded]:
    """A member's operations, newest first, with ids below `before`; by the history index."""
    query = (
        select(*_COLUMNS)
        .where(operations.c.bucket == bucket_of(member), operations.c.member == member)
        .order_by(operations.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(operations.c.id < before)
    return [_recorded(row) for row in await connection.execute(query)]


async def balance(connection: AsyncConnection, member: int) -> tuple[Balance, datetime | None]:
    """The member's balances as last written, and when something is due on them next."""
    row = (
        await connection.execute(
            select(wallets).where(wallets.c.bucket == bucket_of(member), wallets.c.member == member)
        )
    ).first()
    if row is None:
        return Balance(), None
    return (
        Balance(pending=row.pending, available=row.available, held=row.held, clawback_due=row.clawback_due),
        row.next_due_at,
    )


async def soonest_due(connection: AsyncConnection) -> datetime | None:
    """The earliest instant at which any wallet changes by itself."""
    found: datetime | None = await connection.scalar(
        select(func.min(wallets.c.next_due_at)).where(_is_open())
    )
    return found


async def earliest_writable(connection: AsyncConnection) -> int | None:
    """The earliest period that some bucket's head is still in, read-only buckets left aside."""
    query = select(func.min(heads.c.period)).where(heads.c.fenced.is_(None))
    found: int | None = await connection.scalar(query)
    return found


async def due_members(connection: AsyncConnection, at: datetime, limit: int) -> list[int]:
    """Members whose wallets have something due at `at`, longest overdue first."""
    query = (
        select(wallets.c.member)
        .where(wallets.c.next_due_at <= at, _is_open())
        .order_by(wallets.c.next_due_at)
        .limit(limit)
    )
    return list(await connection.scalars(query))


async def lagging_buckets(connection: AsyncConnection, period: int) -> list[int]:
    """Buckets that have not left `period` yet and may be written."""
    query = select(heads.c.bucket).where(heads.c.period <= period, heads.c.fenced.is_(None))
    return list(await connection.scalars(query))


def _is_open() -> Any:
    """A fenced bucket is read-only, so nothing falls due in it."""
    return wallets.c.bucket.in_(select(heads.c.bucket).where(heads.c.fenced.is_(None)))


def _recorded(row: Any) -> Recorded:
    outcome = msgspec.structs.replace(_decode(row.outcome), detail=row.detail)
    return Recorded(**{**row._asdict(), "outcome": outcome})
