"""Idempotency under a storm: many at once, from several processes, have one effect."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select

from ledger import Earn, Ledger, ReceiptKey
from ledger.kernel.database import Database
from ledger.tables import operations
from tests.servers import Urls

from . import proving
from .builders import MEMBER, a_burn, a_capture, an_authorization, an_earn
from .instances import a_process, codes
from .till import a_duplicate, answer


@pytest.mark.soak
async def test_two_hundred_duplicates_from_several_processes_have_one_effect(
    ledger: Ledger, database: Database, urls: Urls, soak_seconds: float
) -> None:
    """Storm after storm, each with earns, burns and holds under one key, from four processes' ledgers."""
    await ledger.submit(an_earn(100))
    before = await ledger.balance(MEMBER)
    ends_at, storms = time.monotonic() + soak_seconds, 0
    async with a_process(urls) as other, _tills(urls, 2) as tills:
        while not storms or time.monotonic() < ends_at:
            storms += 1
            answers = await _storm(storms, (ledger, other), tills)

            accepted = [given for given in answers if given["refused"] is None]
            assert len(answers) == 200
            assert Counter(given["replayed"] for given in accepted)[False] == 1
            assert len({given["operation"] for given in accepted}) == 1
            assert {given["refused"] for given in answers} == {None, "IDEMPOTENCY_CONFLICT"}
            after = await ledger.balance(MEMBER)
            first = accepted[0]
            assert (after.available - before.available, after.held - before.held) == _moved(first)
            before = after
    assert await _operations(database) == 1 + storms
    await proving.holds(database)


def _moved(first: dict[str, Any]) -> tuple[int, int]:
    """What the one that won has moved: points available, points held."""
    points = first["points"]
    return {7: (-7, 0), 9: (-9, 9)}.get(points, (points, 0))


async def _storm(number: int, here: Sequence[Ledger], tills: Sequence[Process]) -> list[dict[str, Any]]:
    """Fifty duplicates from each ledger here and each till, all at once, each storm with another in front."""
    key = f"storm-{number}"
    for till in tills:
        assert till.stdin is not None
        till.stdin.write(f"{key} {number}\n".encode())
    numbers = range(number, number + 50)
    outcomes = await asyncio.gather(*(own.submit(a_duplicate(n, key)) for n in numbers for own in here))
    answers = [answer(outcome) for outcome in outcomes]
    for till in tills:
        assert till.stdout is not None
        answers += json.loads(await till.stdout.readline())
    return answers


@asynccontextmanager
async def _tills(urls: Urls, count: int) -> AsyncIterator[list[Process]]:
    """Processes that are ready for storms."""
    tills = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.ledger.till", "storm", urls.writer, urls.reader),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(count)
    ]
    for till in tills:
        assert till.stdout is not None
        assert await till.stdout.readline() == b"ready\n"
    yield tills
    for till in tills:
        await till.communicate(b"\n")


async def test_one_receipt_under_many_keys_is_posted_once(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    receipt = ReceiptKey(outlet=0, terminal="T1", number="77")

    async with a_process(urls) as other:
        outcomes = await asyncio.gather(
            *(own.submit(an_earn(10, receipt=receipt)) for _ in range(40) for own in (ledger, other))
        )

    assert Counter(codes(outcomes)) == {"OK": 1, "DUPLICATE_RECEIPT": 79}
    assert (await ledger.balance(MEMBER)).available == 10
    await proving.holds(database)


async def test_one_member_token_backs_one_burn(ledger: Ledger, database: Database, urls: Urls) -> None:
    await ledger.submit(an_earn(100))

    async with a_process(urls) as other:
        burns = await asyncio.gather(
            *(own.submit(a_burn(10, token=bytes(16))) for _ in range(20) for own in (ledger, other))
        )

    assert Counter(codes(burns)) == {"OK": 1, "MEMBER_TOKEN_USED": 39}
    await proving.holds(database)


async def test_one_hold_is_captured_once_by_many_who_try(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None

    async with a_process(urls) as other:
        captures = await asyncio.gather(
            *(own.submit(a_capture(hold)) for _ in range(20) for own in (ledger, other))
        )

    assert Counter(codes(captures)) == {"OK": 1, "HOLD_CLOSED": 39}
    assert (await ledger.balance(MEMBER)).available == 40
    await proving.holds(database)


async def test_a_refusal_is_repeated_as_it_was_even_when_it_would_now_succeed(ledger: Ledger) -> None:
    refused = await ledger.submit(a_burn(10, key="k"))
    await ledger.submit(an_earn(100))

    again = await ledger.submit(a_burn(10, key="k"))

    assert codes([refused, again]) == ["INSUFFICIENT_POINTS"] * 2
    assert again.replayed
    assert (await ledger.balance(MEMBER)).available == 100


async def test_a_key_belongs_to_its_principal(ledger: Ledger) -> None:
    ours: Earn = an_earn(10, key="k")
    theirs = an_earn(10, key="k", partner=2)

    outcomes = await ledger.submit_many([ours, theirs])

    assert [outcome.replayed for outcome in outcomes] == [False, False]
    assert (await ledger.balance(MEMBER)).available == 20


async def _operations(database: Database) -> int:
    async with database.writer.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(operations))).scalar_one()
