"""Bugs of other loyalty ledgers and payment systems, one test each, so that they are not ours."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest
from sqlalchemy import select

from ledger import Balance, Command, Ledger, fence, flows
from ledger.decide.giving_back import end_of_day
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import blocks, heads, operations
from tests.servers import Urls

from . import proving
from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    C,
    a_burn,
    a_capture,
    a_donation,
    a_return,
    a_transfer,
    a_void,
    an_authorization,
    an_earn,
)
from .instances import a_process, code, codes

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)


async def test_a_rejected_hold_cannot_be_captured(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(20))
    rejected = await ledger.submit(an_authorization(21))
    assert code(rejected) == "INSUFFICIENT_POINTS"
    assert rejected.hold is None

    await ledger.submit(an_earn(100))
    attempts = [a_capture(rejected.operation), a_capture(rejected.operation, 5), a_void(rejected.operation)]
    outcomes = await ledger.submit_many(attempts)

    assert codes(outcomes) == ["HOLD_NOT_FOUND"] * 3
    assert await ledger.balance(MEMBER) == Balance(available=120)
    await proving.holds(database)


async def test_nothing_is_not_held_and_less_than_nothing_is_not_moved(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(10))).hold
    assert hold is not None
    odd: list[Command] = [
        make(points)
        for points in (0, -5)
        for make in (a_burn, an_authorization, a_donation, partial(a_capture, hold))
    ]
    odd += [a_transfer(0, to_member=compose(7, 2)), a_transfer(-5, to_member=compose(7, 2)), an_earn(-5)]

    alone = [await ledger.submit(each) for each in odd]
    together = await ledger.submit_many([msgspec.structs.replace(each, key=f"{each.key}-2") for each in odd])
    nothing = await ledger.submit(an_earn(0))

    assert set(codes([*alone, *together])) == {"INVALID_INPUT"}
    assert all(each.refused and each.refused.field == ("points",) for each in alone)
    assert code(nothing) == "OK"
    assert await ledger.balance(MEMBER) == Balance(available=90, held=10)
    await proving.holds(database)


async def test_a_burn_of_less_than_nothing_does_not_keep_lots_from_another(ledger: Ledger) -> None:
    await ledger.submit_many([an_earn(10, expires_at=FAR + DAY * day) for day in range(9)])

    outcomes = await ledger.submit_many([a_burn(90), a_burn(-80)])

    assert codes(outcomes) == ["OK", "INVALID_INPUT"]


async def test_points_in_flight_are_not_spent_again(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    hold = await ledger.submit(an_authorization(70))

    outcomes = await ledger.submit_many([a_burn(31), an_authorization(31), a_burn(30)])

    assert hold.balance == Balance(available=30, held=70)
    assert codes(outcomes) == ["INSUFFICIENT_POINTS", "INSUFFICIENT_POINTS", "OK"]
    assert await ledger.balance(MEMBER) == Balance(held=70)


async def test_no_balance_goes_below_zero_however_many_burn_at_once(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit_many([an_earn(50), an_earn(50)])

    async with a_process(urls) as second, a_process(urls) as third:
        tills = (ledger, second, third)
        outcomes = await asyncio.gather(*(till.submit(a_burn(9)) for _ in range(20) for till in tills))

    assert Counter(codes(outcomes)) == {"OK": 11, "INSUFFICIENT_POINTS": 49}
    assert all(outcome.balance.available >= 0 for outcome in outcomes)
    assert await ledger.balance(MEMBER) == Balance(available=1)
    await proving.holds(database)


async def test_points_that_were_spent_do_not_expire_as_well(ledger: Ledger, database: Database) -> None:
    dies_at = START + 10 * DAY
    await ledger.submit(an_earn(100, expires_at=dies_at))
    await ledger.submit(a_burn(30))
    hold = (await ledger.submit(an_authorization(20, expires_at=START + 20 * DAY))).hold
    assert hold is not None

    await ledger.advance(dies_at)
    await ledger.submit(a_capture(hold))
    await ledger.advance(dies_at + 30 * DAY)

    async with database.writer.connect() as connection:
        moved = Counter[str]()
        for flow in [*await flows.so_far(connection, 1), *await flows.so_far(connection, 2)]:
            moved[flow.operation] += flow.points
    assert moved == {"release": 100, "burn": 50, "expire": 50}
    assert await ledger.balance(MEMBER) == Balance()
    await proving.holds(database)


@pytest.mark.parametrize(
    ("starts_at", "last_day"),
    [
        (datetime(2026, 3, 20, 8, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=BERLIN)),
        (datetime(2026, 10, 20, 8, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=BERLIN)),
    ],
)
async def test_points_expire_at_the_end_of_the_local_day_on_which_the_clocks_change(
    database: Database, driven_clock: DrivenClock, starts_at: datetime, last_day: datetime
) -> None:
    ledger = await _in_berlin(database, driven_clock)
    await ledger.advance(starts_at)
    dies_at = end_of_day(last_day.astimezone(UTC) + timedelta(hours=12), BERLIN)
    await ledger.submit(an_earn(40, occurred_at=starts_at, expires_at=dies_at))

    await ledger.advance(last_day.replace(hour=23, minute=59, second=59).astimezone(UTC))
    alive = await ledger.balance(MEMBER)
    await ledger.advance((last_day.replace(tzinfo=None) + DAY).replace(tzinfo=BERLIN).astimezone(UTC))
    dead = await ledger.balance(MEMBER)

    assert (alive.available, dead.available) == (40, 0)
    await proving.holds(database)
    await ledger.drain()


async def test_a_transaction_that_commits_late_cannot_slip_past_the_hash_chain(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """Elsewhere a chain built by a reader misses a row that was numbered early and committed late."""
    await ledger.submit(an_earn(10))
    late = await asyncpg.connect(urls.writer)
    transaction = late.transaction()
    await transaction.start()
    await late.execute("SELECT 1 FROM heads WHERE bucket = $1 FOR UPDATE", MEMBER >> 56)

    waiting = asyncio.create_task(ledger.submit(an_earn(20)))
    elsewhere = await ledger.submit(an_earn(5, member=compose(60, 1)))
    assert not waiting.done()
    await transaction.commit()
    await late.close()

    assert codes([elsewhere, await waiting]) == ["OK", "OK"]
    await proving.holds(database)


async def test_no_event_is_lost_between_the_commit_and_the_log(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """Elsewhere an outbox is a second write, and a crash or a sequence's gap loses an event."""
    members = [compose(bucket, 1) for bucket in (5, 5, 6, 20, 63)]
    async with a_process(urls) as other:
        await asyncio.gather(
            *(
                own.submit(an_earn(1, member=member))
                for _ in range(25)
                for member in members
                for own in (ledger, other)
            )
        )
        await other.submit_many([a_burn(999, member=member) for member in members])

    async with database.writer.connect() as connection:
        log = (await connection.execute(select(blocks).order_by(blocks.c.bucket, blocks.c.height))).all()
        ids = list(await connection.scalars(select(operations.c.id).order_by(operations.c.id)))
        ends: dict[int, Any] = {
            row.bucket: row for row in await connection.execute(select(heads).where(heads.c.height > 0))
        }
    assert len(ids) == 25 * 2 * len(members) + len(members)
    for bucket, head in ends.items():
        own = [block for block in log if block.bucket == bucket]
        spans = [(block._mapping["first"], block._mapping["count"]) for block in own]
        assert [block.height for block in own] == list(range(1, head.height + 1))
        assert [id_ for id_ in ids if id_ >> 56 == bucket] == [
            first + n for first, count in spans for n in range(count)
        ]
        assert sum(count for _, count in spans) == head.operations
        assert [block.recorded_at for block in own] == sorted(block.recorded_at for block in own)


