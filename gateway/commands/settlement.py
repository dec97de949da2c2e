"""`kopilka settlement`: settle a scenario from a file, without an installation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from gateway.unable import Unable, explain
from ledger.kernel.refusals import Refusal
from ledger.kernel.values import decimal_of
from settlement import simulate

from .installation import JsonOption

settlement_app: Final = typer.Typer(help="What partners pay each other.", no_args_is_help=True)

_LARGEST: Final = 16 * 1024 * 1024
_OWED: Final = ("opening", "charge", "due")
_PAID: Final = ("pay", "carry", "closing_ca")
_POINTS: Final = ("opening_points", "pre_novation", "closing_points")

ScenarioArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="JSON: funding, periods, tariff, short_payments_micro.")
]


@settlement_app.callback()
def settlement_command() -> None:
    """What partners pay each other."""


@settlement_app.command("simulate")
def simulate_command(file: ScenarioArgument, as_json: JsonOption = False) -> None:
    """Settle a scenario: who owes, pays and carries what in each of its periods."""
    figures = _figures(file)
    if as_json:
        typer.echo(json.dumps(figures, indent=1, sort_keys=True, ensure_ascii=False))
    else:
        console = Console()
        for period, of_period in figures.items():
            console.print(render(period, of_period))


def render(period: str, figures: Mapping[str, Any]) -> Group:
    """One period for people: money in whole units, what a partner receives is negative."""
    saved = f"multilateral netting spares {figures['eff_mult']:.2%} of {_money(figures['gross'])}"
    return Group(
        _table(f"Period {period}", figures, _OWED, _money),
        _table("Payments", figures, _PAID, _money),
        _table("Points", figures, _POINTS, "{:,}".format),
        f"{saved}; bilateral {figures['eff_bil']:.2%}",
        f"operator {_money(figures['net_operator'])}, bank {_money(figures['bank'])}, "
        + ", ".join(f"{name} {_money(micro)}" for name, micro in figures["income"].items()),
        "",
    )


def _table(
    title: str, figures: Mapping[str, Any], keys: tuple[str, ...], shown: Callable[[int], str]
) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("partner")
    for key in keys:
        table.add_column(key.replace("_", " ").removesuffix(" ca"), justify="right", no_wrap=True)
    for name in figures[keys[0]]:
        table.add_row(Text(name), *(shown(figures[key][name]) for key in keys))
    return table


def _money(micro: int) -> str:
    return f"{decimal_of(micro):,}"


def _figures(file: Path) -> dict[str, dict[str, Any]]:
    try:
        if file.stat().st_size > _LARGEST:
            raise Unable(f"{file} is larger than a scenario can be ({_LARGEST // 2**20} MiB).")
        return simulate(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise explain(error, f"reading {file}") from None
    except UnicodeDecodeError:
        raise Unable(f"{file} is not UTF-8 text.") from None
    except Refusal as refusal:
        raise Unable(f"{refusal.code}: {refusal.message}.") from None
