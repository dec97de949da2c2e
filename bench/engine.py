"""The ledger against TPC-B, alternated on one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Final

from bench.load import Load, Measured, fill, run
from bench.tpcb import TpcB
from gateway import garbage
from gateway.embedded import Addresses
from ledger import Ledger, fence, proof
from ledger.kernel.clock import WallClock
from ledger.kernel.database import Database

ROUNDS: Final = 3
QUEUE_LIMIT: Final = 200_000

_COUNTS: Final = {1: 1_500, 64: 30_000, 512: 100_000, 2048: 100_000}
"""In flight → operations a round; quick runs use a tenth."""


async def compare(tpcb: TpcB, addresses: Addresses, *, seconds: int, quick: bool) -> dict[str, float]:
    """The ledger's figures and their ratios to TPC-B: medians of three alternated rounds."""
    tps: list[float] = []
    rounds: dict[int, list[Measured]] = {in_flight: [] for in_flight in _COUNTS}
    load = Load(seed=1)
    async with opened(addresses) as (ledger, database):
        await fill(ledger, load.openings())
        for _ in range(ROUNDS):
            tps.append(await asyncio.to_thread(tpcb.transactions_per_second, seconds))
            for in_flight, count in _COUNTS.items():
                commands = load.mixed(count // 10 if quick else count)
                measured = await run(ledger, commands, in_flight)
                if measured.refused:
                    raise RuntimeError(f"{measured.refused} operations of the load were refused")
                rounds[in_flight].append(measured)
        found = await proof.prove(database.writer, proof.INVARIANTS)
        if not found.is_ok:
            raise RuntimeError(f"the proof fails after the load: {found.findings[0]}")
    return _figures(median(tps), rounds)


def _figures(tps: float, rounds: dict[int, list[Measured]]) -> dict[str, float]:
    figures = {"tpcb_tps": tps}
    for in_flight, measured in rounds.items():
        figures[f"ledger_ops_per_s_{in_flight}"] = median(m.per_second for m in measured)
    figures["ledger_p50_ms_1"] = median(m.p50_ms for m in rounds[1])
    figures["ledger_p99_ms_512"] = median(m.p99_ms for m in rounds[512])
    figures["ledger_to_tpcb_ratio"] = figures["ledger_ops_per_s_512"] / tps
    figures["ledger_to_tpcb_ratio_2048"] = figures["ledger_ops_per_s_2048"] / tps
    return figures


@asynccontextmanager
async def opened(
    addresses: Addresses, *, lanes: int = 4, connections: int = 4
) -> AsyncIterator[tuple[Ledger, Database]]:
    """A ledger in this process, with a period that holds today."""
    database = await Database.open(
        writer_url=addresses.writer, reader_url=addresses.reader, lane_connections=connections
    )
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
