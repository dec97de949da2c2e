"""A ledger that has become long: its speed beside an empty one's, its memory, how fast it is read."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg
from sqlalchemy.engine import make_url

from bench.engine import opened
from bench.load import Load, fill, run
from gateway.embedded import Addresses
from gateway.migrations.upgrade import migrate
from ledger import Command, Ledger, asof
from ledger.kernel.ids import member_id

LINES: Final = 10_000_000
QUICK_LINES: Final = 60_000
IN_FLIGHT: Final = 512
ROUNDS: Final = 3
OPERATIONS: Final = 60_000
PAGE: Final = 50
READS: Final = 5_000
LIGHT_PER_SECOND: Final = 100
"""Operations a second that are posted while reads are measured."""

_FILL_SECONDS: Final = 60 * 60
_BYTES_PER_LINE: Final = 3_000
_BYTES_TO_SPARE: Final = 8_000_000_000
_BUSY_SHARE: Final = 0.2
_EMPTY: Final = "kopilka_empty"


async def measure(admin_url: str, addresses: Addresses, *, lines: int, quick: bool) -> dict[str, float]:
    """Fill a ledger to `lines` lines through its own engine, and measure it beside an empty one.

    There are ten lines to a member, but members differ: a fifth of the load falls on a fiftieth of
    them, the regulars, and gives each about a hundred operations, so that a page of history is full.
    """
    lines = QUICK_LINES if quick else lines
    operations = OPERATIONS // 10 if quick else OPERATIONS
    _check_disk(lines)
    members = lines // 10
    everybody = Load("everybody", name="e", members=members)
    regulars = Load("regulars", name="r", members=lines // 500)
    async with opened(addresses) as (ledger, _):
        started_at = datetime.now(UTC)
        opening = everybody.openings()
        await fill(ledger, itertools.islice(opening, members // 10))
        await run(ledger, everybody.mixed(operations), IN_FLIGHT)
        memory = _resident_mb()
        seconds = await _fill(ledger, opening, everybody, regulars, lines)
        await run(ledger, everybody.mixed(operations), IN_FLIGHT)
        grown = _resident_mb() - memory
        empty = await _empty_database(admin_url, addresses)
        async with opened(empty) as (other, _):
            fresh = Load("fresh", members=min(members, 100_000))
            await fill(other, fresh.openings())
            ratio, per_second = await _alternated(ledger, everybody, other, fresh, operations)
        reader = Reader(ledger, members, lines // 500, started_at)
        reads = await _reads(reader, everybody, READS // 10 if quick else READS)
    counted, size = await _size(addresses)
    name = f"after_{lines // 1_000_000}m" if lines >= 1_000_000 else f"after_{lines}"
    return {
        f"{name}_ratio": ratio,
        f"{name}_ops_per_s": per_second,
        f"{name}_lines": counted,
        f"{name}_fill_ops_per_s": lines / seconds,
        f"{name}_bytes_per_line": size / counted,
        "memory_growth_mb": grown,
        **reads,
    }


def _check_disk(lines: int) -> None:
    needed = lines * _BYTES_PER_LINE + _BYTES_TO_SPARE
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        raise RuntimeError(f"{needed / 1e9:.0f} GB of disk are needed, {free / 1e9:.0f} are free")


async def _fill(
    ledger: Ledger, opening: Iterator[Command], everybody: Load, regulars: Load, lines: int
) -> float:
    """Open the other members and go on until there are `lines` lines; the seconds it took."""
    chance = random.Random(1)
    started = time.monotonic()

    def commands() -> Iterator[Command]:
        """An operation of this load has one line, or more: what it takes from several lots."""
        rest = ((regulars if chance.random() < _BUSY_SHARE else everybody).any() for _ in itertools.count())
        for number, command in enumerate(itertools.islice(itertools.chain(opening, rest), lines), 1):
            if number % 500_000 == 0:
                print(f"{number:,} operations after {time.monotonic() - started:,.0f} s", flush=True)
            yield command

    async with asyncio.timeout(_FILL_SECONDS):
        await fill(ledger, commands())
    return time.monotonic() - started


async def _alternated(
    long: Ledger, everybody: Load, empty: Ledger, fresh: Load, operations: int
) -> tuple[float, float]:
    """The long ledger's operations a second to the empty one's, and themselves: medians of rounds."""
    rates: dict[str, list[float]] = {"long": [], "empty": []}
    for _ in range(ROUNDS):
        for name, ledger, load in (("long", long, everybody), ("empty", empty, fresh)):
            measured = await run(ledger, load.mixed(operations), IN_FLIGHT)
            if measured.refused:
                raise RuntimeError(f"{measured.refused} operations of the load were refused")
            rates[name].append(measured.per_second)
    return median(rates["long"]) / median(rates["empty"]), median(rates["long"])


class Reader:
    """Asks what members and partners ask, of members drawn at random."""

    def __init__(self, ledger: Ledger, members: int, regulars: int, since: datetime) -> None:
        self.ledger = ledger
        self._members, self._regulars = members, regulars
        self._since, self._until = since, datetime.now(UTC)
        self._chance = random.Random(2)

    async def wallet(self) -> None:
        """A member's balances now."""
        await self.ledger.balance(member_id(1 + self._chance.randrange(self._members)))

    async def history(self) -> None:
        """The latest page of a regular's operations."""
        page = await self.ledger.history(member_id(1 + self._chance.randrange(self._regulars)), limit=PAGE)
        if len(page) < PAGE // 2:
            raise RuntimeError(f"a regular's page has only {len(page)} operations")

    async def as_of(self) -> None:
        """A member's balances at an instant of the fill, by the effective clock, which asks for more."""
        at = self._since + (self._until - self._since) * self._chance.random()
        member = member_id(1 + self._chance.randrange(self._members))
        await self.ledger.balance_as_of(member, at, asof.Clock.EFFECTIVE)


