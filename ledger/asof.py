"""A member's balance as of an instant, by either clock, from a few of the member's own operations.

Recorded: what had been written by then. Every operation keeps the balance it left, so that is the
last one written. Effective: what had happened by then, whenever it was written. That is the same
and what was written later of what had happened before: the late ones, of which there are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    and_,
    bindparam,
    func,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from .accounts import AVAILABLE, CLAWBACK_DUE, HELD, PENDING, POINTS, POINTS_KINDS
from .evidence.tables import archived_lines, archived_operations
from .kernel.ids import bucket_of
from .kernel.refusals import InvalidInput
from .outcomes import Balance, read_outcome
from .tables import lines, operations, wallets


class Clock(StrEnum):
    """By which of its two instants an operation counts.

    An operation is effective when it occurred, and never later than it was recorded, whatever a
    till's clock said. What happens by itself (release, lapse, expiry) occurred when it was due.
    """

    EFFECTIVE = "effective"
    RECORDED = "recorded"


def check_past(at: datetime, now: datetime) -> None:
    """Raise `InvalidInput` for an instant that lies ahead: nobody knows what will be true then."""
    if at > now:
        raise InvalidInput("this instant lies ahead", field=("asOf",))


async def balance_as_of(connection: AsyncConnection, member: int, at: datetime, clock: Clock) -> Balance:
    """The member's balances after everything up to and including `at`.

    By the recorded clock they are what anybody who asked at `at` was told, at the latest by the
    sweep. By the effective clock a late item counts where it belongs, so `available` may be
    negative: points that were spent, as it turned out, before they were earned. What is due and
    not written yet is not in it. By ix_operations_history, which knows both instants: of the member's
    operations that one is read, and those that are late.
    """
    recorded = await _recorded(connection, member, at)
    if clock is Clock.RECORDED:
        return recorded
    late = {"bucket": bucket_of(member), "member": member, "at": at}
    return _plus(recorded, await _effect(connection, _LATE, late))


async def _recorded(connection: AsyncConnection, member: int, at: datetime) -> Balance:
    whose = {"bucket": bucket_of(member), "member": member}
    last = max((await connection.execute(_LAST, {**whose, "at": at})).all(), key=_place, default=None)
    if last is not None:
        return read_outcome(last.id, last.outcome).balance
    # Nothing happened before: then the first operation tells what was brought along.
    found = min((await connection.execute(_FIRST, whose)).all(), key=_place, default=None)
    if found is None:
        return await _present(connection, member)
    effect = await _effect(connection, _ONE, {**whose, "id": found.id, "recorded_at": found.recorded_at})
    return _plus(read_outcome(found.id, found.outcome).balance, effect, sign=-1)


async def _present(connection: AsyncConnection, member: int) -> Balance:
    query = select(wallets).where(wallets.c.bucket == bucket_of(member), wallets.c.member == member)
    row = (await connection.execute(query)).first()
    if row is None:
        return Balance()
    return Balance(pending=row.pending, available=row.available, held=row.held, clawback_due=row.clawback_due)


def _own(table: FromClause) -> ColumnElement[bool]:
    return and_(table.c.bucket == bindparam("bucket"), table.c.member == bindparam("member"))


def _place(row: Any) -> tuple[datetime, int]:
    """Where an operation stands in its bucket's history."""
    return row.recorded_at, row.id


def _up_to(table: FromClause) -> Select[Any]:
    """A member's last operation up to an instant."""
    query = select(table.c.id, table.c.recorded_at, table.c.outcome)
    before = query.where(_own(table), table.c.recorded_at <= bindparam("at"))
    return before.order_by(table.c.recorded_at.desc(), table.c.id.desc()).limit(1)


def _first(table: FromClause) -> Select[Any]:
    """A member's first operation."""
    query = select(table.c.id, table.c.recorded_at, table.c.outcome).where(_own(table))
    return query.order_by(table.c.recorded_at, table.c.id).limit(1)


def _moved(operations: FromClause, lines: FromClause) -> Select[Any]:
    """What some of a member's operations moved, by the accounts that it was between."""
    same = (
        (lines.c.bucket == operations.c.bucket)
        & (lines.c.operation == operations.c.id)
        & (lines.c.recorded_at == operations.c.recorded_at)
    )
    return (
        select(lines.c.debit, lines.c.credit, func.sum(lines.c.amount))
        .join_from(operations, lines, same)
        .where(_own(operations), lines.c.unit == POINTS)
        .group_by(lines.c.debit, lines.c.credit)
    )


def _of_one(operations: FromClause, lines: FromClause) -> Select[Any]:
    """What one operation moved."""
    return _moved(operations, lines).where(
        operations.c.id == bindparam("id"), operations.c.recorded_at == bindparam("recorded_at")
    )


def _late(operations: FromClause, lines: FromClause) -> Select[Any]:
    """What was written after an instant and had happened by then."""
    return _moved(operations, lines).where(
        operations.c.recorded_at > bindparam("at"), operations.c.occurred_at <= bindparam("at")
    )


def _everywhere(*parts: Select[Any]) -> CompoundSelect[Any]:
    """The answers of the partitions and of the archived months, in one statement.

    Each is asked by itself, not by a view of both: partitions come in the order of time, so the
    first that has an answer is enough of them, and where nothing is archived nothing is added.
    """
    return union_all(*(select(part.subquery()) for part in parts))


# Built once: making a statement takes as long as asking it.
_LAST: Final = _everywhere(_up_to(operations), _up_to(archived_operations))
_FIRST: Final = _everywhere(_first(operations), _first(archived_operations))
_ONE: Final = _everywhere(_of_one(operations, lines), _of_one(archived_operations, archived_lines))
_LATE: Final = _everywhere(_late(operations, lines), _late(archived_operations, archived_lines))


async def _effect(
    connection: AsyncConnection, moved: CompoundSelect[Any], parameters: Mapping[str, object]
) -> list[int]:
    """Credits less debits by account kind."""
    sums = [0] * POINTS_KINDS
    for debit, credit, points in await connection.execute(moved, parameters):
        sums[debit] -= int(points)
        sums[credit] += int(points)
    return sums


def _plus(balance: Balance, effect: list[int], *, sign: int = 1) -> Balance:
    return Balance(
        pending=balance.pending + sign * effect[PENDING],
        available=balance.available + sign * effect[AVAILABLE],
        held=balance.held + sign * effect[HELD],
        clawback_due=balance.clawback_due - sign * effect[CLAWBACK_DUE],
    )
