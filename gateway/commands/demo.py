"""`kopilka demo`: the demo coalition in an installation that has servers of its own."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway import demo
from gateway.demo import DemoClients
from gateway.services import open_services
from gateway.settings import Settings

from .installation import DataOption, JsonOption, installed
from .telling import tell

_LOADED: Final = "[bold]The demo coalition is there.[/bold]"


def demo_command(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Load the demo coalition, or show its clients again. `kopilka up` does this by itself."""
    settings = installed(data)
    clients = demo.known(settings.data_dir, settings.issuer) or asyncio.run(_load(settings))
    tell(settings, clients, as_json=as_json, under=_LOADED)


async def _load(settings: Settings) -> DemoClients:
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_services(settings) as services:
        return await demo.load(services, settings.data_dir)
