"""`make bench`: start servers of our own, measure, print a table, write `bench/results/latest.json`.

Every part starts servers of its own on this machine, and removes them with their data.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import structlog
import uvloop
from rich.console import Console
from rich.table import Table
from structlog.dev import plain_traceback as _plain

from bench import chart, deciding, engine, floor, front, goals, lanes, long, processes, profile, results
from bench.tpcb import DATABASE, TpcB
from gateway.embedded import Addresses, DataFolder, Servers
from gateway.migrations.upgrade import migrate

TPCB_SECONDS: Final = 30
LOG_FILES: Final = 192
"""Of 16 MB: what the parts write, and some to spare."""

ALWAYS: Final = ("engine", "processes", "front", "profile", "deciding")
"""The parts of `make bench`."""


def main() -> None:
    """Run the parts named."""
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument(
        "parts", nargs="*", default=ALWAYS, metavar="part", help=f"of {', '.join(_PARTS)}; or chart"
    )
    arguments.add_argument("--quick", action="store_true", help="a tenth of the load: to see that it works")
    arguments.add_argument(
        "--after",
        type=int,
        default=long.LINES,
        metavar="LINES",
        help="how long `long` lets the ledger become",
    )
    given = arguments.parse_args()
    if given.parts == ["chart"]:
        chart.refresh(results.figures())
        return
    if unknown := set(given.parts) - _PARTS.keys():
        arguments.error(f"no such part: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # told to stop, it removes its servers too
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=_plain)])
    for part in given.parts:
        found = _PARTS[part](given)
        _show(part, found)
        if not given.quick and part != "lanes":
            results.merge(part, found)


def _measure_engine(given: argparse.Namespace) -> dict[str, float]:
    with _servers() as (servers, addresses):
        tpcb = TpcB(servers.admin_url)
        tpcb.prepare()
        seconds = TPCB_SECONDS // 10 if given.quick else TPCB_SECONDS
        return uvloop.run(engine.compare(tpcb, addresses, seconds=seconds, quick=given.quick))


def _measure_processes(given: argparse.Namespace) -> dict[str, float]:
    with _servers() as (_, addresses):
        return uvloop.run(processes.compare(addresses, quick=given.quick))


def _measure_front(given: argparse.Namespace) -> dict[str, float]:
    return front.measure(quick=given.quick)


def _measure_profile(given: argparse.Namespace) -> dict[str, float]:
    with _servers() as (servers, addresses):
        return uvloop.run(profile.measure(servers.admin_url, addresses, quick=given.quick))


def _measure_long(given: argparse.Namespace) -> dict[str, float]:
    with _servers() as (servers, addresses):
        return uvloop.run(long.measure(servers.admin_url, addresses, lines=given.after, quick=given.quick))


def _measure_deciding(_given: argparse.Namespace) -> dict[str, float]:
    return deciding.measure()


def _measure_lanes(_given: argparse.Namespace) -> dict[str, float]:
    with _servers() as (_, addresses):
        return uvloop.run(lanes.compare(addresses))


def _measure_floor(given: argparse.Namespace) -> dict[str, float]:
    with _servers() as (servers, addresses):
        tpcb = TpcB(servers.admin_url)
        tpcb.prepare()
        seconds = TPCB_SECONDS // 10 if given.quick else TPCB_SECONDS
        return uvloop.run(
            floor.compare(tpcb, servers.admin_url, addresses, seconds=seconds, quick=given.quick)
        )


_PARTS: Final[Mapping[str, Callable[[argparse.Namespace], dict[str, float]]]] = {
    "engine": _measure_engine,
    "processes": _measure_processes,
    "front": _measure_front,
    "profile": _measure_profile,
    "deciding": _measure_deciding,
    "long": _measure_long,
    "lanes": _measure_lanes,
    "floor": _measure_floor,
}


@contextmanager
def _servers() -> Iterator[tuple[Servers, Addresses]]:
    """Servers with a migrated database and an empty one for pgbench; nothing is left of them."""
    folder = Path(tempfile.mkdtemp(prefix="kopilka-bench-"))
    folder.chmod(0o711)  # as root, the servers' account passes through
    data = DataFolder(folder / "data")
    servers = Servers(data)
    try:
        addresses = servers.start()
        asyncio.run(_prepare(servers, addresses))
        yield servers, addresses
    finally:
        servers.stop()
        data.close()
        servers.remove()
        shutil.rmtree(folder)


async def _prepare(servers: Servers, addresses: Addresses) -> None:
    admin = await asyncpg.connect(servers.admin_url)
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    await _lay_out_log(admin)
    await admin.close()
    await migrate(owner_url=addresses.owner, writer_url=addresses.writer, reader_url=addresses.reader)


async def _lay_out_log(admin: asyncpg.Connection) -> None:
    """Let the files of the log be there to be used again, as on a server that has run for a while.

    Whoever commits when a new one has to be made waits some 40 ms for it, TPC-B as well as the ledger.
    """
    for _ in range(LOG_FILES):
        await admin.execute("SELECT pg_logical_emit_message(false, 'bench', '')")
        await admin.execute("SELECT pg_switch_wal()")
    await admin.execute("CHECKPOINT")


def _show(part: str, figures: Mapping[str, float]) -> None:
    table = Table(title=f"{part}, measured on this machine in one run")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("goal")
    for name, figure in figures.items():
        table.add_row(name, goals.written(figure), goals.told(name, figure))
    Console().print(table)


if __name__ == "__main__":
    main()
