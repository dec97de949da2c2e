"""What would be left if the engine's own work cost nothing: its statements, recorded and sent again.

By a client that does nothing else: whatever the engine were written in, it could not be faster than that
with the same batches. And by lanes that decide nothing while callers wait for them: what lanes as they are
could do at most.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from statistics import median
from time import perf_counter
from typing import Final, cast
from unittest.mock import patch
from zoneinfo import ZoneInfo

import asyncpg
from sqlalchemy.engine import URL, make_url

from bench.engine import come_to_rest, opened
from bench.load import Load, fill, run
from bench.tpcb import TpcB
from gateway.embedded import Addresses
from ledger import Balance, Command, Outcome, lane, saving, store
from ledger.escrow import Pools
from ledger.fence import Calendar
from ledger.kernel.database import LANE_SETTINGS
from ledger.kernel.wire import Flight, Row, Statement, Wire
from ledger.lane import Lanes

IN_FLIGHT: Final = (512, 2048)
ROUNDS: Final = 3
FIRST: Final = 100_000
"""Operations before the first round, so that indexes are no smaller than in the other parts."""
OPERATIONS: Final = 60_000
WARM_UP: Final = 3
"""One part in so many of what is sent again is not counted: a copied database's pages are nobody's yet."""

LANES: Final = 8
CONNECTIONS: Final = 4
_COPIES: Final = ("sent_by_nobody", "sent_by_lanes")

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
    engine, loop, alone = (defaultdict[int, list[float]](list) for _ in range(3))
    for _ in range(ROUNDS):
        await come_to_rest(tpcb.url, addresses.owner)
        tps.append(await asyncio.to_thread(tpcb.transactions_per_second, seconds))
        for in_flight in IN_FLIGHT:
            commands = load.mixed(OPERATIONS // share)
            async with _copied(admin_url, addresses.owner) as (for_nobody, for_lanes):
                async with opened(addresses, lanes=LANES, connections=CONNECTIONS) as (ledger, _):
                    with _recorded() as batches:
                        measured = await run(ledger, commands, in_flight)
                engine[in_flight].append(measured.per_second)
                size = measured.operations / len(batches)
                url = make_url(addresses.writer)
                alone[in_flight].append(size * await _by_nobody(url.set(database=for_nobody), batches))
                rate = await _by_lanes(url.set(database=for_lanes), batches, commands, in_flight)
                loop[in_flight].append(size * rate)
    figures = {"floor_tpcb_tps": median(tps)}
    for in_flight in IN_FLIGHT:
        figures[f"floor_engine_ops_per_s_{in_flight}"] = median(engine[in_flight])
        figures[f"floor_loop_ops_per_s_{in_flight}"] = median(loop[in_flight])
        figures[f"floor_loop_ratio_{in_flight}"] = median(loop[in_flight]) / median(tps)
        figures[f"floor_postgres_ops_per_s_{in_flight}"] = median(alone[in_flight])
        figures[f"floor_postgres_ratio_{in_flight}"] = median(alone[in_flight]) / median(tps)
    return figures


@asynccontextmanager
async def _copied(admin_url: str, owner_url: str) -> AsyncIterator[Sequence[str]]:
    """The names of copies of the ledger's database as it is now, for as long as they are needed."""
    admin = await asyncpg.connect(admin_url)
    for name in _COPIES:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {make_url(owner_url).database}")
    try:
        yield _COPIES
    finally:
        for name in _COPIES:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


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


def _of_lanes(batches: Sequence[Batch]) -> dict[int, deque[Batch]]:
    of_lane: dict[int, deque[Batch]] = {}
    for batch in batches:
        of_lane.setdefault(batch.lane, deque()).append(batch)
    return of_lane


async def _by_nobody(url: URL, batches: Sequence[Batch]) -> float:
    """Batches a second, each lane's in their order, by as many connections as they were recorded of."""
    waiting = deque(_of_lanes(batches).values())
    ended_at: list[float] = []

    async def sender(wire: Wire) -> None:
        while waiting:
            lane = waiting.popleft()
            await _send(wire, lane.popleft())
            if lane:
                waiting.append(lane)
            ended_at.append(perf_counter())

    wires = [await _open(url) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(sender(wire) for wire in wires))
    for wire in wires:
        wire.close()
    return _rate(ended_at)


async def _by_lanes(url: URL, batches: Sequence[Batch], commands: Sequence[Command], in_flight: int) -> float:
    """Batches a second of the engine's lanes and as many callers, when nothing is decided or packed.

    A lane sends the batch recorded of it that is next for whatever it takes from its queue.
    """
    of_lane = _of_lanes(batches)
    ended_at: list[float] = []
    outcome = Outcome(operation=0, kind="", recorded_at=datetime.now(UTC), balance=Balance())

    async def send_next(wire: Wire, commands: Sequence[Command], **_: object) -> list[Outcome]:
        left = of_lane[commands[0].bucket % LANES]
        if left:
            await _send(wire, left.popleft())
            ended_at.append(perf_counter())
        else:
            await asyncio.sleep(0)  # the other lanes are not through yet
        return [outcome] * len(commands)

    async def read_calendar() -> Calendar:
        return Calendar([], ZoneInfo("UTC"))

    lanes = Lanes(
        partial(_open, url),
        pools=cast("Pools", None),
        now=lambda: outcome.recorded_at,
        read_calendar=read_calendar,
        clock_is_driven=False,
        lanes=LANES,
        connections=CONNECTIONS,
        batch_limit=512,
        queue_limit=2 * in_flight,
    )
    endless = itertools.cycle(commands)

    async def caller() -> None:
        while any(of_lane.values()):
            await lanes.submit([next(endless)])

    with patch.object(lane, "run", send_next):
        lanes.start()
        await asyncio.gather(*(caller() for _ in range(in_flight)))
        await lanes.stop(seconds=5)
    return _rate(ended_at)


async def _open(url: URL) -> Wire:
    return await Wire.open(url.render_as_string(hide_password=False), LANE_SETTINGS)


async def _send(wire: Wire, batch: Batch) -> None:
    for sent in batch.flights:
        flight = wire.flight()
        for statement, values in sent:
            if isinstance(values, bytes):
                flight.copy(statement, values)
            else:
                flight.run(_BY_KEY.get(statement, statement), *values)
        await flight.land()


def _rate(ended_at: Sequence[float]) -> float:
    """Batches a second, without those of the warm-up."""
    counted = ended_at[len(ended_at) // WARM_UP :]
    return (len(counted) - 1) / (counted[-1] - counted[0])
