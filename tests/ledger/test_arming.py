"""Where members are noticed first, points expire only after that: lazily to spend, swept to account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from ledger import Balance, Ledger, fence, stock
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import lots

from . import proving
from .builders import MEMBER, START, A, C, a_burn, a_transfer, a_void, an_arming, an_authorization, an_earn
from .instances import code
from .test_novation import leave

DAY = timedelta(days=1)
NOTICE = 30
FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def noticing(database: Database, driven_clock: DrivenClock) -> AsyncIterator[Ledger]:
    """A ledger whose programme tells members thirty days before their points expire."""
    months = [
        (n, datetime(2026, n, 1, tzinfo=UTC), datetime(2026, n + 1, 1, tzinfo=UTC)) for n in range(1, 12)
    ]
    async with database.writer.begin() as connection:
        await fence.extend(connection, months, "UTC", NOTICE)
    opened = Ledger(database, driven_clock)
    await opened.start()
    yield opened
    await opened.drain()


async def expiries(database: Database, member: int = MEMBER) -> list[tuple[int, datetime, bool]]:
    """(points, expiry, is armed) of each lot that is not empty."""
    query = select(lots.c.available + lots.c.pending, lots.c.expires_at, lots.c.armed_at.is_not(None))
    where = (lots.c.member == member) & (lots.c.available + lots.c.pending > 0)
    async with database.writer.connect() as connection:
        rows = await connection.execute(query.where(where).order_by(lots.c.id))
        return [(row[0], row[1], row[2]) for row in rows]


async def months_of_expiry(database: Database) -> dict[int, int]:
    async with database.writer.connect() as connection:
        return {cell.expiry_month: cell.points for cell in await stock.live(connection) if cell.points}


async def test_points_that_nobody_was_told_of_may_still_be_spent(
    noticing: Ledger, database: Database
) -> None:
    await noticing.submit_many(
        [an_earn(60, expires_at=FEBRUARY), an_earn(40, expires_at=FEBRUARY, available_at=START + DAY)]
    )

    await noticing.advance(FEBRUARY + DAY)

    assert await noticing.balance(MEMBER) == Balance(available=100)
    assert code(await noticing.submit(a_burn(70))) == "OK"
    await proving.holds(database)


async def test_armed_in_time_they_expire_as_promised(noticing: Ledger, database: Database) -> None:
    await noticing.submit_many(
        [an_earn(60, expires_at=FEBRUARY + 9 * DAY), an_earn(7, expires_at=MARCH + DAY)]
    )

    armed = await noticing.submit(an_arming(until=MARCH, notice_days=NOTICE))
    await noticing.advance(FEBRUARY + 10 * DAY)

    assert armed.points == 60
    assert await noticing.balance(MEMBER) == Balance(available=7)
    await proving.holds(database)


async def test_armed_late_they_expire_no_sooner_than_the_notice(noticing: Ledger, database: Database) -> None:
    await noticing.submit_many(
        [an_earn(60, expires_at=FEBRUARY), an_earn(30, expires_at=FEBRUARY, available_at=START + 40 * DAY)]
    )
    hold = (await noticing.submit(an_authorization(15, expires_at=MARCH))).hold or 0
    await noticing.advance(FEBRUARY + 5 * DAY + timedelta(hours=3))
    before = await months_of_expiry(database)

    armed = await noticing.submit(an_arming(until=MARCH, notice_days=NOTICE))
    again = await noticing.submit(an_arming(until=MARCH, notice_days=NOTICE))

    ends_at = datetime(2026, 3, 9, tzinfo=UTC)
    assert (armed.points, again.points) == (90, 0)
    assert await expiries(database) == [(45, ends_at, True), (30, ends_at, True)]
    assert (before, await months_of_expiry(database)) == ({202601: 60}, {202603: 60})
    await proving.holds(database)
    await noticing.submit(a_void(hold))
    await noticing.advance(ends_at - timedelta(microseconds=1))
    assert await noticing.balance(MEMBER) == Balance(available=90)
    await noticing.advance(ends_at)
    assert await noticing.balance(MEMBER) == Balance()
    await proving.holds(database)


async def test_only_the_lots_that_were_named_are_armed(noticing: Ledger, database: Database) -> None:
    await noticing.submit_many([an_earn(60, expires_at=FEBRUARY), an_earn(40, expires_at=FEBRUARY)])
    async with database.writer.connect() as connection:
        first, _ = list(await connection.scalars(select(lots.c.id).order_by(lots.c.id)))

    await noticing.submit(an_arming(until=MARCH, notice_days=1, lots=(first,)))

    assert [is_armed for _, _, is_armed in await expiries(database)] == [True, False]
    await proving.holds(database)


async def test_a_lapsed_lot_that_waits_for_its_notice_takes_held_points_back(
    noticing: Ledger, database: Database
) -> None:
    await noticing.submit(an_earn(60, expires_at=FEBRUARY))
    hold = (await noticing.submit(an_authorization(20, expires_at=MARCH))).hold or 0
    await noticing.advance(FEBRUARY + DAY)

    await noticing.submit(a_void(hold))

    assert await expiries(database) == [(60, FEBRUARY, False)]
    await proving.holds(database)


async def test_an_unarmed_lot_stays_unarmed_with_another_member_and_another_obligor(
    noticing: Ledger, database: Database
) -> None:
    friend = compose(40, 1)
    await noticing.submit_many([an_earn(60, partner=C, expires_at=FEBRUARY), an_earn(1, partner=A)])
    await noticing.advance(FEBRUARY + DAY)

    await noticing.transfer(a_transfer(25, to_member=friend))
    await leave(database, noticing)

    assert await expiries(database, friend) == [(25, FEBRUARY, False)]
    assert (35, FEBRUARY, False) in await expiries(database)
    await proving.holds(database)


async def test_without_notices_a_release_arms(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many(
        [an_earn(60, expires_at=FEBRUARY), an_earn(40, expires_at=FEBRUARY, available_at=START + DAY)]
    )

    await ledger.advance(FEBRUARY)

    assert await ledger.balance(MEMBER) == Balance()
    await proving.holds(database)
