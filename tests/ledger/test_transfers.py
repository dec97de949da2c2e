"""Points go from member to member across buckets: all of them, once, and with everything that they are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from ledger import Balance, Ledger
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import lots

from . import proving
from .builders import FAR, MEMBER, a_freeze, a_transfer, an_earn
from .instances import codes

FRIEND = compose(40, 1)
DAY = timedelta(days=1)


async def lots_of(database: Database, member: int) -> list[Any]:
    async with database.writer.connect() as connection:
        query = select(lots).where(lots.c.member == member).order_by(lots.c.id)
        return list((await connection.execute(query)).all())


async def test_points_arrive_with_everything_that_they_are(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many(
        [an_earn(60, expires_at=FAR), an_earn(50, partner=2, tariff=9, obligor=5, expires_at=FAR - DAY)]
    )

    outcome, transit = await ledger.transfer(a_transfer(70, to_member=FRIEND))

    assert outcome.refused is None
    assert transit is not None
    assert transit.state == "arrived"
    assert await ledger.balance(MEMBER) == Balance(available=40)
    assert await ledger.balance(FRIEND) == Balance(available=70)
    before, after = await lots_of(database, MEMBER), await lots_of(database, FRIEND)
    assert [(lot.available, lot.parent) for lot in after] == [(50, before[1].id), (20, before[0].id)]
    for child, parent in zip(after, reversed(before), strict=True):
        for name in ("issuer", "obligor", "tariff", "earned_at", "expires_at", "armed_at"):
            assert getattr(child, name) == getattr(parent, name)
    await proving.holds(database)


async def test_a_repeat_of_a_transfer_moves_nothing(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(100))

    first, _ = await ledger.transfer(a_transfer(30, key="once", to_member=FRIEND))
    again, transit = await ledger.transfer(a_transfer(30, key="once", to_member=FRIEND))

    assert (again.operation, again.replayed) == (first.operation, True)
    assert transit is not None
    assert transit.state == "arrived"
    assert await ledger.balance(FRIEND) == Balance(available=30)
    await proving.holds(database)


@pytest.mark.parametrize(
    ("points", "to_member", "code"),
    [
        (101, FRIEND, "INSUFFICIENT_POINTS"),
        (0, FRIEND, "INVALID_INPUT"),
        (-5, FRIEND, "INVALID_INPUT"),
        (10, MEMBER, "TRANSFER_TO_SELF"),
    ],
)
async def test_a_transfer_that_makes_no_sense_is_refused(
    ledger: Ledger, database: Database, points: int, to_member: int, code: str
) -> None:
    await ledger.submit(an_earn(100))

    outcome, transit = await ledger.transfer(a_transfer(points, to_member=to_member))

    assert codes([outcome]) == [code]
    assert transit is None
    assert await ledger.balance(MEMBER) == Balance(available=100)
    await proving.holds(database)


async def test_what_a_frozen_member_refuses_goes_back_to_the_same_lots(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit_many([an_earn(60), an_earn(50, expires_at=FAR - DAY), an_earn(1, member=FRIEND)])
    before = await lots_of(database, MEMBER)
    await ledger.submit(a_freeze(member=FRIEND))

    _, transit = await ledger.transfer(a_transfer(70, to_member=FRIEND))

    assert transit is not None
    assert (transit.state, transit.refusal) == ("returned", "MEMBER_FROZEN")
    assert await lots_of(database, MEMBER) == before
    assert await ledger.balance(FRIEND) == Balance(available=1)
    await proving.holds(database)


async def test_points_for_nobody_come_back(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(60))

    _, transit = await ledger.transfer(a_transfer(60, to_member=compose(90, 1)))

    assert transit is not None
    assert transit.state == "returned"
    assert await ledger.balance(MEMBER) == Balance(available=60)
    await proving.holds(database)
