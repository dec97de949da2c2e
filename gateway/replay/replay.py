"""One replay from the first token to the proof, against a server that is up."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

from . import coalition
from .door import Door
from .drive import Drive
from .finance import Finance
from .journey import Journey
from .operator import Operator
from .phones import enrol
from .report import Report
from .server import Place

_TILL_SCOPES: Final = ("earn", "burn")
_APP_SCOPES: Final = ("members:enrol", "members:card")

Said = Callable[[str], None]
"""Told in a few words what is being done."""


async def replay(place: Place, journey: Journey, *, on_step: Said, on_day: Callable[[int], None]) -> Report:
    """Send the journey through the server's front door. `on_day` is told each day's baskets.

    Raises `Unable` when the server goes away or refuses to carry the journey.
    """
    run, began = secrets.token_hex(4), time.monotonic()
    async with Door(place.issuer) as door:
        operator = Operator(door.session(place.operator.credentials()))
        finance = Finance(door.session(place.finance.credentials()))
        on_step("Founding the coalition")
        await operator.ensure_programme()
        partners = [await operator.create_partner(partner) for partner in coalition.PARTNERS]
        clients = [
            await operator.create_client("PARTNER", _TILL_SCOPES, run=run, partner=partner)
            for partner in partners
        ]
        app = door.session(await operator.create_client("APP", _APP_SCOPES, run=run))
        on_step("Opening stores, enrolling households")
        _, cards = await asyncio.gather(
            operator.open_outlets(partners, journey.outlets), enrol(app, journey.households)
        )
        on_step("Replaying")
        drive = Drive(
            journey,
            operator=operator,
            finance=finance,
            tills=[door.session(client) for client in clients],
            cards=cards,
        )
        await drive.run(on_day)
        seconds = time.monotonic() - began
        on_step("Proving")
        return Report(
            tally=drive.tally,
            partners=partners,
            dropped_lines=journey.dropped_lines,
            seconds=seconds,
            periods=await finance.closed(),
            is_proven=await finance.is_proven(),
        )
