"""Finance at the command line: the periods, what one came to, and its close."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.commands.period import period_app
from gateway.services import open_services
from gateway.settings import Settings
from gateway.unable import Unable
from tests import servers
from tests.conftest import START
from tests.gateway.coalition import a_coalition
from tests.gateway.conftest import name_in_environment, settings_of
from tests.gateway.test_finance import trade
from tests.servers import Running


@pytest.fixture
def environment(run: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A coalition that traded in January and stands in February, as `KOPILKA_…` variables name it."""
    urls = asyncio.run(servers.fresh_database(START))
    settings = settings_of(urls)
    asyncio.run(_january(settings))
    name_in_environment(monkeypatch, settings, tmp_path / "none")
    yield
    asyncio.run(servers.drop_database(urls))


async def _january(settings: Settings) -> None:
    async with open_services(settings) as services:
        await trade(await a_coalition(services))
        await services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(period_app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def figures(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_finance_closes_a_period_from_the_command_line(environment: None) -> None:
    before = figures("list")["periods"]

    closed = figures("close", "1")

    assert [(each["period"], each["stage"]) for each in before] == [(1, "OPEN"), (2, "OPEN")]
    assert (closed["stage"], closed["sheet_sum_micro"]) == ("PROPOSED", 0)
    charged = {line["name"]: line["charge_micro"] for line in closed["lines"]}
    assert charged == {"Kopilka": 0, "Bakery": 60_000_000, "Cinema": -60_000_000}
    assert all(each["by"].startswith("account:") for each in closed["history"])
    assert figures("close", "1") == figures("show", "1") == closed


def test_people_get_tables(environment: None) -> None:
    run("close", "1")

    listed, shown = run("list"), run("show", "1")

    assert "2026-01-01" in listed
    assert "PROPOSED" in listed
    assert "from 2026-01-01 up to 2026-02-01" in shown
    assert "Cinema" in shown
    assert "-60.00" in shown


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("close", "2"), r"^PERIOD_NOT_ENDED: period 2 ends at .*\.$"),
        (("close", "99"), r"^PERIOD_UNKNOWN: there is no period 99\.$"),
        (("show", "99"), r"^PERIOD_UNKNOWN: there is no period 99\.$"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    environment: None, arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(Unable, match=reason):
        run(*arguments)
