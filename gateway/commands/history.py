"""`kopilka history`: what happened to a member, newest first, archived months and merged members included."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.services import open_services
from gateway.settings import Settings
from gateway.unable import Unable
from ledger import Recorded
from ledger.kernel.refusals import Refusal
from partners import Directory

from .installation import DataOption, JsonOption, installed
from .person import MOST_NUMBER, CardOption, MemberOption, PhoneOption, member_named

_MOST: Final = 1_000
_WIDEST: Final = 1_000
"""Columns of a line: names and receipts have 200 characters at most."""

FirstOption = Annotated[int, typer.Option("--first", help="How many to tell of.", min=1, max=_MOST)]
BeforeOption = Annotated[
    int | None,
    typer.Option(
        "--before",
        metavar="NUMBER",
        help="Only what came before this operation, by its number.",
        min=0,
        max=MOST_NUMBER,
    ),
]


def history_command(
    member: MemberOption = None,
    phone: PhoneOption = None,
    card: CardOption = None,
    first: FirstOption = 20,
    before: BeforeOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened to a member, newest first. Name exactly one of --member, --phone and --card."""
    asked = {"member": member, "phone": phone, "card": card}
    named = [(kind, who) for kind, who in asked.items() if who is not None]
    if len(named) != 1:
        raise Unable("Name one of --member, --phone and --card.")
    try:
        told = asyncio.run(_ask(installed(data), *named[0], first=first, before=before))
    except Refusal as refusal:
        raise Unable(f"{refusal.code}: {refusal.message}.") from None
    if as_json:
        typer.echo(json.dumps(told))
    else:
        _print(told)


async def _ask(settings: Settings, kind: str, who: Any, *, first: int, before: int | None) -> dict[str, Any]:
    """The operations, and by which one to go on: None when there are no more."""
    async with open_services(settings) as services:
        number = await member_named(services, kind, who)
        found = await services.ledger.history(number, before=before, limit=first + 1)
        shown = [_told(each, services.directories.current) for each in found[:first]]
        return {
            "member": number,
            "operations": shown,
            "before": found[first - 1].id if found[first:] else None,
        }


def _told(recorded: Recorded, directory: Directory) -> dict[str, Any]:
    """One operation; the balance is the wallet's after it. `receipt` and `refusal` are empty for none."""
    return {
        "id": recorded.id,
        "recorded_at": recorded.recorded_at.isoformat(),
        "occurred_at": recorded.occurred_at.isoformat(),
        "kind": recorded.kind,
        "member": recorded.member,
        "partner": recorded.partner,
        "partner_name": _name(directory, recorded.partner),
        "points": recorded.points,
        "balance": recorded.outcome.balance.shown,
        "receipt": recorded.receipt,
        "refusal": recorded.refusal,
    }


def _name(directory: Directory, partner: int) -> str:
    """A partner's name; empty where nobody traded."""
    known = directory.partners.get(partner)
    return "" if known is None else known.name


def _print(told: dict[str, Any]) -> None:
    # A line may be longer than the terminal is wide: a code or a receipt that is cut off tells nothing.
    console = Console(highlight=False, markup=False, width=_WIDEST)
    if not told["operations"]:
        console.print(f"Nothing is recorded of member {told['member']}.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("operation", "recorded, UTC", "kind", "partner"):
        table.add_column(heading, no_wrap=True)
    for heading in ("points", "balance"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("receipt, or why not", no_wrap=True)
    for each in told["operations"]:
        recorded_at = each["recorded_at"][:16].replace("T", " ")
        figures = (f"{each['points']:,}", f"{each['balance']:,}")
        known = (str(each["id"]), recorded_at, each["kind"], each["partner_name"])
        row = (*known, *figures, each["refusal"] or each["receipt"])
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    if told["before"] is not None:
        console.print(f"More with --before {told['before']}.")
