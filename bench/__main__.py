"""`make bench`: start servers of our own, measure, print a table, write `bench/results/latest.json`."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from bench import engine, front, lanes, profile
from bench.tpcb import DATABASE, TpcB
from gateway.embedded import Addresses, DataFolder, Servers
from gateway.migrations.upgrade import migrate

RESULTS: Final = Path(__file__).parent / "results" / "latest.json"
TPCB_SECONDS: Final = 30

GOALS: Final = {
    "ledger_to_tpcb_ratio": "at least 3",
    "earn_requests_per_s": "at least 1,500",
    "postbatch_ops_per_s": "at least 6,000",
}


def main() -> None:
    """Run every measurement, or the ones named."""
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument(
        "parts",
        nargs="*",
        default=["engine", "front"],
        help="engine, front (these two by default), profile, lanes",
    )
    arguments.add_argument("--quick", action="store_true", help="a tenth of the load: to see that it works")
    given = arguments.parse_args()
    figures: dict[str, float] = {}
    if "engine" in given.parts:
        figures |= _measure_engine(quick=given.quick)
    if "front" in given.parts:
        figures |= front.measure(quick=given.quick)
    if "profile" in given.parts:
        figures |= _measure_profile(quick=given.quick)
    if figures:
        _show(figures)
    if "lanes" in given.parts:
        _show(_measure_lanes())
    if figures and not given.quick:
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        rounded = {name: round(figure, 3) for name, figure in sorted((known | figures).items())}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(rounded, indent=2) + "\n")


def _measure_engine(*, quick: bool) -> dict[str, float]:
    with _servers() as (servers, addresses):
        asyncio.run(_prepare(servers, addresses))
        tpcb = TpcB(servers.admin_url)
        tpcb.prepare()
        seconds = TPCB_SECONDS // 10 if quick else TPCB_SECONDS
        return uvloop.run(engine.compare(tpcb, addresses, seconds=seconds, quick=quick))


def _measure_profile(*, quick: bool) -> dict[str, float]:
    with _servers() as (servers, addresses):
        asyncio.run(_prepare(servers, addresses))
        return uvloop.run(profile.measure(servers.admin_url, addresses, quick=quick))


def _measure_lanes() -> dict[str, float]:
    with _servers() as (servers, addresses):
        asyncio.run(_prepare(servers, addresses))
        return uvloop.run(lanes.compare(addresses))


@contextmanager
def _servers() -> Iterator[tuple[Servers, Addresses]]:
    folder = Path(tempfile.mkdtemp(prefix="kopilka-bench-"))
    data = DataFolder(folder / "data")
    servers = Servers(data)
    try:
        yield servers, servers.start()
    finally:
        servers.stop()
        data.close()
        servers.remove()
        shutil.rmtree(folder)


async def _prepare(servers: Servers, addresses: Addresses) -> None:
    admin = await asyncpg.connect(servers.admin_url)
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    await admin.close()
    await migrate(owner_url=addresses.owner, writer_url=addresses.writer, reader_url=addresses.reader)


def _show(figures: dict[str, float]) -> None:
    table = Table(title="Kopilka, measured on this machine in one run")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("goal")
    for name, figure in figures.items():
        digits = 2 if figure < 100 else 0
        table.add_row(name, f"{figure:,.{digits}f}", GOALS.get(name, ""))
    Console().print(table)


if __name__ == "__main__":
    main()
