"""`kopilka prove`: every invariant of every room, and the row that breaks one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import typer
from rich.console import Console

from gateway.services import open_database
from gateway.settings import Settings
from ledger import proof as points
from ledger.proof import Proof, prove
from settlement import proof as money

from .installation import DataOption, JsonOption, installed


def prove_command(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Run every invariant over the whole ledger; exit code 1 when one does not hold."""
    proof = asyncio.run(_prove(installed(data)))
    if as_json:
        typer.echo(json.dumps(_figures(proof)))
    else:
        _print(proof)
    raise typer.Exit(0 if proof.is_ok else 1)


async def _prove(settings: Settings) -> Proof:
    async with open_database(settings) as database:
        return await prove(database.writer, (*points.INVARIANTS, *money.INVARIANTS))


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
