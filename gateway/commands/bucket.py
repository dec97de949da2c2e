"""`kopilka bucket`: which buckets are read-only and why, and letting one be written again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from gateway.clock import ProgrammeClock
from gateway.services import open_database
from gateway.settings import Settings
from gateway.unable import Unable
from ledger import findings
from ledger.findings import Known
from ledger.kernel.ids import BUCKETS
from ledger.kernel.refusals import Refusal
from settlement import audits

from .installation import DataOption, JsonOption, installed, who

bucket_app: Final = typer.Typer(help="See read-only buckets, and lift one.", no_args_is_help=True)

BucketArgument = Annotated[
    int | None,
    typer.Argument(
        metavar="BUCKET",
        help="The bucket; left out, the findings that blame no bucket.",
        min=0,
        max=BUCKETS - 1,
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="What was wrong and what was done.")]


@bucket_app.command("list")
def list_command(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Buckets that are read-only, and the findings that nobody has answered for."""
    fenced, known = asyncio.run(_listed(installed(data)))
    if as_json:
        typer.echo(json.dumps({"fenced": fenced, "findings": [_figures(each) for each in known]}))
        return
    console = Console(highlight=False, soft_wrap=True)
    for bucket, reason in fenced.items():
        console.print(f"bucket {bucket} is read-only: {reason}", markup=False)
    for each in known:
        console.print(f"  {each.found_at:%Y-%m-%d %H:%M} {each.invariant}: {each.what}", markup=False)
    if not fenced and not known:
        console.print("Every bucket is written; nothing was found that is not answered for.")


@bucket_app.command("lift")
def lift_command(bucket: BucketArgument = None, *, reason: ReasonOption, data: DataOption = None) -> None:
    """Prove everything again and, if nothing is found in it, let the bucket be written."""
    lifted = asyncio.run(_lift(installed(data), bucket, reason))
    what = "The whole ledger's findings are" if bucket is None else f"Bucket {bucket} is"
    typer.echo(f"{what} lifted, {len(lifted)} findings answered for.")


async def _listed(settings: Settings) -> tuple[dict[int, str], list[Known]]:
    async with open_database(settings) as database, database.writer.connect() as connection:
        return await findings.fenced(connection), await findings.listed(connection, only_open=True)


async def _lift(settings: Settings, bucket: int | None, reason: str) -> list[Known]:
    async with open_database(settings) as database:
        at = (await ProgrammeClock.read(database)).clock.now()
        try:
            async with database.writer.begin() as connection:
                return await audits.lift(database, connection, bucket, by=who(), because=reason, at=at)
        except Refusal as refusal:
            raise Unable(f"{refusal.code}: {refusal.message}.") from None


def _figures(known: Known) -> dict[str, Any]:
    return {**asdict(known), "found_at": known.found_at.isoformat(), "lifted_at": None}
