"""What an operation costs: processor time here and in PostgreSQL, round trips, the rows it touches."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
from rich.console import Console
from rich.table import Table

from bench.engine import opened
from bench.load import Load, Measured, callers_alone, fill, run
from bench.wire import Heard, listening
from gateway.embedded import Addresses

COUNTS: Final = {1: 1_500, 64: 15_000, 512: 50_000, 2048: 50_000}
"""In flight → operations measured; before them as many again, a fifth of it, to warm up."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_ROWS: Final = """
    SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, coalesce(idx_scan, 0) AS looked_up
    FROM pg_stat_user_tables
"""


@dataclass(slots=True)
class Cost:
    """What one run cost, in total; processor time in seconds."""

    in_flight: int
    measured: Measured
    ours: float = 0.0
    callers: float = 0.0
    backends: float = 0.0
    background: float = 0.0
    wal_bytes: int = 0
    batches: int = 0
    statements: int = 0
    flights: int = 0
    by_flight: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Statements sent together → (times a batch, mean milliseconds waited for them)."""

    @property
    def batch(self) -> float:
        """Operations a batch."""
        return self.measured.operations / max(self.batches, 1)

    def per_operation(self, seconds: float) -> float:
        """Microseconds an operation."""
        return 1e6 * seconds / self.measured.operations

    @property
    def idle_share(self) -> float:
        """The share of the machine's processor time that nobody of us used."""
        used = self.ours + self.backends + self.background
        return max(0.0, 1 - used / (self.measured.seconds * (os.cpu_count() or 1)))


