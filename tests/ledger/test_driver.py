"""Whatever dies between two legs, and however many drivers there are, each leg is posted exactly once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update

from ledger import Balance, Ledger, Outcome, invariants, proof
from ledger.commands import Command
from ledger.driving import drive_all
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import heads, operations, wallets
from tests.servers import Urls

from . import proving
from .builders import MEMBER, START, a_freeze, a_transfer, an_earn
from .instances import a_process

FRIEND = compose(40, 1)
RING = [compose(bucket, 1) for bucket in range(1, 64, 4)]


class Killed(BaseException):
    """The process is gone: nothing may catch it."""


async def posted(database: Database) -> dict[str, int]:
    """How often each kind of operation was accepted."""
    query = select(operations.c.kind, func.count()).where(operations.c.refusal == "")
    async with database.writer.connect() as connection:
        rows = await connection.execute(query.group_by(operations.c.kind))
        return {row[0]: row[1] for row in rows}


async def fence(database: Database, member: int, reason: str | None) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(update(heads).where(heads.c.bucket == member >> 56).values(fenced=reason))


@pytest.mark.parametrize("legs", [1, 2, 3])
@pytest.mark.parametrize("is_frozen", [False, True])
async def test_a_driver_killed_between_two_legs_is_followed_by_another(
    ledger: Ledger, database: Database, urls: Urls, legs: int, is_frozen: bool
) -> None:
    """`legs` are how many were posted before the end; whoever comes next ends it the same."""
    await ledger.submit_many([an_earn(100), an_earn(5, member=FRIEND)])
    if is_frozen:
        await ledger.submit(a_freeze(member=FRIEND))
    await ledger.submit(a_transfer(70, to_member=FRIEND))
    left = legs - 1

    async def submit(commands: Sequence[Command]) -> list[Outcome]:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        outcomes = await ledger.submit_many(commands)
        if not left:
            raise Killed
        return outcomes

    with pytest.raises(Killed):
        await drive_all(database, submit)
    async with a_process(urls) as other:
        await other.drive_all()
        again = await other.drive_all()

    assert again == 0
    moved = 0 if is_frozen else 70
    assert await ledger.balance(MEMBER) == Balance(available=100 - moved)
    assert await ledger.balance(FRIEND) == Balance(available=5 + moved)
    end = {"freeze": 1, "transfer_back": 1} if is_frozen else {"transfer_in": 1, "transfer_done": 1}
    assert await posted(database) == {"earn": 2, "transfer": 1, **end}
    await proving.holds(database)


async def test_drivers_at_the_same_time_post_each_leg_once(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit_many([an_earn(100, member=member) for member in RING])
    await ledger.submit_many([a_transfer(40, member=member, to_member=FRIEND) for member in RING])

    async with a_process(urls) as other, a_process(urls) as third:
        await asyncio.gather(*(each.drive_all() for each in (ledger, other, third, ledger, other)))

    assert await ledger.balance(FRIEND) == Balance(available=40 * len(RING))
    count = len(RING)
    assert await posted(database) == dict.fromkeys(
        ("earn", "transfer", "transfer_in", "transfer_done"), count
    )
    await proving.holds(database)


async def test_a_storm_in_a_ring_keeps_the_sum_at_every_moment(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    rolls = random.Random(7)
    await ledger.submit_many([an_earn(100, member=member) for member in RING])

    async def passes(process: Ledger) -> None:
        for _ in range(25):
            place = rolls.randrange(len(RING))
            to_member = RING[(place + 1) % len(RING)]
            await process.transfer(a_transfer(rolls.randint(1, 60), member=RING[place], to_member=to_member))

    async def looks_on() -> None:
        while True:
            await proving.holds(database)
            assert await _with_members(database) <= 100 * len(RING)

    async with a_process(urls) as other:
        onlooker = asyncio.create_task(looks_on())
        await asyncio.gather(*(passes(process) for process in (ledger, other) for _ in range(4)))
        onlooker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await onlooker

    assert await _with_members(database) == 100 * len(RING)
    assert (await posted(database))["transfer"] > 50
    await proving.holds(database)


async def test_points_that_wait_for_a_read_only_bucket_arrive_when_it_opens(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(100))
    await fence(database, FRIEND, "a proof failed")

    _, waiting = await ledger.transfer(a_transfer(70, to_member=FRIEND))
    assert waiting is not None
    assert waiting.state == "open"
    await proving.holds(database)
    await ledger.advance(START + timedelta(hours=2))
    found = await proof.prove(database.writer, invariants.INVARIANTS)
    await fence(database, FRIEND, None)
    ended = await ledger.drive_all()

    assert [finding.invariant for finding in found.findings] == ["transit_age"]
    assert ended == 1
    assert await ledger.balance(FRIEND) == Balance(available=70)
    await proving.holds(database)


async def test_points_that_lapse_on_the_way_arrive_with_grace(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(100, expires_at=START + timedelta(days=1)))
    await fence(database, FRIEND, "a proof failed")
    await ledger.transfer(a_transfer(70, to_member=FRIEND))

    await ledger.advance(START + timedelta(days=3))
    await fence(database, FRIEND, None)
    await ledger.drive_all()
    alive = await ledger.balance(FRIEND)
    await ledger.advance(START + timedelta(days=18))

    assert await ledger.balance(MEMBER) == Balance()
    assert (alive, await ledger.balance(FRIEND)) == (Balance(available=70), Balance())
    await proving.holds(database)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transits SET state = 'arrived'",
        "UPDATE transits SET state = 'open'",
        "UPDATE transits SET points = points + 1",
    ],
)
async def test_a_transit_that_was_tampered_with_is_found(
    ledger: Ledger, database: Database, change: str
) -> None:
    """Each change is made to one transit that has arrived and to one that waits."""
    await ledger.submit(an_earn(100))
    await ledger.transfer(a_transfer(10, to_member=FRIEND))
    await ledger.submit(a_transfer(20, to_member=FRIEND))

    async with database.writer.begin() as connection:
        await connection.execute(text(change))

    found = await proof.prove(database.writer, invariants.INVARIANTS)
    assert {finding.invariant for finding in found.findings} <= {"in_transit", "transit_ends", "transits"}
    assert found.findings


async def _with_members(database: Database) -> int:
    async with database.writer.connect() as connection:
        total = await connection.scalar(select(func.sum(wallets.c.available)))
    return int(total or 0)
