"""`kopilka prove`: every invariant of every room, and the row that breaks one; or the chain alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.console import Console

from gateway.clock import ProgrammeClock
from gateway.services import open_database
from gateway.settings import Settings
from ledger.evidence import sealing, views
from ledger.evidence.history import WHOLE_HISTORY
from ledger.evidence.recount import Counted, Recount
from ledger.kernel.database import Database
from ledger.kernel.ids import BUCKETS
from ledger.proof import Finding, Proof, few_of_each_bucket
from settlement import audits

from .installation import DataOption, JsonOption, installed

_TOLD_EVERY_SECONDS: Final = 0.2

ChainOption = Annotated[
    bool, typer.Option("--chain", help="Recompute every hash and seal from the rows, and nothing else.")
]


def prove_command(data: DataOption = None, as_json: JsonOption = False, chain: ChainOption = False) -> None:
    """Run every invariant over the whole ledger; exit code 1 when one does not hold.

    A bucket in which something is found is read-only from then on, until a person lifts that.
    """
    is_ok = asyncio.run(_prove_chain(installed(data), as_json) if chain else _prove(installed(data), as_json))
    raise typer.Exit(0 if is_ok else 1)


async def _prove(settings: Settings, as_json: bool) -> bool:
    async with open_database(settings) as database:
        at = (await ProgrammeClock.read(database)).clock.now()
        proof = (await audits.audit(database, at=at)).proof
    if as_json:
        typer.echo(json.dumps(_figures(proof)))
    else:
        _print(proof)
    return proof.is_ok


async def _prove_chain(settings: Settings, as_json: bool) -> bool:
    async with open_database(settings) as database:
        started = time.perf_counter()
        with _progress(as_json) as tell:
            counted, found = await recount(database, tell)
        seconds = time.perf_counter() - started
        at = (await ProgrammeClock.read(database)).clock.now()
        await audits.answer_for(database, found, at=at)
    rows = counted.operations + counted.lines
    if as_json:
        figures = {"ok": not found, "findings": [asdict(finding) for finding in found]}
        typer.echo(json.dumps(figures | asdict(counted) | {"seconds": round(seconds, 3)}))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for finding in found:
            console.print(finding.row, style="red", markup=False)
        mark = "[red]✗[/red]" if found else "[green]✓[/green]"
        console.print(
            f"{mark} {counted.operations} operations and {counted.lines} lines in {counted.blocks} blocks, "
            f"recomputed in {seconds:.1f} s: {rows / seconds:,.0f} rows/s, "
            f"{counted.lines / seconds:,.0f} lines/s"
        )
    return not found


async def recount(database: Database, tell: _Progress) -> tuple[Counted, list[Finding]]:
    """Every hash of the chain and every seal, from the rows, in one snapshot."""
    async with database.writer.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        await connection.execute(WHOLE_HISTORY)
        running = Recount(connection, tell)
        flaws = [flaw async for flaw in views.flaws(connection)]
        flaws += [flaw async for flaw in running.flaws()]
        flaws += [flaw async for flaw in sealing.flaws(connection, running.sealable)]
    return running.counted, few_of_each_bucket(Finding("chain", flaw.bucket, flaw.row) for flaw in flaws)


class _Progress:
    """Says on standard error how far the recount is, now and then; says nothing where nobody watches."""

    def __init__(self, console: Console, *, is_quiet: bool) -> None:
        self._console = console
        self._is_quiet = is_quiet or not console.is_terminal
        self._told_at = 0.0

    def __call__(self, counted: Counted) -> None:
        if self._is_quiet or time.monotonic() < self._told_at + _TOLD_EVERY_SECONDS:
            return
        self._told_at = time.monotonic()
        self._console.print(
            f"bucket {counted.buckets + 1} of {BUCKETS}: {counted.blocks:,} blocks, "
            f"{counted.operations:,} operations, {counted.lines:,} lines",
            end="\r",
        )


@contextmanager
def _progress(is_quiet: bool) -> Iterator[_Progress]:
    console = Console(stderr=True, highlight=False)
    yield _Progress(console, is_quiet=is_quiet)
    if not is_quiet and console.is_terminal:
        console.print(" " * 79, end="\r")


def _figures(proof: Proof) -> dict[str, object]:
    return {
        "ok": proof.is_ok,
        "operations": proof.operations,
        "lines": proof.lines,
        "blocks": proof.blocks,
        "invariants": [invariant.name for invariant in proof.checked],
        "findings": [asdict(finding) for finding in proof.findings],
    }


def _print(proof: Proof) -> None:
    console = Console(soft_wrap=True, highlight=False)
    broken = {finding.invariant for finding in proof.findings}
    for invariant in proof.checked:
        mark = "[red]✗[/red]" if invariant.name in broken else "[green]✓[/green]"
        console.print(f"{mark} {invariant.name:<24} {invariant.claim}")
    for finding in proof.findings:
        console.print(f"  {finding.invariant}: {finding.row}", style="red", markup=False)
    console.print(f"{proof.operations} operations, {proof.lines} lines, {proof.blocks} blocks")
