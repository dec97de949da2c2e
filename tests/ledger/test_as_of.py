"""Balances as of any instant, by both clocks: what a plain recount of the lines says, without one."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from ledger import Command, Ledger, asof, invariants, proof, tallies
from ledger.accounts import AVAILABLE, CLAWBACK_DUE, HELD, PENDING, REDEEMED
from ledger.asof import Clock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.kernel.refusals import InvalidInput
from ledger.outcomes import Balance
from ledger.tallies import PartnerStanding, Standing
from tests.servers import Urls

from . import proving
from .builders import FAR, MEMBER, START, A, B, a_burn, an_authorization, an_earn
from .instances import a_process, extend_calendar
from .test_opening import a_lot, an_opening

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CLOCKS = tuple(Clock)

_RECOUNT = text("""
    SELECT o.member, o.recorded_at, least(o.occurred_at, o.recorded_at) AS effective_at,
           l.issuer, l.obligor, l.redeemer, l.debit, l.credit, l.amount
    FROM operations o JOIN lines l ON l.bucket = o.bucket AND l.operation = o.id
""")


async def recount(database: Database) -> list[Any]:
    async with database.writer.connect() as connection:
        return list((await connection.execute(_RECOUNT)).all())


def counted(rows: Sequence[Any], at: datetime, clock: Clock) -> dict[int, int]:
    """Credits less debits by account kind, of rows up to an instant."""
    sums: dict[int, int] = defaultdict(int)
    for row in rows:
        if (row.recorded_at if clock is Clock.RECORDED else row.effective_at) <= at:
            sums[row.debit] -= row.amount
            sums[row.credit] += row.amount
    return sums


def balance_of(sums: dict[int, int]) -> Balance:
    return Balance(
        pending=sums[PENDING],
        available=sums[AVAILABLE],
        held=sums[HELD],
        clawback_due=-sums[CLAWBACK_DUE],
    )


async def as_of(database: Database, at: datetime, clock: Clock, member: int = MEMBER) -> Balance:
    async with database.writer.connect() as connection:
        return await asof.balance_as_of(connection, member, at, clock)


async def programme(database: Database, at: datetime, clock: Clock) -> Standing:
    async with database.writer.connect() as connection:
        return await tallies.programme_as_of(connection, at, clock)


async def partner(database: Database, number: int, at: datetime, clock: Clock) -> PartnerStanding:
    async with database.writer.connect() as connection:
        return await tallies.partner_as_of(connection, number, at, clock)


async def fold(database: Database, most: int = 2_000) -> int:
    async with database.writer.begin() as connection:
        return await tallies.fold(connection, most=most)


async def test_a_late_receipt_is_effective_before_it_is_recorded(database: Database, ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    await ledger.advance(START + 3 * DAY)
    await ledger.submit(an_earn(7, occurred_at=START + DAY))

    at = START + 2 * DAY
    assert (await as_of(database, at, Clock.RECORDED)).available == 100
    assert (await as_of(database, at, Clock.EFFECTIVE)).available == 107
    for clock in CLOCKS:
        assert (await as_of(database, START + 3 * DAY, clock)).available == 107
        assert (await as_of(database, START - DAY, clock)) == Balance()
    assert (await as_of(database, START + DAY - HOUR, Clock.EFFECTIVE)).available == 100
    await proving.holds(database)


async def test_what_falls_due_is_effective_when_it_was_due(database: Database, ledger: Ledger) -> None:
    """The sweep was late: the member was told of points that had expired the day before."""
    await ledger.submit(an_earn(100, expires_at=START + DAY))
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE clock SET now = :at"), {"at": START + 3 * DAY})
    ledger.clock.see(START + 3 * DAY)  # type: ignore[attr-defined]
    await ledger.balance(MEMBER)

    at = START + 2 * DAY
    assert (await as_of(database, at, Clock.RECORDED)).available == 100
    assert (await as_of(database, at, Clock.EFFECTIVE)).available == 0


@pytest.mark.parametrize(
    ("given", "before", "after"),
    [
        ({"available_at": START + DAY}, Balance(pending=100), Balance(available=100)),
        ({"expires_at": START + DAY}, Balance(available=100), Balance()),
    ],
    ids=["release", "expiry"],
)
async def test_what_is_due_at_an_instant_has_happened_at_that_very_instant(
    database: Database, ledger: Ledger, given: dict[str, Any], before: Balance, after: Balance
) -> None:
    """Asked at that instant, before the sweep came by: it is written first, and counts from there on."""
    due_at, tick = START + DAY, timedelta(microseconds=1)
    await ledger.submit(an_earn(100, **given))
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE clock SET now = :at"), {"at": due_at})
    ledger.clock.see(due_at)  # type: ignore[attr-defined]

    assert await ledger.balance_as_of(MEMBER, due_at, Clock.RECORDED) == before
    assert await ledger.balance_as_of(MEMBER, due_at - tick, Clock.EFFECTIVE) == before
    assert await ledger.balance_as_of(MEMBER, due_at, Clock.EFFECTIVE) == after
    for clock in CLOCKS:
        assert await as_of(database, due_at, clock) == after
        assert await as_of(database, due_at - tick, clock) == before
    await proving.holds(database)


async def test_points_spent_before_they_were_earned_are_negative_in_between(
    database: Database, ledger: Ledger
) -> None:
    await ledger.advance(START + 2 * DAY)
    await ledger.submit(an_earn(100, occurred_at=START + 2 * DAY))
    await ledger.submit(a_burn(40, occurred_at=START + DAY))

    assert (await as_of(database, START + DAY, Clock.EFFECTIVE)).available == -40


async def test_a_tills_clock_ahead_of_ours_changes_nothing(database: Database, ledger: Ledger) -> None:
    await ledger.submit(an_earn(100, occurred_at=START + timedelta(minutes=4)))

    for clock in CLOCKS:
        assert (await as_of(database, START, clock)).available == 100


async def test_a_standing_tells_a_partner_in_each_of_its_roles(database: Database, ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    await ledger.submit(an_earn(30, obligor=B, available_at=START + DAY))
    await ledger.submit(an_opening(a_lot(50)))
    await ledger.submit(a_burn(60))
    await ledger.submit(an_authorization(20))

    for _ in range(2):  # from lines, and then from tallies
        for clock in CLOCKS:
            of_a, of_b = [await partner(database, number, START, clock) for number in (A, B)]
            assert of_a.as_issuer == Standing(
                pending=30,
                available=70,
                held=20,
                in_transit=0,
                clawback_due=0,
                issued=130,
                brought=50,
                redeemed=60,
                expired=0,
                cancelled=0,
                adjusted=0,
            )
            assert (of_a.as_obligor.outstanding, of_a.as_obligor.pending) == (90, 0)
            assert (of_b.as_obligor.pending, of_b.as_issuer.issued) == (30, 0)
            assert (of_a.redeemed_here, of_b.redeemed_here) == (0, 60)
        await fold(database)


async def test_folding_goes_on_where_it_was_and_counts_nothing_twice(
    database: Database, ledger: Ledger
) -> None:
    for hour in range(5):
        await ledger.advance(START + hour * HOUR)
        await ledger.submit_many([an_earn(10, member=compose(n, 1)) for n in range(4) for _ in range(5)])
    told = await programme(database, START + DAY, Clock.RECORDED)

    at_once = await asyncio.gather(fold(database, 7), fold(database, 7))
    assert [*at_once, *[await fold(database, 7) for _ in range(3)]] == [28, 28, 28, 16, 0]
    assert await programme(database, START + DAY, Clock.RECORDED) == told
    assert told.available == 1_000
    await proving.holds(database)


async def test_a_standing_reads_no_line_of_a_whole_hour(database: Database, ledger: Ledger) -> None:
    """The rows read depend on the cells and the hours, not on how many operations there were."""
    for hour in range(1, 4):
        await ledger.advance(START + hour * HOUR)
        await ledger.submit_many([an_earn(1) for _ in range(300)])
    await ledger.advance(START + DAY)
    while await fold(database):
        pass

    async with database.writer.connect() as connection:
        await connection.execute(text("SET LOCAL stats_fetch_consistency = 'none'"))
        before = await _touched(connection)
        found = await tallies.programme_as_of(connection, START + 4 * HOUR, Clock.EFFECTIVE)
        after = await _touched(connection)

    assert found.available == 900
    assert after - before == 0


async def _touched(connection: Any) -> int:
    """Rows of history that this backend has read so far in its transaction."""
    query = text("""
        SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)
                            + pg_stat_get_xact_tuples_fetched(c.oid)), 0)
        FROM pg_class c WHERE c.relname ~ '^(lines|operations)_' AND c.relkind IN ('r', 'i')
    """)
    return int((await connection.execute(query)).scalar_one())


moves = st.lists(
    st.tuples(
        st.sampled_from(["earn", "pending", "burn", "hold", "wait", "fold"]),
        st.integers(0, 1),  # member
        st.integers(1, 2),  # partner
        st.integers(1, 60),  # points
        st.integers(0, 50 * 60),  # minutes late, or to wait
    ),
    max_size=25,
)


def test_both_clocks_say_what_a_recount_says(urls: Urls) -> None:
    plays = count(1)
    with asyncio.Runner() as runner:
        stack = _World(urls)
        runner.run(stack.open())

        @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(moves, st.lists(st.integers(0, 60 * 24 * 4), min_size=1, max_size=6))
        def play(script: Sequence[tuple[str, int, int, int, int]], instants: Sequence[int]) -> None:
            runner.run(stack.play(next(plays), script, instants))

        play()
        runner.run(stack.close())


class _World:
    def __init__(self, urls: Urls) -> None:
        self.urls = urls

    async def open(self) -> None:
        self.database = await Database.open(writer_url=self.urls.writer, reader_url=self.urls.reader)
        await extend_calendar(self.database)
        self.process = a_process(self.urls)
        self.ledger = await self.process.__aenter__()

    async def close(self) -> None:
        while await fold(self.database, 50):
            pass
        await proving.holds(self.database)
        await self.process.__aexit__(None, None, None)
        await self.database.close()

    async def play(
        self, number: int, script: Sequence[tuple[str, int, int, int, int]], instants: Sequence[int]
    ) -> None:
        began = self.ledger.clock.now()
        own = [compose(which, number) for which in range(2)]
        for kind, which, at_partner, points, minutes in script:
            now = self.ledger.clock.now()
            late = max(now - timedelta(minutes=minutes), began)
            common: dict[str, Any] = {"member": own[which], "partner": at_partner, "occurred_at": late}
            command: Command
            if kind == "wait":
                await self.ledger.advance(now + timedelta(minutes=minutes))
                continue
            if kind == "fold":
                await fold(self.database, points)
                continue
            if kind == "burn":
                command = a_burn(points, **common)
            elif kind == "hold":
                command = an_authorization(points, expires_at=now + 5 * HOUR, **common)
            else:
                available_at = now + 3 * HOUR if kind == "pending" else None
                command = an_earn(
                    points, available_at=available_at, expires_at=min(now + 2 * DAY, FAR), **common
                )
            await self.ledger.submit(command)
        await self._compare(own, [*(began + timedelta(minutes=each) for each in instants), began])

    async def _compare(self, own: Sequence[int], instants: Sequence[datetime]) -> None:
        rows = await recount(self.database)
        for at in instants:
            for clock in CLOCKS:
                for member in own:
                    mine = [row for row in rows if row.member == member]
                    expected = balance_of(counted(mine, at, clock))
                    assert await as_of(self.database, at, clock, member) == expected
                sums = counted(rows, at, clock)
                whole = await programme(self.database, at, clock)
                assert (whole.available, whole.pending, whole.held, whole.redeemed) == (
                    sums[AVAILABLE],
                    sums[PENDING],
                    sums[HELD],
                    sums[REDEEMED],
                )
                for number in (1, 2):
                    found = await partner(self.database, number, at, clock)
                    given_by = counted([row for row in rows if row.issuer == number], at, clock)
                    here = counted([row for row in rows if row.redeemer == number], at, clock)
                    assert (found.as_issuer.available, found.as_issuer.pending) == (
                        given_by[AVAILABLE],
                        given_by[PENDING],
                    )
                    assert found.redeemed_here == here[REDEEMED]


@pytest.mark.parametrize("clock", CLOCKS)
async def test_a_member_whose_history_is_gone_is_told_by_what_is_left(
    database: Database, ledger: Ledger, clock: Clock, urls: Urls
) -> None:
    """A month was detached: the first operation that is left tells what the balance was before it."""
    await ledger.submit(an_earn(100))
    await ledger.advance(START + 40 * DAY)
    await ledger.submit(an_earn(7, occurred_at=START + 40 * DAY))
    owner = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://"))
    async with owner.begin() as connection:
        for table in ("operations", "lines"):
            name = (
                await connection.execute(
                    text(
                        f"SELECT min(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                        f" WHERE i.inhparent = '{table}'::regclass"
                    )
                )
            ).scalar_one()
            await connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name}"))
    await owner.dispose()

    assert (await as_of(database, START + 20 * DAY, clock)).available == 100
    assert (await as_of(database, START + 40 * DAY, clock)).available == 107


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("UPDATE tallies SET points = points + 1 WHERE span = 'hour' AND clock = 'effective'", "tallies"),
        ("UPDATE tallies SET points = points + 1 WHERE span = 'day' AND clock = 'recorded'", "tally_spans"),
        ("UPDATE tally_marks SET last = last + 1", "tallies"),
        ("UPDATE tally_marks SET first = first + 1", "tally_marks"),
        ("UPDATE tally_marks SET starts_at = starts_at - interval '1 hour'", "tally_marks"),
        ("UPDATE tally_late SET starts_at = starts_at + interval '1 hour'", "tally_marks"),
        ("UPDATE tally_late SET operation = operation + 1", "tally_marks"),
        ("DELETE FROM tally_late", "tally_marks"),
    ],
)
async def test_a_tally_that_is_not_what_was_moved_is_found(
    database: Database, urls: Urls, ledger: Ledger, change: str, broken: str
) -> None:
    await ledger.submit(an_earn(100))
    await ledger.submit(an_earn(5, occurred_at=START - DAY))
    await fold(database)
    await ledger.submit(an_earn(7))
    engine = create_async_engine(urls.owner.replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        await connection.execute(text(change))
    await engine.dispose()

    found = await proof.prove(database.writer, invariants.INVARIANTS)

    assert broken in {finding.invariant for finding in found.findings}


async def test_what_lies_ahead_is_not_known(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput, match="lies ahead"):
        await ledger.balance_as_of(MEMBER, START + HOUR, Clock.EFFECTIVE)


async def test_what_was_due_by_then_is_in_the_effective_balance(ledger: Ledger, database: Database) -> None:
    """Asked before the sweep came by."""
    await ledger.submit(an_earn(100, expires_at=START + DAY))
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE clock SET now = :at"), {"at": START + 3 * DAY})
    ledger.clock.see(START + 3 * DAY)  # type: ignore[attr-defined]

    assert (await ledger.balance_as_of(MEMBER, START + 2 * DAY, Clock.RECORDED)).available == 100
    assert (await ledger.balance_as_of(MEMBER, START + 2 * DAY, Clock.EFFECTIVE)).available == 0