async def measure(admin_url: str, addresses: Addresses, *, quick: bool) -> dict[str, float]:
    """Measure every number in flight, show the tables, and give the figures of `latest.json`."""
    admin = await asyncpg.connect(admin_url)
    owner = await asyncpg.connect(addresses.owner)
    postmaster = _parent(await admin.fetchval("SELECT pg_backend_pid()"))
    load = Load(seed=1)
    costs = []
    with listening() as heard:
        async with opened(addresses) as (ledger, _):
            await fill(ledger, load.openings())
        rows_before, operations = await _rows(owner), 0
        async with opened(addresses) as (ledger, _):
            for in_flight, count in COUNTS.items():
                count = count // 10 if quick else count
                await run(ledger, load.mixed(count // 5), in_flight)
                commands = load.mixed(count)
                with _watching(heard, postmaster) as spent:
                    wal = await admin.fetchval("SELECT pg_current_wal_insert_lsn()")
                    measured = await run(ledger, commands, in_flight)
                    spent.measured = measured
                spent.in_flight = in_flight
                spent.wal_bytes = await admin.fetchval(
                    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::pg_lsn)::bigint", wal
                )
                spent.callers = await callers_alone(commands, in_flight)
                operations += count + count // 5
                costs.append(spent)
    rows = await _rows(owner)
    await admin.close()
    await owner.close()
    _show(costs)
    _show_flights(costs[-2])
    _show_rows(
        {
            name: [a - b for a, b in zip(now, rows_before.get(name, now), strict=True)]
            for name, now in rows.items()
        },
        operations,
    )
    return _figures(costs)


@contextmanager
def _watching(heard: Heard, postmaster: int) -> Iterator[Cost]:
    cost = Cost(in_flight=0, measured=Measured(0, 0.0, 0.0, 0.0, 0))
    heard.clear()
    before, ours = _spent(postmaster), time.process_time()
    yield cost
    cost.ours = time.process_time() - ours
    for pid, (seconds, is_backend) in _spent(postmaster).items():
        more = seconds - before.get(pid, (0.0, is_backend))[0]
        if is_backend:
            cost.backends += more
        else:
            cost.background += more
    cost.batches, cost.statements, cost.flights = heard.batches, heard.statements, heard.flights
    cost.by_flight = {
        name: (times / heard.batches, 1000 * heard.seconds[name] / times)
        for name, times in heard.times.most_common()
    }


def _figures(costs: list[Cost]) -> dict[str, float]:
    figures = {}
    for cost in costs:
        n = cost.in_flight
        figures[f"profile_ledger_us_{n}"] = cost.per_operation(cost.ours - cost.callers)
        figures[f"profile_callers_us_{n}"] = cost.per_operation(cost.callers)
        figures[f"profile_postgres_us_{n}"] = cost.per_operation(cost.backends + cost.background)
        figures[f"profile_batch_{n}"] = cost.batch
        figures[f"profile_statements_{n}"] = cost.statements / cost.batches
        figures[f"profile_round_trips_{n}"] = cost.flights / cost.batches
        figures[f"profile_wal_bytes_{n}"] = cost.wal_bytes / cost.measured.operations
    return figures


def _show(costs: list[Cost]) -> None:
    table = Table(title="What an operation costs, by how many are in flight")
    table.add_column("")
    for cost in costs:
        table.add_column(f"{cost.in_flight:,}", justify="right")
    lines = {
        "operations/s": [f"{c.measured.per_second:,.0f}" for c in costs],
        "p50, ms": [f"{c.measured.p50_ms:,.1f}" for c in costs],
        "p99, ms": [f"{c.measured.p99_ms:,.1f}" for c in costs],
        "operations a batch": [f"{c.batch:,.1f}" for c in costs],
        "statements a batch": [f"{c.statements / c.batches:,.1f}" for c in costs],
        "round trips a batch": [f"{c.flights / c.batches:,.1f}" for c in costs],
        "µs of the engine": [f"{c.per_operation(c.ours - c.callers):,.1f}" for c in costs],
        "µs of the load's callers, same process": [f"{c.per_operation(c.callers):,.1f}" for c in costs],
        "µs of PostgreSQL's backends": [f"{c.per_operation(c.backends):,.1f}" for c in costs],
        "µs of its background processes": [f"{c.per_operation(c.background):,.1f}" for c in costs],
        "bytes of write-ahead log": [f"{c.wal_bytes / c.measured.operations:,.0f}" for c in costs],
        "processors idle": [f"{100 * c.idle_share:.0f} %" for c in costs],
    }
    for name, cells in lines.items():
        table.add_row(name, *cells)
    Console().print(table)


def _show_flights(cost: Cost) -> None:
    table = Table(title=f"Flights at {cost.in_flight} in flight")
    for column in ("flight", "a batch", "ms waited for one"):
        table.add_column(column, justify="left" if column == "flight" else "right")
    for name, (times, milliseconds) in cost.by_flight.items():
        table.add_row(name, f"{times:,.2f}", f"{milliseconds:,.2f}")
    Console().print(table)


def _show_rows(rows: dict[str, list[int]], operations: int) -> None:
    table = Table(title="Rows an operation touches, by table")
    for column in ("table", "inserted", "updated", "of these in place", "index scans"):
        table.add_column(column, justify="left" if column == "table" else "right")
    for name, counts in sorted(rows.items(), key=lambda row: -sum(row[1])):
        if sum(counts) > operations // 1000:
            table.add_row(name, *(f"{count / operations:,.3f}" for count in counts))
    Console().print(table)


async def _rows(owner: asyncpg.Connection) -> dict[str, list[int]]:
    """By table: rows inserted, updated, updated in place, index scans. Sessions report when they end."""
    await owner.execute("SELECT pg_stat_clear_snapshot()")
    return {row[0]: list(row[1:]) for row in await owner.fetch(_ROWS)}


def _spent(postmaster: int) -> dict[int, tuple[float, bool]]:
    """Processor seconds of each process of the server so far, and whether it serves a client."""
    spent = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = _fields(stat)
            title = (stat.parent / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(stat.parent.name)
        if postmaster in (pid, int(fields[1])):
            spent[pid] = ((int(fields[11]) + int(fields[12])) / _TICKS, b"127.0.0.1" in title)
    return spent


def _parent(pid: int) -> int:
    return int(_fields(Path(f"/proc/{pid}/stat"))[1])


def _fields(stat: Path) -> list[str]:
    """The fields of /proc/…/stat after the name: state, parent, …; user and system time are 11 and 12."""
    return stat.read_text().rpartition(")")[2].split()
