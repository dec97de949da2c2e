"""`kopilka balance`: what a member, a partner or the programme had as of an instant, by either clock."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from gateway.services import Services, open_services
from gateway.settings import Settings
from gateway.unable import Unable
from ledger import tallies
from ledger.asof import Clock, check_past
from ledger.kernel.refusals import Refusal
from partners import Directory

from .installation import DataOption, JsonOption, installed
from .person import CardOption, MemberOption, PhoneOption, member_named

PartnerOption = Annotated[str | None, typer.Option("--partner", help="A partner, by number or name.")]
ProgrammeOption = Annotated[bool, typer.Option("--programme", help="The whole programme.")]
AsOfOption = Annotated[
    str | None,
    typer.Option("--as-of", help="The instant, itself included: 2026-01-31T23:59:59+03:00 (default: now)."),
]
ClockOption = Annotated[
    Clock, typer.Option("--clock", help="By when it happened, or by when it was written.")
]


def balance_command(
    member: MemberOption = None,
    phone: PhoneOption = None,
    card: CardOption = None,
    partner: PartnerOption = None,
    programme: ProgrammeOption = False,
    as_of: AsOfOption = None,
    clock: ClockOption = Clock.EFFECTIVE,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell who had how many points as of an instant. Name exactly one of whom."""
    asked = {
        "member": member,
        "phone": phone,
        "card": card,
        "partner": partner,
        "programme": programme or None,
    }
    named = {kind: who for kind, who in asked.items() if who is not None}
    if len(named) != 1:
        raise Unable("Name one of --member, --phone, --card, --partner and --programme.")
    ((kind, who),) = named.items()
    at = None if as_of is None else _instant(as_of)
    try:
        told = asyncio.run(_ask(installed(data), kind, who, at, clock))
    except Refusal as refusal:
        raise Unable(f"{refusal.code}: {refusal.message}.") from None
    if as_json:
        typer.echo(json.dumps(told))
    else:
        _print(told)


async def _ask(settings: Settings, kind: str, who: Any, at: datetime | None, clock: Clock) -> dict[str, Any]:
    async with open_services(settings) as services:
        instant = at or services.clock.now()
        check_past(instant, services.clock.now())
        told = {"as_of": instant.isoformat(), "clock": clock.value}
        if kind in ("partner", "programme"):
            return told | await _standing(services, kind, who, instant, clock)
        member = await member_named(services, kind, who)
        balance = await services.ledger.balance_as_of(member, instant, clock)
        return told | {"balance": msgspec.structs.asdict(balance) | {"shown": balance.shown}}


async def _standing(services: Services, kind: str, who: Any, at: datetime, clock: Clock) -> dict[str, Any]:
    async with services.database.writer.connect() as connection:
        if kind == "programme":
            return {"standing": asdict(await tallies.programme_as_of(connection, at, clock))}
        number = _partner_number(services.directories.current, who)
        return {"standing": asdict(await tallies.partner_as_of(connection, number, at, clock))}


def _partner_number(directory: Directory, who: str) -> int:
    named = [partner.id for partner in directory.partners.values() if who in (partner.name, str(partner.id))]
    if len(named) != 1:
        raise Unable(f"{'No partner is' if not named else 'More than one partner is'} called {who!r}.")
    return named[0]


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Unable("An instant is written with its offset, such as 2026-01-31T23:59:59+03:00.")
    return at.astimezone(UTC)


def _print(told: dict[str, Any]) -> None:
    """A heading for each part, its figures below it."""
    console = Console(highlight=False)
    console.print(f"As of {told['as_of']}, by the {told['clock']} clock")
    for heading, figures in _parts(told):
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        for name, figure in figures.items():
            table.add_row(f"  {name.replace('_', ' ')}", f"{figure:,}")
        console.print(heading)
        console.print(table)


def _parts(told: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    """Figures by what they are: a partner has a standing in each of its parts, and a figure besides."""
    heading = "balance" if "balance" in told else "standing"
    figures = told[heading]
    below = {part: figure for part, figure in figures.items() if isinstance(figure, dict)}
    besides = {name: figure for name, figure in figures.items() if name not in below}
    parts = [(part.replace("_", " "), figure) for part, figure in below.items()]
    return [*parts, (heading if not below else "as redeemer", besides)] if besides else parts
