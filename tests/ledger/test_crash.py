"""Whatever dies, and whenever: what was acknowledged is there exactly once, and is answered alike again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, select

from gateway.embedded import DataFolder, Servers
from gateway.migrations.upgrade import Installation, migrate
from ledger import Ledger, Outcome
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.tables import operations
from tests.servers import Urls

from . import proving
from .builders import MEMBER, START, a_burn, a_capture, an_authorization, an_earn
from .cutting import a_wire
from .instances import codes, extend_calendar
from .till import IN_FLIGHT, a_command, answer, post

Answered = dict[int, dict[str, Any]]

VICTIMS = ("a backend", "the postmaster")


@pytest.mark.soak
async def test_what_a_killed_process_acknowledged_is_there_exactly_once(
    ledger: Ledger, database: Database, urls: Urls, soak_seconds: float, chance: random.Random
) -> None:
    answered: Answered = {}
    ends_at = time.monotonic() + soak_seconds
    while not answered or time.monotonic() < ends_at:
        # A kill may come before the first answer of its process: then there is nothing to hold it to.
        await _post_until_killed(urls, answered, after=chance.uniform(0.05, 0.6))

    again = await _post_again(ledger, answered)

    _same_answers(answered, again)
    await _stored_exactly_once(database, len(again))
    await proving.holds(database)


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """A PostgreSQL that may be killed, and that keeps what a commit promised."""
    folder = Path(tempfile.mkdtemp(prefix="kopilka-crash-"))
    folder.chmod(0o711)
    data = DataFolder(folder / "data")
    servers = Servers(data, postgres_settings={"shared_buffers": "64MB", "max_wal_size": "256MB"})
    yield servers
    servers.stop()
    data.close()
    servers.remove()
    shutil.rmtree(folder)


@pytest.fixture
async def own_urls(own_servers: Servers) -> Urls:
    """A migrated database on that server."""
    addresses = await asyncio.to_thread(own_servers.start)
    urls = Urls(
        name="",
        owner=addresses.owner,
        writer=addresses.writer,
        reader=addresses.reader,
        redis=addresses.redis,
    )
    await migrate(
        owner_url=urls.owner,
        writer_url=urls.writer,
        reader_url=urls.reader,
        installation=Installation(is_driven=True, starts_at=START),
    )
    return urls


@pytest.mark.soak
async def test_a_killed_postgres_loses_nothing_and_nobody_gets_a_fault(
    own_servers: Servers, own_urls: Urls, soak_seconds: float, chance: random.Random
) -> None:
    answered: Answered = {}
    ends_at = time.monotonic() + soak_seconds
    database = await Database.open(writer_url=own_urls.writer, reader_url=own_urls.reader)
    await extend_calendar(database)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    numbers = iter(range(1_000_000))
    is_over = asyncio.Event()

    async def one_till() -> None:
        while not is_over.is_set():
            number = next(numbers)
            answered[number] = answer(await post(ledger, number))

    tills = [asyncio.create_task(one_till()) for _ in range(IN_FLIGHT)]
    victims = [*VICTIMS]
    while victims or time.monotonic() < ends_at:
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        _kill(own_servers, victims.pop() if victims else chance.choice(VICTIMS), chance)
        await asyncio.to_thread(_start_again, own_servers)
        before = len(answered)
        while len(answered) < before + 2 * IN_FLIGHT:
            assert not any(till.done() for till in tills), "a till got a fault instead of an answer"
            await asyncio.sleep(0.02)
    is_over.set()
    await asyncio.gather(*tills)
    again = await _post_again(ledger, answered)

    _same_answers(answered, again)
    await ledger.drain()
    await database.close()
    database = await Database.open(writer_url=own_urls.writer, reader_url=own_urls.reader)
    await _stored_exactly_once(database, len(again))
    await proving.holds(database)
    await database.close()


@pytest.mark.soak
async def test_tills_and_postgres_killed_in_turn_leave_each_operation_once(
    own_servers: Servers, own_urls: Urls, soak_seconds: float, chance: random.Random
) -> None:
    """Two tills at a time send the same commands; any of them, a backend or the whole server dies."""
    answered: Answered = {}
    ends_at = time.monotonic() + soak_seconds
    database = await Database.open(writer_url=own_urls.writer, reader_url=own_urls.reader)
    await extend_calendar(database)
    victims = [*VICTIMS]
    while victims or time.monotonic() < ends_at:
        lives = [chance.uniform(0.4, 1.5) for _ in range(2)]
        posting = asyncio.gather(
            *[_heard_until_killed(await _a_till(own_urls, answered), answered, after=life) for life in lives]
        )
        await asyncio.sleep(chance.uniform(0.1, min(lives)))
        _kill(own_servers, victims.pop() if victims else chance.choice(VICTIMS), chance)
        await asyncio.to_thread(_start_again, own_servers)
        await posting
        await _accepts_again(own_urls)
    await database.close()
    database = await Database.open(writer_url=own_urls.writer, reader_url=own_urls.reader)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()

    again = await _post_again(ledger, answered)

    _same_answers(answered, again)
    await ledger.drain()
    await _stored_exactly_once(database, len(again))
    await proving.holds(database)
    await database.close()


@pytest.fixture
async def cut_off(database: Database, urls: Urls) -> AsyncIterator[tuple[Ledger, Any]]:
    """A ledger whose lanes reach PostgreSQL over a wire that can be cut."""
    await extend_calendar(database)
    async with a_wire(urls.writer) as (wire, through):
        far = await Database.open(writer_url=through, reader_url=urls.reader)
        ledger = Ledger(far, DrivenClock(START))
        await ledger.start()
        await ledger.submit(an_earn(1000))
        yield ledger, wire
        await ledger.drain()
        await far.close()


@pytest.mark.parametrize("lost", ["cuts_answers", "cuts_requests"])
async def test_a_commit_whose_answer_was_lost_has_one_effect(
    cut_off: tuple[Ledger, Any], database: Database, lost: str
) -> None:
    ledger, wire = cut_off

    setattr(wire, lost, 1)
    burn = await ledger.submit(a_burn(10, key="k"))
    setattr(wire, lost, 2)
    hold = await ledger.submit(an_authorization(50))
    assert hold.hold is not None
    setattr(wire, lost, 1)
    capture = await ledger.submit(a_capture(hold.hold, 20, final=True))
    again = await ledger.submit(a_burn(10, key="k"))

    assert wire.lost == 4
    assert codes([burn, hold, capture]) == ["OK"] * 3
    assert again.operation == burn.operation
    assert again.slices == burn.slices
    assert (await ledger.balance(MEMBER)).available == 970
    assert await _count(database) == 4
    await proving.holds(database)


async def test_a_batch_whose_answer_was_lost_is_answered_as_it_was_decided(
    cut_off: tuple[Ledger, Any], database: Database
) -> None:
    ledger, wire = cut_off
    commands = [an_earn(5), a_burn(900), a_burn(900), an_earn(5, key="twice"), an_earn(6, key="twice")]

    wire.cuts_answers = 1
    outcomes = await ledger.submit_many(commands)

    assert wire.lost == 1
    assert codes(outcomes) == ["OK", "OK", "INSUFFICIENT_POINTS", "OK", "IDEMPOTENCY_CONFLICT"]
    assert outcomes[1].balance.available == 105
    assert (await ledger.balance(MEMBER)).available == 110
    assert await _count(database) == 5
    await proving.holds(database)


async def _post_until_killed(urls: Urls, answered: Answered, *, after: float) -> None:
    await _heard_until_killed(await _a_till(urls, answered), answered, after=after)


async def _a_till(urls: Urls, answered: Answered) -> Process:
    """A till at work: it has had its first answer."""
    till = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.ledger.till", "load", urls.writer, urls.reader),
        stdout=asyncio.subprocess.PIPE,
    )
    assert till.stdout is not None
    await _hear(await till.stdout.readline(), answered)
    return till


async def _heard_until_killed(till: Process, answered: Answered, *, after: float) -> None:
    assert till.stdout is not None
    killing = asyncio.get_running_loop().call_later(after, till.kill)
    async for line in till.stdout:
        await _hear(line, answered)
    killing.cancel()
    assert await till.wait() == -signal.SIGKILL


async def _hear(line: bytes, answered: Answered) -> None:
    """Take down an answer; the last line of a killed process may be half a line."""
    if not line.endswith(b"\n"):
        return
    number, given = json.loads(line)
    first = answered.setdefault(number, given)
    assert _figures(first) == _figures(given)


async def _post_again(ledger: Ledger, answered: Answered) -> list[Outcome]:
    """Everything that was answered and what may have been under way when the end came."""
    again = await ledger.submit_many([a_command(number) for number in range(max(answered) + 1 + IN_FLIGHT)])
    await ledger.drive_all()  # whoever was killed between the two legs of a transfer
    return again


def _same_answers(answered: Answered, again: list[Outcome]) -> None:
    assert len({outcome.operation for outcome in again}) == len(again)
    for number, first in answered.items():
        assert again[number].replayed
        assert _figures(answer(again[number])) == _figures(first)


def _figures(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "replayed"}


async def _stored_exactly_once(database: Database, expected: int) -> None:
    async with database.writer.connect() as connection:
        row = (
            await connection.execute(
                select(func.count(), func.count(func.distinct(operations.c.key)))
                .select_from(operations)
                .where(operations.c.key.like("till-%"))
            )
        ).one()
    assert tuple(row) == (expected, expected)


async def _count(database: Database) -> int:
    async with database.writer.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(operations))).scalar_one()


def _kill(servers: Servers, victim: str, chance: random.Random) -> None:
    postmaster = servers._postgres.child.pid
    backends = [pid for pid in _children(postmaster) if b"kopilka_writer" in _title(pid)]
    if victim == "a backend":
        os.kill(chance.choice(backends), signal.SIGKILL)
        return
    family = _children(postmaster)
    os.kill(postmaster, signal.SIGKILL)
    for pid in family:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def _start_again(servers: Servers) -> None:
    """The postmaster lives through the death of a backend, and recovers by itself."""
    time.sleep(0.1)
    if not servers._postgres.child.is_running:
        servers._postgres.start()


async def _accepts_again(urls: Urls) -> None:
    """Return once the server has recovered, within half a minute."""
    async with asyncio.timeout(30):
        while True:
            try:
                connection = await asyncpg.connect(urls.writer)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.1)
                continue
            await connection.close()
            return


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