async def test_a_void_that_is_repeated_gives_back_once(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None

    first = await ledger.submit(a_void(hold, key="v"))
    repeated = await ledger.submit(a_void(hold, key="v"))
    under_another_key = await ledger.submit(a_void(hold))
    after_capture = await ledger.submit(a_capture(hold))

    assert first.points == 60
    assert repeated.replayed
    assert codes([under_another_key, after_capture]) == ["HOLD_CLOSED"] * 2
    assert await ledger.balance(MEMBER) == Balance(available=100)
    await proving.holds(database)


async def test_voids_sent_together_give_back_once(ledger: Ledger, database: Database, urls: Urls) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None

    async with a_process(urls) as other:
        tries = await asyncio.gather(
            *(own.submit(a_void(hold)) for _ in range(10) for own in (ledger, other))
        )

    assert Counter(codes(tries)) == {"OK": 1, "HOLD_CLOSED": 19}
    assert await ledger.balance(MEMBER) == Balance(available=100)
    await proving.holds(database)


async def test_a_capture_at_the_very_instant_of_expiry_is_too_late(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60, expires_at=START + DAY))).hold
    assert hold is not None

    await ledger.advance(START + DAY)
    outcome = await ledger.submit(a_capture(hold))

    assert code(outcome) == "HOLD_EXPIRED"
    assert await ledger.balance(MEMBER) == Balance(available=100)
    await proving.holds(database)


