"""Merges at once: all are done but the one that would close a circle, and no point is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from sqlalchemy import select, text

from ledger import Balance, Ledger
from ledger.heads import lock_heads
from ledger.kernel.database import Database
from ledger.kernel.ids import HOME_BUCKETS
from ledger.kernel.refusals import Refusal
from members import MasterKeys, enrol, merge_members
from members.tables import merges
from tests.ledger import proving
from tests.ledger.builders import START, a_burn, an_earn
from tests.ledger.instances import a_process, codes, extend_calendar
from tests.servers import Urls

KEYS: Final = MasterKeys.generate()


@pytest.mark.parametrize("size", [2, 3])
async def test_of_merges_that_would_close_a_circle_all_are_done_but_the_last(
    urls: Urls, database: Database, size: int
) -> None:
    """A into B and B into A; A into B, B into C and C into A: each sent to a process of its own."""
    await extend_calendar(database)
    members = [await _enrolled(database, number) for number in range(size)]
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        ledgers = [await stack.enter_async_context(a_process(urls)) for _ in members]
        await ledgers[0].submit_many([an_earn(10, member=member) for member in members])

        answers = await _under_way_together(
            database,
            [
                _merged(database, ledger, member, members[number - 1])
                for number, (ledger, member) in enumerate(zip(ledgers, members, strict=True))
            ],
        )
        assert sorted(answers) == ["OK"] * (size - 1) + ["SAME_PERSON"]
        await asyncio.gather(*(ledger.drive_all() for ledger in ledgers))

        balances = [await ledger.balance(member) for ledger in ledgers for member in members]
        burned = await ledgers[0].submit_many([a_burn(1, member=member) for member in members])

    assert set(balances) == {Balance(available=10 * size)}
    assert set(codes(burned)) == {"OK"}
    async with database.writer.connect() as connection:
        noted = (await connection.execute(select(merges.c.merged, merges.c.survivor))).all()
    merged = {row.merged for row in noted}
    assert len(noted) == len(merged) == size - 1
    assert {outcome.operation >> 56 for outcome in burned} == {
        survivor >> 56 for survivor in {*members} - merged
    }
    await proving.holds(database)


async def _enrolled(database: Database, number: int) -> int:
    async with database.writer.begin() as connection:
        phone = f"+7 916 {number:07d}"
        return (await enrol(connection, KEYS, phone=phone, consents={}, at=START)).member


async def _merged(database: Database, ledger: Ledger, merged: int, survivor: int) -> str:
    """OK, or the code of the refusal."""
    try:
        async with database.writer.begin() as connection:
            await merge_members(
                connection,
                ledger,
                merged=merged,
                survivor=survivor,
                reason="one person",
                key=f"{merged}",
                at=START,
                by="staff:anna",
            )
    except Refusal as refusal:
        return refusal.code
    return "OK"


async def _under_way_together(
    database: Database, merging: Sequence[Coroutine[Any, Any, str]]
) -> Sequence[str]:
    """The answers of merges none of which can be posted before each of them waits for something."""
    async with database.writer.begin() as holder:
        await lock_heads(holder, range(HOME_BUCKETS))
        tasks = [asyncio.create_task(each) for each in merging]
        while await _waiting(database) < len(tasks):  # noqa: ASYNC110  # PostgreSQL has no event for it
            await asyncio.sleep(0.01)
    return await asyncio.gather(*tasks)


async def _waiting(database: Database) -> int:
    query = text(
        "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE NOT l.granted AND a.datname = current_database()"
    )
    async with database.writer.connect() as connection:
        return int((await connection.execute(query)).scalar_one())
