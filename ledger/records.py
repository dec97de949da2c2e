"""Reading back what was recorded: operations, balances, what is due. No state is changed here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Integer, Select, bindparam, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from .evidence.tables import archived_operations
from .kernel.ids import BUCKETS, bucket_of
from .keys import Keys
from .outcomes import Balance, Outcome, read_outcome
from .purchases import PURCHASED
from .tables import heads, keys, operations, wallets

MOST_SURVIVORS: Final = 100
"""How far survivors are followed: nobody is merged so often, and a circle, which is damage, has no end."""


class NoSurvivor(Exception):
    """A member's survivors have no end: only damage makes a circle of them."""


class Recorded(msgspec.Struct, frozen=True):
    """One stored operation. `outcome`, the last field, is the first answer, as a repeat would get it.

    `refusal` is a code, empty when it was accepted; `reference` the hold or the transit it used, 0 for none.
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


async def operation(connection: AsyncConnection, id_: int) -> Recorded | None:
    """The operation with this id, by primary key; None if there is none."""

    def ask(query: Select[Any], of: Any) -> Select[Any]:
        return query.where(of.bucket == bucket_of(id_), of.id == id_)

    found = await _read(connection, _everywhere(ask), {}, limit=1)
    return found[0] if found else None


async def operations_named(connection: AsyncConnection, ids: Collection[int]) -> dict[int, Recorded]:
    """Those of the operations that exist, by their ids; by primary key."""
    if not ids:
        return {}
    # An id of no bucket at all is an id of nothing.
    known = [(bucket_of(id_), id_) for id_ in ids if 0 <= bucket_of(id_) < BUCKETS]

    def ask(query: Select[Any], of: Any) -> Select[Any]:
        return query.where(tuple_(of.bucket, of.id).in_(known))

    return {found.id: found for found in await _read(connection, _everywhere(ask), {}, limit=len(known))}


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


async def operations_by_key(connection: AsyncConnection, principal: str, key: str) -> list[Recorded]:
    """What `principal` posted under `key`, oldest first: one probe of each bucket.

    A key is a bucket's own, so it names an operation of each bucket whose members it was sent for.
    """
    fingerprint = Keys.fingerprint(principal, key)
    query = select(keys.c.operation).where(keys.c.bucket.in_(range(BUCKETS)), keys.c.key == fingerprint)
    found = await operations_named(connection, list(await connection.scalars(query)))
    return sorted(found.values(), key=lambda each: (each.recorded_at, each.id))


async def outlet_of(connection: AsyncConnection, recorded: Recorded) -> int:
    """Where it was posted, 0 for nowhere; of a capture or a void, where its hold was made."""
    returned = recorded.outcome.returned
    # A reversed capture was once written without a place; it says by what it undid where that was.
    source = recorded.reference or (returned.purchase if returned else 0)
    if recorded.outlet or not source:
        return recorded.outlet
    found = await operation(connection, source)
    return found.outlet if found else 0


async def history(
    connection: AsyncConnection, member: int, *, before: int | None, limit: int
) -> list[Recorded]:
    """A person's operations, newest first, those before operation `before`; by the history index.

    Of each member that the person has been the newest few are read, and the newest of all are kept.
    """
    found: list[Recorded] = []
    asked, place = _NEWEST, dict[str, object]()
    if before is not None:
        recorded_at = await _recorded_at(connection, before)
        if recorded_at is None:
            return []  # before what does not exist there is nothing
        asked, place = _EARLIER, {"at": recorded_at, "id": before}
    for each in await same_person(connection, member):
        parameters = {"bucket": bucket_of(each), "member": each, **place}
        found += await _read(connection, asked, parameters, limit=limit)
    return sorted(found, key=lambda each: (each.recorded_at, each.id), reverse=True)[:limit]


async def _recorded_at(connection: AsyncConnection, id_: int) -> datetime | None:
    """When an operation was recorded; None if there is none."""
    for table in (operations, archived_operations):
        query = select(table.c.recorded_at).where(table.c.bucket == bucket_of(id_), table.c.id == id_)
        recorded_at: datetime | None = await connection.scalar(query)
        if recorded_at is not None:
            return recorded_at
    return None


async def _read(
    connection: AsyncConnection, asked: Iterable[Select[Any]], parameters: Mapping[str, object], *, limit: int
) -> list[Recorded]:
    """The first `limit` operations of a question (`_everywhere`) that is answered newest first.

    Archived months are older than all partitions, so they are asked for what the partitions lack.
    """
    rows: list[Any] = []
    for query in asked:
        rows += (await connection.execute(query, {**parameters, "limit": limit - len(rows)})).all()
        if len(rows) == limit:
            break
    return [_recorded(row) for row in rows]


def _everywhere(ask: Callable[[Select[Any], Any], Select[Any]]) -> tuple[Select[Any], ...]:
    """One question to the partitions, and the same to the archived months."""
    return tuple(
        ask(select(*(table.c[name] for name in Recorded.__struct_fields__)), table.c).limit(
            bindparam("limit", type_=Integer)
        )
        for table in (operations, archived_operations)
    )


def _of_member(query: Select[Any], of: Any) -> Select[Any]:
    own = query.where(of.bucket == bindparam("bucket"), of.member == bindparam("member"))
    return own.order_by(of.recorded_at.desc(), of.id.desc())


def _earlier_of_member(query: Select[Any], of: Any) -> Select[Any]:
    place = tuple_(bindparam("at", type_=of.recorded_at.type), bindparam("id", type_=of.id.type))
    return _of_member(query, of).where(tuple_(of.recorded_at, of.id) < place)


# Built once: making a statement takes as long as asking it.
_NEWEST: Final = _everywhere(_of_member)
_EARLIER: Final = _everywhere(_earlier_of_member)
_WITH_MERGED: Final = (
    select(wallets)
    .where(wallets.c.bucket == bindparam("bucket"), wallets.c.member == bindparam("member"))
    .union_all(select(wallets).where(wallets.c.merged_into == bindparam("member")))
)


async def survivor(connection: AsyncConnection, member: int) -> int:
    """Who `member` is now: the last in the chain of those it was merged into; itself if it was not.

    Raises `NoSurvivor` when the chain has no end.
    """
    for _ in range(MOST_SURVIVORS):
        where = (wallets.c.bucket == bucket_of(member)) & (wallets.c.member == member)
        merged_into = await connection.scalar(select(wallets.c.merged_into).where(where))
        if merged_into is None:
            return member
        member = merged_into
    raise NoSurvivor("a member's survivors have no end")


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


Standing = tuple[int, Balance, datetime | None]
"""A member, the balances as last written, and when one of them is due to change by itself."""


async def balances(connection: AsyncConnection, member: int) -> list[Standing]:
    """The wallets of whoever `member` is now."""
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
    parameters = {"bucket": bucket_of(member), "member": member}
    return (await connection.execute(_WITH_MERGED, parameters)).all()


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
    outcome = msgspec.structs.replace(read_outcome(row.id, row.outcome), detail=row.detail)
    return Recorded(*(*row[:-1], outcome))
