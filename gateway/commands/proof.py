"""`kopilka proof export` and `kopilka verify`: one operation proved to whoever holds a file, offline."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from gateway.schema.node import read_id
from gateway.services import open_database
from gateway.settings import Settings
from gateway.unable import Unable
from ledger.accounts import NAMES
from ledger.evidence.exporting import inclusion_of
from ledger.evidence.inclusion import Inclusion, from_inclusion_file, to_inclusion_file
from ledger.evidence.seal import NotGenuine
from ledger.kernel.refusals import Refusal

from .archive import verify_archive
from .installation import DataOption, JsonOption, installed
from .seal import read_json, read_seal

proof_app: Final = typer.Typer(help="Prove one operation to others.", no_args_is_help=True)

OperationArgument = Annotated[
    str, typer.Argument(metavar="OPERATION", help="The operation's id, as GraphQL gives it, or its number.")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="What `proof export` or `archive` wrote.")]
SealOption = Annotated[
    Path | None, typer.Option("--seal", metavar="FILE", help="The seal that was kept of that period.")
]

RecordedOption = Annotated[
    bool, typer.Option("--recorded", help="Compare an archive with what the installation wrote down of it.")
]

_SHOWN: Final = (
    *("id", "kind", "points", "member", "partner", "outlet", "period", "origin_period"),
    *("occurred_at", "recorded_at", "terminal", "receipt", "refusal", "principal", "key"),
)


@proof_app.callback()
def proof_command() -> None:
    """Prove one operation to others."""


@proof_app.command("export")
def export_command(operation: OperationArgument, data: DataOption = None) -> None:
    """Print the proof that an operation is under its period's seal."""
    inclusion = asyncio.run(_inclusion(installed(data), _number(operation)))
    typer.echo(json.dumps(to_inclusion_file(inclusion), indent=1))


def verify_command(
    file: FileArgument,
    seal: SealOption = None,
    recorded: RecordedOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a proof, or an archived month, with no database and no network; exit code 1 if it is not so."""
    if file.is_dir():
        kept = None if seal is None else read_seal(seal)
        verified = verify_archive(file, kept, installed(data) if recorded else None)
        typer.echo(json.dumps(verified.figures()) if as_json else verified.told())
        return
    if recorded:
        raise Unable(f"--recorded is for archived months, and {file} is no folder.")
    try:
        inclusion = from_inclusion_file(read_json(file))
    except NotGenuine as reason:
        raise Unable(f"{file} proves nothing: {reason}.") from None
    if seal is not None and read_seal(seal) != inclusion.seal:
        raise Unable(f"{file} proves nothing: it leads to another seal than {seal}.")
    if as_json:
        typer.echo(json.dumps(_figures(inclusion), default=str))
    else:
        _print(inclusion, is_kept=seal is not None)


async def _inclusion(settings: Settings, operation: int) -> Inclusion:
    async with open_database(settings) as database, database.writer.connect() as connection:
        try:
            inclusion = await inclusion_of(connection, operation)
        except Refusal as refusal:
            raise Unable(f"{refusal.code}: {refusal.message}.") from None
        except NotGenuine as reason:
            raise Unable(f"The ledger contradicts itself: {reason}; run kopilka prove --chain.") from None
    if inclusion is None:
        raise Unable("There is no such operation.")
    return inclusion


def _number(text: str) -> int:
    known = read_id(text)
    if known is not None and known[0] == "Operation":
        return known[1]
    if text.isascii() and text.isdecimal() and int(text) < 1 << 63:
        return int(text)
    raise Unable(f"{text!r} is no operation's id.")


def _figures(inclusion: Inclusion) -> dict[str, Any]:
    operation = inclusion.operation()
    return {
        "ok": True,
        "operation": {name: operation[name] for name in _SHOWN},
        "lines": [
            {"debit": NAMES.get(line["debit"]), "credit": NAMES.get(line["credit"])}
            | {name: line[name] for name in ("amount", "unit", "issuer", "obligor", "redeemer", "tariff")}
            for line in inclusion.line_values()
        ],
        "root": inclusion.seal.root.hex(),
        "key": inclusion.seal.key_id,
    }


def _print(inclusion: Inclusion, *, is_kept: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    figures = _figures(inclusion)
    seal = inclusion.seal
    console.print(
        f"[green]✓[/green] Under the seal of period {seal.period}, signed {seal.sealed_at:%Y-%m-%d}:"
    )
    for name, value in figures["operation"].items():
        if value not in {"", 0}:
            console.print(f"  {name:<14} {value}", markup=False)
    for line in figures["lines"]:
        console.print(f"  {line['amount']} {line['unit']}  {line['debit']} → {line['credit']}", markup=False)
    kept = (
        "the seal that you kept"
        if is_kept
        else "the seal in the file: compare its key with the published one"
    )
    console.print(
        f"  root           {figures['root']}\n  key            {figures['key']}\nChecked against {kept}."
    )
