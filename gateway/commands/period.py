"""`kopilka period`: the periods of an installation, what one came to, and its close."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.clock import ProgrammeClock
from gateway.services import open_database, open_services
from gateway.settings import Settings
from gateway.unable import Unable
from ledger.kernel.database import Database
from ledger.kernel.refusals import Refusal
from ledger.kernel.values import decimal_of
from partners import Directories, Directory
from settlement import Period, Sheet, Statement, advance, issued, periods

from .installation import DataOption, JsonOption, installed, who

period_app: Final = typer.Typer(help="See the periods, and close one.", no_args_is_help=True)

_COLUMNS: Final = ("opening", "charge", "due", "payable", "carried")

OrdinalArgument = Annotated[int, typer.Argument(metavar="PERIOD", help="The period's number, from 1.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A period with its statements and the directory that names those in it."""

    period: Period
    statements: list[Statement]
    directory: Directory


@period_app.command("list")
def list_command(data: DataOption = None, as_json: JsonOption = False) -> None:
    """The periods that have begun, earliest first."""
    found, directory = asyncio.run(_begun(installed(data)))
    if as_json:
        typer.echo(json.dumps({"periods": [_summary(period) for period in found]}))
    else:
        _console().print(_table_of(found, directory))


@period_app.command("show")
def show_command(period: OrdinalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Where a period stands and, once it is closed, what each partner pays or receives."""
    _tell(asyncio.run(_account(installed(data), period)), as_json=as_json)


@period_app.command("close")
def close_command(period: OrdinalArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Bring a period that is over to its proposal. One that is closed already stays as it is."""
    _tell(asyncio.run(_close(installed(data), period)), as_json=as_json)


async def _begun(settings: Settings) -> tuple[list[Period], Directory]:
    async with open_database(settings) as database:
        clock = (await ProgrammeClock.read(database)).clock
        directory = await Directories(database).reload()
        async with database.writer.connect() as connection:
            try:
                return await periods.periods(connection, at=clock.now()), directory
            except Refusal as refusal:
                raise _unable(refusal) from None


async def _account(settings: Settings, ordinal: int) -> Account:
    async with open_database(settings) as database:
        return await _account_in(database, ordinal)


async def _close(settings: Settings, ordinal: int) -> Account:
    async with open_services(settings) as services:
        at = services.clock.now()
        try:
            await advance(services.database, services.ledger, ordinal, at=at, by=who())
        except Refusal as refusal:
            raise _unable(refusal) from None
        return await _account_in(services.database, ordinal)


async def _account_in(database: Database, ordinal: int) -> Account:
    directory = await Directories(database).reload()
    async with database.writer.connect() as connection:
        try:
            period = await periods.period(connection, ordinal)
        except Refusal as refusal:
            raise _unable(refusal) from None
        statements = await issued.statements(connection, period=ordinal)
    return Account(period=period, statements=statements, directory=directory)


def _unable(refusal: Refusal) -> Unable:
    return Unable(f"{refusal.code}: {refusal.message}.")


def _tell(account: Account, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_figures(account)))
    else:
        _print(account)


def _summary(period: Period) -> dict[str, Any]:
    sheet = period.sheet
    return {
        "period": period.ordinal,
        "starts_at": period.starts_at.isoformat(),
        "ends_at": period.ends_at.isoformat(),
        "stage": period.stage.value,
        "gross_micro": sheet.gross_micro if sheet else None,
        "sheet_sum_micro": sheet.sum_micro if sheet else None,
        "netting_efficiency": float(sheet.efficiency) if sheet else None,
    }


def _figures(account: Account) -> dict[str, Any]:
    """What `--json` prints of one period: money in micro-units, what a partner receives is negative."""
    period, sheet = account.period, account.period.sheet
    statements = {statement.partner: statement.number for statement in account.statements}
    return _summary(period) | {
        "currency": sheet.currency if sheet else None,
        "cells_hash": period.hash.hex() if period.hash else None,
        "history": [
            {"stage": reached.stage.value, "at": reached.at.isoformat(), "by": reached.by}
            for reached in period.history
        ],
        "lines": [
            {
                "partner": line.partner,
                "name": _name(account.directory, line.partner),
                "statement": statements.get(line.partner),
                **{f"{column}_micro": getattr(line, f"{column}_micro") for column in _COLUMNS},
            }
            for line in (sheet.lines if sheet else ())
        ],
    }


def _print(account: Account) -> None:
    console, period = _console(), account.period
    first, end = _days(period, account.directory)
    console.print(f"Period {period.ordinal}, from {first} up to {end}: [bold]{period.stage.value}[/bold]")
    for reached in period.history:
        console.print(f"  {reached.stage.value:<12} {reached.at:%Y-%m-%d %H:%M} UTC by {reached.by}")
    if period.sheet is not None:
        console.print(_sheet_table(period.sheet, account))
        gross, _, spared = _money_of(period.sheet)
        console.print(f"Netting spares {spared} of {gross}. Positive pays, negative receives.")


def _table_of(found: list[Period], directory: Directory) -> Table:
    table = Table()
    for heading in ("period", "from", "up to", "stage"):
        table.add_column(heading, no_wrap=True)
    for heading in ("gross", "sum", "netting spares"):
        table.add_column(heading, justify="right")
    for period in found:
        known = (str(period.ordinal), *_days(period, directory), period.stage.value)
        table.add_row(*known, *(_money_of(period.sheet) if period.sheet else ()))
    return table


def _sheet_table(sheet: Sheet, account: Account) -> Table:
    table = Table(title=f"What each partner pays or receives, {sheet.currency}", title_justify="left")
    table.add_column("partner")
    for heading in _COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in sheet.lines:
        money = (_money(getattr(line, f"{column}_micro")) for column in _COLUMNS)
        table.add_row(Text(_name(account.directory, line.partner)), *money)
    return table


def _days(period: Period, directory: Directory) -> tuple[str, str]:
    """Its first day in the programme's time zone, and the first day of the next one."""
    assert directory.programme is not None, "periods come with the programme"
    zone = directory.programme.zone
    return f"{period.starts_at.astimezone(zone):%Y-%m-%d}", f"{period.ends_at.astimezone(zone):%Y-%m-%d}"


def _name(directory: Directory, partner: int) -> str:
    """A partner's name; the operator goes by the programme's."""
    known = directory.partners.get(partner) or directory.programme
    assert known is not None, "a sheet comes after the programme"
    return known.name


def _money_of(sheet: Sheet) -> tuple[str, str, str]:
    return _money(sheet.gross_micro), _money(sheet.sum_micro), f"{float(sheet.efficiency):.2%}"


def _money(micro: int) -> str:
    return f"{decimal_of(micro):,}"


def _console() -> Console:
    return Console(highlight=False)
