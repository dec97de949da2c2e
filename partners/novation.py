"""Novation: a partner leaves, and another obligor answers for the points it gave."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog
from sqlalchemy import Row, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Ledger, leaving, stock
from ledger.kernel.database import Database
from ledger.kernel.ids import OPERATOR
from ledger.kernel.refusals import InvalidInput, Refusal

from . import store
from .directory import PartnerUnknown
from .events import record
from .names import name as checked_name
from .tables import novations, partners

log = structlog.get_logger()

AT_ONCE: Final = 5_000
"""Wallets that one call novates at most; what is left waits for the next."""

SETTLES_AFTER: Final = timedelta(seconds=10)
"""How long after its suspension a till may still have had an earn of the leaver under way."""

_NOVATING: Final = 0x6E6F7661
"""The advisory lock of whoever novates; the novation's id is its second half."""


class PartnerStillTrading(Refusal):
    """Points could still be earned from it while they change hands."""

    code = "PARTNER_STILL_TRADING"

    def __init__(self) -> None:
        super().__init__("a partner that leaves is suspended first", field=("partner",))


class NovationUnderWay(Refusal):
    """A partner leaves once at a time."""

    code = "NOVATION_UNDER_WAY"

    def __init__(self) -> None:
        super().__init__("this partner's points are changing hands already", field=("partner",))


class Novation(msgspec.Struct, frozen=True, kw_only=True):
    """`leaver`'s points become `successor`'s (0: the operator). Done when none was found any more."""

    id: int
    leaver: int
    successor: int
    reason: str
    begun_at: datetime
    begun_by: str
    done_at: datetime | None = None


async def begin_novation(
    connection: AsyncConnection, leaver: int, *, successor: int, reason: str, at: datetime, by: str
) -> Novation:
    """Note that a suspended partner's points are to change hands; `drive_novation` does it.

    Raises `PartnerUnknown`, `PartnerStillTrading`, `NovationUnderWay`, and `InvalidInput` for a
    successor that is the leaver, or suspended itself.
    """
    checked_name(reason, field="reason")
    found = await store.lock_partner(connection, leaver)
    if found is None:
        raise PartnerUnknown
    if not found.is_suspended:
        raise PartnerStillTrading
    if successor == leaver:
        raise InvalidInput("another obligor takes over", field=("successor",))
    if successor != OPERATOR:
        heir = await store.lock_partner(connection, successor)
        if heir is None or heir.is_suspended:
            raise InvalidInput("the successor is no partner that trades", field=("successor",))
    row = {"leaver": leaver, "successor": successor, "reason": reason, "begun_at": at, "begun_by": by}
    try:
        made = await connection.execute(insert(novations).values(rounds=0, **row).returning(novations))
    except IntegrityError:
        raise NovationUnderWay from None
    novation = _novation(made.one())
    body = {"successor": successor, "reason": reason, "by": by}
    await record(connection, "partner.novation_begun", partner=leaver, at=at, body=body)
    return novation


async def drive_novation(
    database: Database, ledger: Ledger, id_: int, *, at: datetime, most: int = AT_ONCE
) -> Novation:
    """Bring a novation about `most` wallets further, and tell how it stands.

    Whoever is killed on the way left nothing half done; whoever comes second meanwhile waits for
    nothing and does nothing. Of the pool it takes one connection at a time.
    """
    async with database.apart() as holder:
        lock = {"lock": _NOVATING, "id": id_}
        taken = await holder.scalar(text("SELECT pg_try_advisory_lock(:lock, :id)"), lock)
        try:
            novation = await _find(holder, id_)
            if not taken or novation.done_at is not None:
                return novation
            await holder.rollback()
            return await _next_round(database, ledger, novation, at, most)
        finally:
            if taken:
                await holder.execute(text("SELECT pg_advisory_unlock(:lock, :id)"), lock)