async def _reads(reader: Reader, load: Load, count: int) -> dict[str, float]:
    """The 99th percentile of each reading, in milliseconds, under a light load."""
    asked = {"wallet": reader.wallet, "history": reader.history, "as_of": reader.as_of}
    posting = asyncio.create_task(_post_lightly(reader.ledger, load))
    took: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(count):
        for name, ask in asked.items():
            started = time.perf_counter()
            await ask()
            took[name].append(time.perf_counter() - started)
    posting.cancel()
    with suppress(asyncio.CancelledError):
        await posting
    return {f"{name}_p99_ms": 1000 * sorted(times)[int(len(times) * 0.99)] for name, times in took.items()}


async def _post_lightly(ledger: Ledger, load: Load) -> None:
    while True:
        await asyncio.gather(ledger.submit(load.any()), asyncio.sleep(1 / LIGHT_PER_SECOND))


async def _empty_database(admin_url: str, addresses: Addresses) -> Addresses:
    """Another migrated database on the same server."""
    admin = await asyncpg.connect(admin_url)
    owner = make_url(addresses.owner).username
    await admin.execute(f"CREATE DATABASE {_EMPTY} OWNER {owner}")
    await admin.close()

    def on(url: str) -> str:
        return make_url(url).set(database=_EMPTY).render_as_string(hide_password=False)

    empty = replace(
        addresses, owner=on(addresses.owner), writer=on(addresses.writer), reader=on(addresses.reader)
    )
    await migrate(owner_url=empty.owner, writer_url=empty.writer, reader_url=empty.reader)
    return empty


async def _size(addresses: Addresses) -> tuple[int, int]:
    """How many lines there are, and how many bytes the database takes."""
    owner = await asyncpg.connect(addresses.owner)
    counted = await owner.fetchval("SELECT count(*) FROM lines")
    size = await owner.fetchval("SELECT pg_database_size(current_database())")
    await owner.close()
    return counted, size


def _resident_mb() -> float:
    """This process's memory that is not swapped out, garbage collected first."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
