"""`kopilka demo`: the demo coalition in an installation that has servers of its own."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import typer

from gateway import demo
from gateway.demo import DemoClients
from gateway.services import open_services
from gateway.settings import Settings
from partners import MOST_NOTICE_DAYS

from .installation import DataOption, JsonOption, installed
from .telling import tell

_LOADED: Final = "[bold]The demo coalition is there.[/bold]"

NoticeDaysOption = Annotated[
    int | None,
    typer.Option(
        help="For a new installation: how many days before points expire members are told "
        "(default: nobody is, they just expire).",
        min=1,
        max=MOST_NOTICE_DAYS,
    ),
]


PortOption = Annotated[
    int | None,
    typer.Option(
        help="Where it is served, for the lines that are printed (default: 8000).", min=1, max=65535
    ),
]


def demo_command(
    notice_days: NoticeDaysOption = None,
    port: PortOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load the demo coalition, or show its clients again. `kopilka up` does this by itself."""
    settings = installed(data, port=port)
    tell(settings, loaded(settings, notice_days), as_json=as_json, under=_LOADED)


def loaded(settings: Settings, notice_days: int | None) -> DemoClients:
    """The demo's clients; the coalition is made the first time, and keeps the notices it was made with.

    Raises `Unable` if others are asked for.
    """
    known = demo.known(settings.data_dir, settings.issuer)
    if known is not None and notice_days is None:
        return known
    return asyncio.run(_load(settings, known, notice_days))


async def _load(settings: Settings, known: DemoClients | None, notice_days: int | None) -> DemoClients:
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_services(settings) as services:
        if notice_days is not None:
            demo.check_notices(services, notice_days)
        return known or await demo.load(services, settings.data_dir, notice_days)
