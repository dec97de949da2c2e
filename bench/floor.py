"""What PostgreSQL alone does with the engine's statements, sent again by a client that does nothing else.

Whatever the engine were written in, it could not be faster than that with the same batches.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Final
from unittest.mock import patch

import asyncpg
from sqlalchemy.engine import make_url

from bench.engine import come_to_rest, opened
from bench.load import Load, fill, run
from bench.tpcb import TpcB
from gateway.embedded import Addresses
from ledger import saving, store
from ledger.kernel.database import LANE_SETTINGS
from ledger.kernel.wire import Flight, Row, Statement, Wire

IN_FLIGHT: Final = (512, 2048)
ROUNDS: Final = 3
FIRST: Final = 100_000
"""Operations before the first round, so that indexes are no smaller than in the other parts."""
OPERATIONS: Final = 60_000
WARM_UP: Final = 3
"""One part in so many of what is sent again is not counted: a copied database's pages are nobody's yet."""

LANES: Final = 8
CONNECTIONS: Final = 4
_COPY: Final = "sent_again"

_FIRST_ELEMENT: Final = 24
"""Where the first element of a packed array lies, behind its dimensions and its own length."""

_BY_KEY: Final = {
    saved: Statement(saved.name.decode(), re.sub(r"\w\.ctid = n\.place AND", "", saved.sql))
    for saved in (saving.SAVE_WALLETS, saving.SAVE_LOTS)
}
"""Rows do not lie in the same places when transactions meet each other differently."""

Part = tuple[Statement, tuple[bytes, ...] | bytes]
"""A statement with its parameters, or with the data that it copies."""


@dataclass(slots=True)
class Batch:
    """The flights of one transaction that was committed."""

    lane: int
    flights: list[list[Part]] = field(default_factory=list)


async def compare(
    tpcb: TpcB, admin_url: str, addresses: Addresses, *, seconds: int, quick: bool
) -> dict[str, float]:
    """Operations a second of TPC-B, the engine, and its statements alone: medians of alternated rounds."""
    share = 10 if quick else 1
    load = Load(seed=1)
    async with opened(addresses) as (ledger, _):
        await fill(ledger, load.openings())
        await run(ledger, load.mixed(FIRST // share), 512)
    tps: list[float] = []
    engine, alone = defaultdict[int, list[float]](list), defaultdict[int, list[float]](list)
    for _ in range(ROUNDS):
        await come_to_rest(tpcb.url, addresses.owner)
        tps.append(await asyncio.to_thread(tpcb.transactions_per_second, seconds))
        for in_flight in IN_FLIGHT:
            async with _copied(admin_url, addresses.owner):
                async with opened(addresses, lanes=LANES, connections=CONNECTIONS) as (ledger, _):
                    with _recorded() as batches:
                        measured = await run(ledger, load.mixed(OPERATIONS // share), in_flight)
                engine[in_flight].append(measured.per_second)
                rate = await _send_again(_of_copy(addresses.writer), batches)
                alone[in_flight].append(rate * measured.operations / len(batches))
    figures = {"floor_tpcb_tps": median(tps)}
    for in_flight in IN_FLIGHT:
        figures[f"floor_engine_ops_per_s_{in_flight}"] = median(engine[in_flight])
        figures[f"floor_postgres_ops_per_s_{in_flight}"] = median(alone[in_flight])
        figures[f"floor_postgres_ratio_{in_flight}"] = median(alone[in_flight]) / median(tps)
    return figures


@asynccontextmanager
async def _copied(admin_url: str, owner_url: str) -> AsyncIterator[None]:
    """A copy of the ledger's database as it is now, for as long as it is needed."""
    admin = await asyncpg.connect(admin_url)
    await admin.execute(f"CREATE DATABASE {_COPY} TEMPLATE {make_url(owner_url).database}")
    try:
        yield
    finally:
        await admin.execute(f"DROP DATABASE {_COPY} WITH (FORCE)")
        await admin.close()


def _of_copy(url: str) -> str:
    return make_url(url).set(database=_COPY).render_as_string(hide_password=False)


@contextmanager
def _recorded() -> Iterator[list[Batch]]:
    """Every batch that lanes commit meanwhile, in the order of their commits."""
    batches: list[Batch] = []
    parts: defaultdict[Flight, list[Part]] = defaultdict(list)
    under_way: dict[object, Batch] = {}
    run_, copy, land = Flight.run, Flight.copy, Flight.land

    def ran(flight: Flight, statement: Statement, *parameters: bytes) -> int:
        parts[flight].append((statement, parameters))
        return run_(flight, statement, *parameters)

    def copied(flight: Flight, statement: Statement, data: bytes) -> None:
        parts[flight].append((statement, data))
        copy(flight, statement, data)

    async def landed(flight: Flight) -> list[list[Row]]:
        rows, sent = await land(flight), parts.pop(flight)
        drainer, first, last = asyncio.current_task(), sent[0][0], sent[-1][0]
        if first is store.BEGIN:
            under_way[drainer] = Batch(lane=_bucket(sent[1][1][0]) % LANES)
        if first is not store.MAKE_PARTITIONS:
            under_way[drainer].flights.append(sent)
        if last is store.COMMIT:
            batches.append(under_way.pop(drainer))
        return rows

    with (
        patch.object(Flight, "run", ran),
        patch.object(Flight, "copy", copied),
        patch.object(Flight, "land", landed),
    ):
        yield batches


def _bucket(buckets: bytes | int) -> int:
    """The first bucket of a packed array: what locks the heads of a batch."""
    assert isinstance(buckets, bytes)
    return int.from_bytes(buckets[_FIRST_ELEMENT : _FIRST_ELEMENT + 2])


async def _send_again(url: str, batches: Sequence[Batch]) -> float:
    """Batches a second, each lane's in their order, by as many connections as they were recorded of."""
    wires = [await Wire.open(url, LANE_SETTINGS) for _ in range(CONNECTIONS)]
    of_lane: defaultdict[int, deque[Batch]] = defaultdict(deque)
    for batch in batches:
        of_lane[batch.lane].append(batch)
    waiting = deque(of_lane.values())
    ended_at: list[float] = []

    async def sender(wire: Wire) -> None:
        while waiting:
            lane = waiting.popleft()
            for sent in lane.popleft().flights:
                flight = wire.flight()
                for statement, values in sent:
                    if isinstance(values, bytes):
                        flight.copy(statement, values)
                    else:
                        flight.run(_BY_KEY.get(statement, statement), *values)
                await flight.land()
            if lane:
                waiting.append(lane)
            ended_at.append(perf_counter())

    await asyncio.gather(*(sender(wire) for wire in wires))
    for wire in wires:
        wire.close()
    counted = ended_at[len(ended_at) // WARM_UP :]
    return (len(counted) - 1) / (counted[-1] - counted[0])