async def test_a_partner_in_every_transaction_keeps_its_figures(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """Elsewhere a hot account loses updates, or serialises everybody."""
    members = [compose(bucket, 1) for bucket in range(64)]
    async with a_process(urls) as other:
        await asyncio.gather(
            *(
                own.submit(an_earn(3, member=member, partner=A))
                for member in members
                for own in (ledger, other)
            )
        )

    async with database.writer.connect() as connection:
        (flow,) = await flows.so_far(connection, 1)
    assert (flow.points, flow.count) == (3 * 128, 128)
    await proving.holds(database)


async def test_a_refund_that_is_repeated_gives_back_once(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """Elsewhere a refund sent twice, under one key or two, is paid out twice."""
    await ledger.submit(an_earn(100))
    burned = (await ledger.submit(a_burn(60))).operation

    async with a_process(urls) as other:
        tries = await asyncio.gather(
            *(own.submit(a_return(burned, partner=B)) for _ in range(8) for own in (ledger, other)),
            *(own.submit(a_return(burned, partner=B, key="r")) for _ in range(8) for own in (ledger, other)),
        )

    fresh = [outcome for outcome in tries if not outcome.replayed]
    accepted = {outcome.operation for outcome in tries if outcome.refused is None}
    assert len(accepted) == 1
    assert set(codes(fresh)) <= {"OK", "RETURN_EXCEEDS_ORIGINAL"}
    assert await ledger.balance(MEMBER) == Balance(available=100)
    await proving.holds(database)


@pytest.mark.parametrize("spent", [60, 100])
async def test_a_burn_that_is_refunded_after_its_lot_expired_leaves_points_to_spend(
    ledger: Ledger, database: Database, spent: int
) -> None:
    """Elsewhere they go back to the dead lot and are lost, or live for ever; emptied lots are forgotten."""
    await ledger.submit(an_earn(100, expires_at=START + 10 * DAY))
    burned = (await ledger.submit(a_burn(spent))).operation
    await ledger.advance(START + 12 * DAY)

    outcome = await ledger.submit(a_return(burned, partner=B))
    lives = await ledger.balance(MEMBER)
    await ledger.advance(START + 27 * DAY)

    assert outcome.returned is not None
    assert [(lot.points, lot.expires_at) for lot in outcome.returned.lots] == [(spent, START + 27 * DAY)]
    assert lives == Balance(available=spent)
    assert await ledger.balance(MEMBER) == Balance()
    await proving.holds(database)


async def test_a_return_in_a_later_month_is_booked_there_and_says_where_it_comes_from(
    ledger: Ledger, database: Database
) -> None:
    """Elsewhere it changes the closed month, or the month it was bought in is forgotten."""
    await ledger.submit(an_earn(100, partner=C))
    earned = (await ledger.submit(an_earn(30, partner=A))).operation
    burned = (await ledger.submit(a_burn(50))).operation
    await ledger.advance(START + 40 * DAY)

    await ledger.submit_many([a_return(earned), a_return(burned, partner=B)])

    async with database.writer.connect() as connection:
        first = {flow.operation for flow in await flows.so_far(connection, 1)}
        later = [
            (flow.operation, flow.points, flow.origin_period) for flow in await flows.so_far(connection, 2)
        ]
    assert first == {"release", "burn"}
    assert later == [("claw_back", 30, 1), ("burn_return", 50, 1)]
    await proving.holds(database)


async def test_a_claw_back_larger_than_the_balance_takes_no_balance_below_zero(
    ledger: Ledger, database: Database
) -> None:
    """Elsewhere the balance goes negative and every later sum with it, or the rest is forgiven."""
    purchases = [(await ledger.submit(an_earn(points))).operation for points in (70, 30)]
    await ledger.submit(a_burn(90))

    outcomes = await ledger.submit_many([a_return(purchase) for purchase in purchases])

    assert codes(outcomes) == ["OK", "OK"]
    assert [outcome.balance for outcome in outcomes] == [
        Balance(clawback_due=60),
        Balance(clawback_due=90),
    ]
    await proving.holds(database)


async def test_later_earns_pay_a_debt_once_and_then_are_the_members(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """Elsewhere two earns at once each pay the whole of it."""
    purchase = (await ledger.submit(an_earn(100))).operation
    await ledger.submit(a_burn(100))
    await ledger.submit(a_return(purchase))

    async with a_process(urls) as other:
        await asyncio.gather(*(own.submit(an_earn(9)) for _ in range(10) for own in (ledger, other)))

    assert await ledger.balance(MEMBER) == Balance(available=80)
    await proving.holds(database)


async def _in_berlin(database: Database, clock: DrivenClock) -> Ledger:
    """A running ledger whose periods are the months of Berlin."""
    starts = [datetime(2026, month, 1, tzinfo=BERLIN) for month in range(1, 13)]
    spans = [(n, *span) for n, span in enumerate(pairwise(starts), start=1)]
    async with database.writer.begin() as connection:
        await fence.extend(connection, spans, BERLIN.key)
    ledger = Ledger(database, clock)
    await ledger.start()
    return ledger
