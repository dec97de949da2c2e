"""Reading back what was recorded: operations, balances, what is due. No state is changed here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import FromClause, Select, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from .evidence.tables import archived_operations
from .kernel.ids import BUCKETS, bucket_of
from .keys import Keys
from .outcomes import Balance, Outcome
from .purchases import PURCHASED
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
    "id",
    "kind",
    "member",
    "partner",
    "outlet",
    "terms",
    "period",
    "origin_period",
    "occurred_at",
    "recorded_at",
    "principal",
    "key",
    "refusal",
    "reference",
    "points",
    "terminal",
    "receipt",
    "detail",
    "outcome",
)


async def operation(connection: AsyncConnection, id_: int) -> Recorded | None:
    """The operation with this id, by primary key; None if there is none."""

    def ask(table: FromClause) -> Select[Any]:
        return _shown(table).where(table.c.bucket == bucket_of(id_), table.c.id == id_)

    found = await _read(connection, ask, limit=1)
    return found[0] if found else None


async def operations_named(connection: AsyncConnection, ids: Collection[int]) -> dict[int, Recorded]:
    """Those of the operations that exist, by their ids; by primary key."""
    if not ids:
        return {}
    # An id of no bucket at all is an id of nothing.
    known = [(bucket_of(id_), id_) for id_ in ids if 0 <= bucket_of(id_) < BUCKETS]

    def ask(table: FromClause) -> Select[Any]:
        return _shown(table).where(tuple_(table.c.bucket, table.c.id).in_(known))

    return {found.id: found for found in await _read(connection, ask, limit=len(known))}


async def operations_of_receipts(
    connection: AsyncConnection, receipts: Iterable[tuple[int, int, str, str]]
) -> list[Recorded]:
    """What was posted for receipts (partner, outlet, terminal, number), in the order of ids.

    Looked for in every bucket, one probe for each kind of operation that a purchase is made of.
    """
    claims = {
        Keys.of_receipt(partner, outlet, kind, terminal, number)
        for partner, outlet, terminal, number in receipts
        for kind in PURCHASED
    }
    if not claims:
        return []
    query = select(keys.c.operation).where(keys.c.bucket.in_(range(BUCKETS)), keys.c.key.in_(claims))
    found = await operations_named(connection, list(await connection.scalars(query)))
    return [found[id_] for id_ in sorted(found)]


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
    people = await same_person(connection, member)
    if len(people) > 1:
        return await _histories(connection, people, before=before, limit=limit)

    def ask(table: FromClause) -> Select[Any]:
        query = _shown(table).where(table.c.bucket == bucket_of(member), table.c.member == member)
        older = query if before is None else query.where(table.c.id < before)
        return older.order_by(table.c.id.desc())

    return await _read(connection, ask, limit=limit)


async def _histories(
    connection: AsyncConnection, people: Sequence[int], *, before: int | None, limit: int
) -> list[Recorded]:
    """The operations of several members as one history: by when they were recorded, newest first.

    Of each member the newest few are read, by the history index, and the newest of all are kept.
    """
    found: list[Recorded] = []
    earlier = None
    if before is not None and (last := await operation(connection, before)) is not None:
        earlier = (last.recorded_at, last.id)
    for member in people:
        found += await _read(connection, _earlier_of(member, earlier), limit=limit)
    return sorted(found, key=lambda each: (each.recorded_at, each.id), reverse=True)[:limit]


def _earlier_of(member: int, earlier: tuple[datetime, int] | None) -> Callable[[FromClause], Select[Any]]:
    """Asks for a member's operations recorded before an instant and id, newest first."""

    def ask(table: FromClause) -> Select[Any]:
        query = _shown(table).where(table.c.bucket == bucket_of(member), table.c.member == member)
        if earlier is not None:
            query = query.where(tuple_(table.c.recorded_at, table.c.id) < tuple_(*map(literal, earlier)))
        return query.order_by(table.c.recorded_at.desc(), table.c.id.desc())

    return ask


async def _read(
    connection: AsyncConnection, ask: Callable[[FromClause], Select[Any]], *, limit: int
) -> list[Recorded]:
    """The first `limit` operations of a question that is answered newest first.

    Archived months are older than all partitions, so they are asked for what the partitions lack.
    """
    rows = list((await connection.execute(ask(operations).limit(limit))).all())
    if len(rows) < limit:
        rows += (await connection.execute(ask(archived_operations).limit(limit - len(rows)))).all()
    return [_recorded(row) for row in rows]


def _shown(table: FromClause) -> Select[Any]:
    return select(*(table.c[name] for name in _COLUMNS))


async def survivor(connection: AsyncConnection, member: int) -> int:
    """Who `member` is now: the last in the chain of those it was merged into; itself if it was not."""
    while True:
        where = (wallets.c.bucket == bucket_of(member)) & (wallets.c.member == member)
        merged_into = await connection.scalar(select(wallets.c.merged_into).where(where))
        if merged_into is None:
            return member
        member = merged_into


async def same_person(connection: AsyncConnection, member: int) -> list[int]:
    """The members that whoever `member` is now has been: the survivor, then those merged into it."""
    if all(row.merged_into is None for row in await _with_merged(connection, member)):
        return [member]
    people = waiting = [await survivor(connection, member)]
    while waiting:
        query = select(wallets.c.member).where(wallets.c.merged_into.in_(waiting))
        waiting = list(await connection.scalars(query.order_by(wallets.c.member)))
        people = people + waiting
    return people


async def balances(connection: AsyncConnection, member: int) -> list[tuple[int, Balance, datetime | None]]:
    """The wallets of whoever `member` is now: (member, balances as last written, when one is due next)."""
    rows = await _with_merged(connection, member)
    if any(row.merged_into is not None for row in rows):
        people = await same_person(connection, member)
        places = [(bucket_of(each), each) for each in people]
        where = tuple_(wallets.c.bucket, wallets.c.member).in_(places)
        rows = (await connection.execute(select(wallets).where(where))).all()
    return [
        (
            row.member,
            Balance(
                pending=row.pending,
                available=row.available,
                held=row.held,
                clawback_due=row.clawback_due,
            ),
            row.next_due_at,
        )
        for row in rows
    ]


async def _with_merged(connection: AsyncConnection, member: int) -> Sequence[Any]:
    """A member's wallet and those merged into it: a probe each of the key and of ix_wallets_merged."""
    own = (wallets.c.bucket == bucket_of(member)) & (wallets.c.member == member)
    query = select(wallets).where(own).union_all(select(wallets).where(wallets.c.merged_into == member))
    return (await connection.execute(query)).all()


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