async def drive_novations(database: Database, ledger: Ledger, *, at: datetime) -> int:
    """Bring every novation that is not done further; how many there are.

    One that was done is taken up again when its leaver answers for points after all.
    """
    async with database.writer.begin() as connection:
        await _take_up_again(connection)
    async with database.writer.connect() as connection:
        query = select(novations.c.id).where(novations.c.done_at.is_(None)).order_by(novations.c.id)
        waiting = list(await connection.scalars(query))
    for id_ in waiting:
        await drive_novation(database, ledger, id_, at=at)
    return len(waiting)


async def _take_up_again(connection: AsyncConnection) -> None:
    """A gateway that was cut off for long posts late what it had accepted before the suspension.

    A leaver that was reinstated since then has begun anew: what it gave is for another novation.
    """
    outstanding = {cell.obligor for cell in await stock.live(connection) if cell.points}
    latest = (
        select(func.max(novations.c.id))
        .join(partners, partners.c.id == novations.c.leaver)
        .where(novations.c.leaver.in_(outstanding), partners.c.suspended_at <= novations.c.begun_at)
        .group_by(novations.c.leaver)
    )
    reopened = await connection.execute(
        update(novations)
        .where(novations.c.id.in_(latest), novations.c.done_at.is_not(None))
        .values(done_at=None)
        .returning(novations.c.id)
    )
    for row in reopened:
        log.warning("novation_taken_up_again", novation=row.id)


async def novations_of(connection: AsyncConnection, leaver: int) -> list[Novation]:
    """A partner's novations, the latest first."""
    query = select(novations).where(novations.c.leaver == leaver).order_by(novations.c.id.desc())
    return [_novation(row) for row in await connection.execute(query)]


async def points_left(connection: AsyncConnection, obligor: int) -> int:
    """Points outstanding that `obligor` answers for now."""
    return sum(cell.points for cell in await stock.live(connection) if cell.obligor == obligor)


async def _next_round(
    database: Database, ledger: Ledger, novation: Novation, at: datetime, most: int
) -> Novation:
    counted = update(novations).where(novations.c.id == novation.id).values(rounds=novations.c.rounds + 1)
    async with database.writer.begin() as connection:
        round_ = await connection.scalar(counted.returning(novations.c.rounds))
    # Points on their way would be missed, so they are brought home first.
    await ledger.drive_all()
    done = await leaving.hand_over(
        database,
        ledger.submit_many,
        leaver=novation.leaver,
        successor=novation.successor,
        round_=f"{novation.id}:{round_}",
        at=at,
        most=most,
    )
    log.info("novation", novation=novation.id, round=round_, wallets=done)
    async with database.writer.begin() as connection:
        if not done and await _is_over(connection, ledger, novation.leaver, at):
            await connection.execute(
                update(novations).where(novations.c.id == novation.id).values(done_at=at)
            )
            body = {"successor": novation.successor}
            await record(connection, "partner.novated", partner=novation.leaver, at=at, body=body)
        return await _find(connection, novation.id)


async def _is_over(connection: AsyncConnection, ledger: Ledger, leaver: int, at: datetime) -> bool:
    """Whether nothing of the leaver can turn up any more; a driven clock stands still meanwhile."""
    partner = await store.lock_partner(connection, leaver)
    if partner is None or partner.suspended_at is None:
        return False
    has_settled = ledger.clock.is_driven or at - partner.suspended_at >= SETTLES_AFTER
    return has_settled and not await leaving.is_travelling(connection, leaver)


async def is_leaving(connection: AsyncConnection, partner: int) -> bool:
    """Whether the partner's points are changing hands just now."""
    under_way = (novations.c.leaver == partner) & novations.c.done_at.is_(None)
    return await connection.scalar(select(novations.c.id).where(under_way)) is not None


async def _find(connection: AsyncConnection, id_: int) -> Novation:
    return _novation((await connection.execute(select(novations).where(novations.c.id == id_))).one())


def _novation(row: Row[*tuple[object, ...]]) -> Novation:
    values = row._asdict()
    del values["rounds"]
    return Novation(**values)
