"""The ledger against TPC-B and against a naive ledger, alternated on one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Final

import asyncpg

from bench import naive
from bench.load import Load, Measured, fill, run
from bench.tpcb import TpcB
from gateway import garbage
from gateway.embedded import Addresses
from ledger import Ledger, fence, invariants, proof
from ledger.kernel.clock import WallClock
from ledger.kernel.database import Database

ROUNDS: Final = 3
QUEUE_LIMIT: Final = 200_000

COUNTS: Final = {1: 1_500, 64: 20_000, 512: 80_000, 2048: 80_000}
"""In flight → operations a round; quick runs use a tenth."""

HOT_IN_FLIGHT: Final = 512
NAIVE_COUNT: Final = 10_000
NAIVE_HOT_COUNT: Final = 5_000

Contender = Callable[[], Awaitable[Measured]]


async def compare(tpcb: TpcB, addresses: Addresses, *, seconds: int, quick: bool) -> dict[str, float]:
    """The ledger's figures and their ratios: medians of alternated rounds."""
    share = 10 if quick else 1
    load, naive_load = Load(seed=1), Load(seed=2)
    await naive.prepare(addresses.owner)
    size = await naive.best_size(addresses.owner, naive_load, HOT_IN_FLIGHT, share)
    async with opened(addresses) as (ledger, database), naive.opened(addresses.owner, size) as usual:
        await fill(ledger, load.openings())

        def mixed(in_flight: int, count: int) -> Contender:
            return lambda: run(ledger, load.mixed(count // share), in_flight)

        contenders: dict[str, Contender] = {
            **{f"ledger_{in_flight}": mixed(in_flight, count) for in_flight, count in COUNTS.items()},
            "hot": lambda: run(ledger, load.mixed(COUNTS[HOT_IN_FLIGHT] // share, partners=1), HOT_IN_FLIGHT),
            "naive": lambda: run(usual, naive_load.mixed(NAIVE_COUNT // share), HOT_IN_FLIGHT),
            "naive_hot": lambda: run(
                usual, naive_load.mixed(NAIVE_HOT_COUNT // share, partners=1), HOT_IN_FLIGHT
            ),
        }
        tps: list[float] = []
        rounds: dict[str, list[Measured]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            await come_to_rest(tpcb.url, addresses.owner)
            tps.append(await asyncio.to_thread(tpcb.transactions_per_second, seconds))
            await come_to_rest(tpcb.url, addresses.owner)
            for name, contender in contenders.items():
                measured = await contender()
                if measured.refused:
                    raise RuntimeError(f"{measured.refused} operations of the load were refused")
                rounds[name].append(measured)
        found = await proof.prove(database.writer, invariants.INVARIANTS)
        if not found.is_ok:
            raise RuntimeError(f"the proof fails after the load: {found.findings[0]}")
    await naive.check(addresses.owner)
    return _figures(median(tps), rounds) | {"naive_pool": size}


async def come_to_rest(*databases: str) -> None:
    """Vacuum now what would be vacuumed while another contender is measured: each pays for its own load."""
    for url in databases:
        connection = await asyncpg.connect(url)
        # What belongs to the server is left out with a warning.
        await connection.execute("SET client_min_messages = error")
        await connection.execute("VACUUM (ANALYZE)")
        await connection.close()


def _figures(tps: float, rounds: dict[str, list[Measured]]) -> dict[str, float]:
    rates = {name: median(m.per_second for m in measured) for name, measured in rounds.items()}
    figures = {"tpcb_tps": tps}
    for in_flight in COUNTS:
        figures[f"ledger_ops_per_s_{in_flight}"] = rates[f"ledger_{in_flight}"]
    return figures | {
        "ledger_p50_ms_1": median(m.p50_ms for m in rounds["ledger_1"]),
        "ledger_p99_ms_512": median(m.p99_ms for m in rounds["ledger_512"]),
        "ledger_to_tpcb_ratio": rates["ledger_512"] / tps,
        "ledger_to_tpcb_ratio_2048": rates["ledger_2048"] / tps,
        "hot_partner_ops_per_s": rates["hot"],
        "hot_partner_ratio": rates["hot"] / rates["ledger_512"],
        "naive_ops_per_s": rates["naive"],
        "naive_p99_ms": median(m.p99_ms for m in rounds["naive"]),
        "naive_hot_partner_ops_per_s": rates["naive_hot"],
        "naive_hot_partner_ratio": rates["naive_hot"] / rates["naive"],
        "naive_ratio": rates["ledger_512"] / rates["naive"],
    }


@asynccontextmanager
async def opened(
    addresses: Addresses, *, lanes: int = 8, connections: int = 4
) -> AsyncIterator[tuple[Ledger, Database]]:
    """A ledger in this process, with a period that holds today."""
    database = await Database.open(writer_url=addresses.writer, reader_url=addresses.reader)
    now = datetime.now(UTC)
    month = datetime(now.year, now.month, 1, tzinfo=UTC)
    async with database.writer.begin() as connection:
        await fence.extend(connection, [(1, month, month.replace(year=now.year + 1))], "Europe/Moscow")
    ledger = Ledger(database, WallClock(), lanes=lanes, connections=connections, queue_limit=QUEUE_LIMIT)
    await ledger.start()
    garbage.look_rarely()  # as `kopilka serve` does
    try:
        yield ledger, database
    finally:
        await ledger.drain()
        await database.close()
