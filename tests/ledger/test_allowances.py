"""Allowances: a ceiling that all members share is never passed, and used up before anybody is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError

from ledger import Counter, Earn, Ledger, Outcome, invariants, proof, windows
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import allowance_pools, allowances
from tests.damage import as_owner_without_triggers
from tests.servers import Urls

from . import proving
from .builders import START, a_counter, an_earn
from .instances import a_process, code, codes, extend_calendar

_numbers = count(1)


@pytest.fixture(autouse=True)
async def _proof_holds(database: Database) -> AsyncIterator[None]:
    yield
    await proving.holds(database)


def issued(points: int, ceiling: int, window: str = windows.EVER) -> tuple[Counter, ...]:
    """What an earn of a partner with an issuance limit carries."""
    return (Counter(name="issued/1", window=window, increment=points, ceiling=ceiling, is_shared=True),)


def a_limited_earn(points: int, ceiling: int, *, bucket: int | None = None, key: str | None = None) -> Earn:
    """An earn of a member of its own, in one bucket after the other."""
    number = next(_numbers)
    member = compose(number % 64 if bucket is None else bucket, 1_000 + number)
    return an_earn(points, key=key, member=member, counters=issued(points, ceiling))


async def in_use(database: Database) -> tuple[int, int]:
    """What escrows were granted and have used, all buckets together."""
    async with database.writer.connect() as connection:
        query = select(func.sum(allowances.c.granted), func.sum(allowances.c.used))
        granted, used = (await connection.execute(query)).one()
    return int(granted or 0), int(used or 0)


async def test_a_till_sees_success_until_the_limit_and_a_final_no_after_it(ledger: Ledger) -> None:
    outcomes = [await ledger.submit(a_limited_earn(10, 1_000)) for _ in range(101)]

    assert codes(outcomes) == ["OK"] * 100 + ["LIMIT_EXCEEDED"]
    refused = outcomes[-1].refused
    assert refused is not None
    assert (refused.limit, refused.retryable, outcomes[-1].operation > 0) == ("issued/1", False, True)


async def test_the_last_point_is_given_from_whatever_bucket(ledger: Ledger, database: Database) -> None:
    """Escrow that others have not used is called back before anybody is refused."""
    for bucket in range(64):
        assert code(await ledger.submit(a_limited_earn(1, 100_000, bucket=bucket))) == "OK"
    granted, used = await in_use(database)
    assert granted > used

    async with asyncio.timeout(20):
        whole = await ledger.submit(a_limited_earn(100_000 - 64, 100_000, bucket=5))
        one_more = await ledger.submit(a_limited_earn(1, 100_000, bucket=9))

    assert codes([whole, one_more]) == ["OK", "LIMIT_EXCEEDED"]
    assert await in_use(database) == (100_000, 100_000)


async def test_a_smaller_earn_still_fits_after_a_larger_was_refused(ledger: Ledger) -> None:
    await ledger.submit(a_limited_earn(90, 100))

    outcomes = [await ledger.submit(a_limited_earn(points, 100)) for points in (11, 10, 1)]

    assert codes(outcomes) == ["LIMIT_EXCEEDED", "OK", "LIMIT_EXCEEDED"]


async def test_a_batch_at_the_edge_gives_what_fits_and_refuses_the_rest(ledger: Ledger) -> None:
    batch = [a_limited_earn(30, 100, bucket=3) for _ in range(5)]

    assert codes(await ledger.submit_many(batch)) == ["OK"] * 3 + ["LIMIT_EXCEEDED"] * 2


async def test_one_that_asks_too_much_leaves_the_rest_to_others_of_its_batch(
    ledger: Ledger, database: Database
) -> None:
    too_much, enough = a_limited_earn(1_001, 1_000, bucket=3), a_limited_earn(1_000, 1_000, bucket=4)

    outcomes = await ledger.submit_many([too_much, enough])

    assert codes(outcomes) == ["LIMIT_EXCEEDED", "OK"]
    assert await in_use(database) == (1_000, 1_000)


async def test_what_is_refused_for_another_reason_leaves_the_rest_to_others_of_its_batch(
    ledger: Ledger, database: Database
) -> None:
    both = (*issued(900, 1_000), a_counter(900, ceiling=50))
    refused = an_earn(900, member=compose(3, 1), counters=both)
    rest = [a_limited_earn(100, 1_000, bucket=4 + number) for number in range(10)]

    outcomes = await ledger.submit_many([refused, *rest])

    assert codes(outcomes) == ["LIMIT_EXCEEDED"] + ["OK"] * 10
    assert await in_use(database) == (1_000, 1_000)


async def test_a_large_earn_fits_beside_small_ones_of_its_batch(ledger: Ledger) -> None:
    """Filled in large parts, the escrows of the small would leave too little."""
    batch = [a_limited_earn(points, 1_000, bucket=bucket) for bucket, points in enumerate([1, 1, 1, 997])]

    assert codes(await ledger.submit_many(batch)) == ["OK"] * 4


async def test_a_replay_draws_nothing(ledger: Ledger, database: Database) -> None:
    command = a_limited_earn(60, 100, key="once", bucket=3)

    outcomes = [await ledger.submit(command), *await ledger.submit_many([command] * 20)]

    assert codes(outcomes) == ["OK"] * 21
    assert (await in_use(database))[1] == 60


async def test_duplicates_in_a_batch_do_not_use_up_the_rest(ledger: Ledger) -> None:
    command = a_limited_earn(60, 100, key="storm", bucket=3)

    outcomes = await ledger.submit_many([command] * 20 + [a_limited_earn(40, 100, bucket=3)])

    assert codes(outcomes) == ["OK"] * 21


async def test_a_refused_earn_gives_its_escrow_to_the_next(ledger: Ledger, database: Database) -> None:
    both = (*issued(100, 100), Counter(name="day", window=windows.DAY, increment=100, ceiling=50))
    refused = await ledger.submit(an_earn(100, counters=both))

    granted = await ledger.submit(a_limited_earn(100, 100, bucket=40))

    assert codes([refused, granted]) == ["LIMIT_EXCEEDED", "OK"]
    assert (await in_use(database))[1] == 100


async def test_a_raised_limit_counts_at_once(ledger: Ledger) -> None:
    await ledger.submit(a_limited_earn(100, 100))

    outcomes = [await ledger.submit(a_limited_earn(50, ceiling)) for ceiling in (100, 150, 150)]

    assert codes(outcomes) == ["LIMIT_EXCEEDED", "OK", "LIMIT_EXCEEDED"]


async def test_a_lowered_limit_takes_back_what_was_granted_and_not_used(ledger: Ledger) -> None:
    for bucket in range(64):
        await ledger.submit(a_limited_earn(10, 1_000_000, bucket=bucket))

    outcomes = [await ledger.submit(a_limited_earn(100, 1_000, bucket=bucket)) for bucket in range(10)]

    assert codes(outcomes) == ["OK"] * 3 + ["LIMIT_EXCEEDED"] * 7


async def test_a_new_month_begins_with_the_whole_limit(ledger: Ledger, database: Database) -> None:
    january = [await ledger.submit(_in_a_month(100, bucket=7)) for _ in range(2)]
    await ledger.advance(START + timedelta(days=31))
    february = [await ledger.submit(_in_a_month(100, bucket=7)) for _ in range(2)]

    assert codes(january + february) == ["OK", "LIMIT_EXCEEDED"] * 2
    async with database.writer.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(allowances)) == 1


async def test_a_bucket_whose_clock_is_behind_spends_of_the_month_that_has_begun(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """Another machine has opened the pool of the new month already: the old one is not opened again."""
    february = f"UPDATE clock SET now = '{START + timedelta(days=31)}'"
    await _execute(database, february)
    await ledger.submit(_in_a_month(60, bucket=3))
    await as_owner_without_triggers(urls, f"UPDATE clock SET now = '{START}'")

    outcomes = [await ledger.submit(_in_a_month(points, bucket=4)) for points in (41, 40, 1)]

    await _execute(database, february)
    assert outcomes[0].recorded_at == START
    assert codes(outcomes) == ["LIMIT_EXCEEDED", "OK", "LIMIT_EXCEEDED"]
    assert await in_use(database) == (100, 100)


async def test_a_pools_ceiling_that_was_changed_by_hand_gives_nobody_more(
    ledger: Ledger, database: Database
) -> None:
    """The ceiling that counts is the one that the command carries; below what was given none can be."""
    await ledger.submit(a_limited_earn(60, 100))
    await _execute(database, "UPDATE allowance_pools SET ceiling = 1000")

    outcomes = [await ledger.submit(a_limited_earn(points, 100)) for points in (41, 40, 1)]

    assert codes(outcomes) == ["LIMIT_EXCEEDED", "OK", "LIMIT_EXCEEDED"]
    with pytest.raises(IntegrityError, match="ck_allowance_pools_within"):
        await _execute(database, "UPDATE allowance_pools SET ceiling = 99")


async def test_earns_without_a_limit_touch_no_pool(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn())

    async with database.writer.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(allowance_pools)) == 0


@pytest.mark.parametrize("limit", [10_000, 4_567])
async def test_a_storm_over_processes_issues_nearly_all_and_never_more(
    urls: Urls, database: Database, limit: int
) -> None:
    await extend_calendar(database)
    tills, points = 24, (1, 7, 13, 40)
    async with AsyncExitStack() as stack:
        ledgers = [await stack.enter_async_context(a_process(urls)) for _ in range(3)]
        at_first_no: list[int] = []
        given = 0

        async def till(ledger: Ledger, number: int) -> None:
            nonlocal given
            for step in count():
                amount = points[(number + step) % len(points)]
                outcome: Outcome = await ledger.submit(a_limited_earn(amount, limit))
                if outcome.refused is not None:
                    assert outcome.refused.code == "LIMIT_EXCEEDED"
                    at_first_no.append((await in_use(database))[1])
                    return
                given += amount
                assert given <= limit

        async with asyncio.timeout(60):
            await asyncio.gather(*(till(ledgers[n % len(ledgers)], n) for n in range(tills)))

    granted, used = await in_use(database)
    assert used == given <= granted <= limit
    assert at_first_no[0] >= limit * 99 // 100
    assert given >= limit - max(points)


async def test_the_proof_finds_an_escrow_from_nowhere(ledger: Ledger, database: Database) -> None:
    await ledger.submit(a_limited_earn(10, 1_000, bucket=3))
    await _execute(database, "UPDATE allowances SET granted = granted + 5, used = used + 5")

    result = await proof.prove(database.writer, invariants.INVARIANTS)
    found = {finding.invariant for finding in result.findings}

    await _execute(database, "UPDATE allowances SET granted = granted - 5, used = used - 5")
    assert found == {"counters", "escrows"}


async def test_a_fenced_bucket_keeps_its_escrow_and_nobody_waits_for_it(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(a_limited_earn(1, 25_600, bucket=3))
    await _execute(database, "UPDATE heads SET fenced = 'a finding' WHERE bucket = 3")

    async with asyncio.timeout(20):
        rest = await ledger.submit(a_limited_earn(25_400, 25_600, bucket=4))
        too_much = await ledger.submit(a_limited_earn(1, 25_600, bucket=4))
        fenced = await ledger.submit(a_limited_earn(1, 25_600, bucket=3))

    await _execute(database, "UPDATE heads SET fenced = NULL WHERE bucket = 3")
    assert codes([rest, too_much, fenced]) == ["OK", "LIMIT_EXCEEDED", "READ_ONLY"]


def _in_a_month(points: int, *, bucket: int) -> Earn:
    """An earn of a member of its own, of whom and all others a month has a hundred points."""
    member = a_limited_earn(points, 100, bucket=bucket).member
    return an_earn(points, member=member, counters=issued(points, 100, windows.MONTH))


async def _execute(database: Database, statement: str) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(text(statement))
