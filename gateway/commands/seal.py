"""`kopilka seal`: the signed root of a period, to be looked at, kept elsewhere and checked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from gateway.clock import ProgrammeClock
from gateway.services import master_keys, open_database, seal_keys_of
from gateway.settings import Settings
from gateway.unable import Unable, explain
from ledger.evidence import sealing, views
from ledger.evidence.history import WHOLE_HISTORY
from ledger.evidence.seal import NotGenuine, Seal, from_file, to_file
from ledger.evidence.seal_keys import SealKeysSealed, public_keys
from ledger.evidence.sealing import ChainBroken
from partners.events import record

from .installation import DataOption, JsonOption, installed, who

seal_app: Final = typer.Typer(help="See, keep and check the signed roots of periods.", no_args_is_help=True)

OrdinalArgument = Annotated[int, typer.Argument(metavar="PERIOD", help="The period's number, from 1.")]
AgainstOption = Annotated[
    Path | None, typer.Option("--against", metavar="FILE", help="A seal that was kept elsewhere.")
]

_LARGEST: Final = 1_000_000


@seal_app.command("make")
def make_command(data: DataOption = None) -> None:
    """Seal every period that all buckets have left; the worker does that by itself."""
    made = asyncio.run(_make(installed(data)))
    for seal in made:
        typer.echo(f"Period {seal.period} is sealed: {seal.root.hex()}")
    if not made:
        typer.echo("No period waits for its seal.")


@seal_app.command("show")
def show_command(period: OrdinalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """A period's seal; with --json the file to be kept elsewhere."""
    seal, public = asyncio.run(_find(installed(data), period))
    if as_json:
        typer.echo(json.dumps(to_file(seal, public), indent=1))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Period {seal.period}: {seal.operations:,} operations in {seal.blocks:,} blocks")
    console.print(f"  root       {seal.root.hex()}")
    console.print(f"  previous   {seal.previous.hex()}")
    console.print(f"  sealed at  {seal.sealed_at:%Y-%m-%d %H:%M:%S} UTC")
    console.print(f"  key        {seal.key_id}")


@seal_app.command("verify")
def verify_command(period: OrdinalArgument, against: AgainstOption = None, data: DataOption = None) -> None:
    """Compute a period's root again from its blocks, and check its signature; exit code 1 if one is wrong."""
    kept = None if against is None else read_seal(against)
    problems = asyncio.run(_problems(installed(data), period, kept))
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(1)
    also = "" if against is None else f", and {against} says the same"
    typer.echo(f"The seal of period {period} is good{also}. Operations and lines: kopilka prove --chain.")


@seal_app.command("new-key")
def new_key_command(data: DataOption = None) -> None:
    """Make a new key that signs seals from now on. Those of the older keys stay good and published."""
    key_id = asyncio.run(_renew(installed(data)))
    typer.echo(f"Seals are signed with key {key_id} from now on.")


def read_seal(file: Path) -> Seal:
    """The seal in a file, its signature checked. Raises `Unable`."""
    try:
        return from_file(read_json(file))[0]
    except NotGenuine as reason:
        raise Unable(f"{file}: {reason}.") from None


def read_json(file: Path) -> Any:
    """What a small file of evidence holds. Raises `Unable`."""
    try:
        if file.stat().st_size > _LARGEST * 100:
            raise Unable(f"{file} is larger than evidence can be.")
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain(error, f"reading {file}") from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise Unable(f"{file} is not JSON.") from None


async def _make(settings: Settings) -> list[Seal]:
    keys = seal_keys_of(master_keys(settings))
    async with open_database(settings) as database:
        at = (await ProgrammeClock.read(database)).clock.now()
        async with database.writer.connect() as connection:
            due = await sealing.due(connection)
        made = []
        for span in due:
            try:
                async with database.writer.begin() as connection:
                    made.append(await sealing.seal_period(connection, span, keys, at=at))
            except (ChainBroken, SealKeysSealed) as reason:
                raise Unable(f"Period {span.period} is not sealed: {reason}.") from None
        return made


async def _renew(settings: Settings) -> str:
    keys = seal_keys_of(master_keys(settings))
    async with open_database(settings) as database:
        at = (await ProgrammeClock.read(database)).clock.now()
        async with database.writer.begin() as connection:
            key_id = (await keys.renew(connection, at=at)).key_id
            await record(connection, "seal_key.made", at=at, body={"key": key_id, "by": who()})
    return key_id


async def _find(settings: Settings, period: int) -> tuple[Seal, bytes]:
    async with open_database(settings) as database, database.writer.connect() as connection:
        seal = await sealing.find(connection, period)
        if seal is None:
            raise Unable(f"Period {period} is not sealed yet.")
        return seal, (await public_keys(connection))[seal.key_id]


async def _problems(settings: Settings, period: int, kept: Seal | None) -> list[str]:
    async with open_database(settings) as database, database.writer.connect() as connection:
        await connection.execute(WHOLE_HISTORY)
        seal = await sealing.find(connection, period)
        if seal is None:
            raise Unable(f"Period {period} is not sealed yet.")
        problems = [flaw.row async for flaw in views.flaws(connection)]
        problems += [problem async for problem in sealing.problems(connection, seal)]
    if kept is not None and kept != seal:
        problems.append(f"the seal that was kept is not the one of period {period} that is stored")
    return problems
