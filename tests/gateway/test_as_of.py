"""Balances as of an instant, through the schema and at the command line."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.settings import Settings
from gateway.unable import Unable
from gateway.worker import fold_tallies
from tests.gateway.coalition import PHONE, Coalition, a_burn, a_receipt, an_earn, partner_id
from tests.gateway.conftest import name_in_environment

MEMBER = """query ($h: String!, $at: DateTime!, $c: BalanceClock!) {
    balanceAsOf(handle: $h, asOf: $at, clock: $c) { available shown } }"""
PARTNER = """query ($id: ID, $at: DateTime!, $c: BalanceClock!) {
    partner(id: $id) { standing(asOf: $at, clock: $c) {
    asIssuer { issued available outstanding redeemed } asObligor { outstanding } redeemedHere } } }"""
PROGRAMME = "query ($at: DateTime!) { programmeStanding(asOf: $at) { issued redeemed outstanding } }"
CLOCKS = ("EFFECTIVE", "RECORDED")


@pytest.fixture
async def began(coalition: Coalition) -> datetime:
    """100 points, a day later 60 of them burned at the cinema, and 30 more by a receipt of the first day."""
    began = coalition.now
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    await coalition.services.ledger.advance(began + timedelta(days=1))
    await coalition.do("burn", "userErrors { code }", a_burn(coalition, 60), as_="cinema")
    late = a_receipt("300.00", occurredAt=(began + timedelta(hours=1)).isoformat())
    await coalition.do("earn", "userErrors { code }", an_earn(coalition, receipt=late))
    return began


async def test_the_app_asks_for_a_member(coalition: Coalition, began: datetime) -> None:
    handle = coalition.services.handles.seal(0, coalition.member)

    async def told(hours: int, clock: str) -> int:
        given = {"h": handle, "at": (began + timedelta(hours=hours)).isoformat(), "c": clock}
        found = (await coalition.ask(MEMBER, given, as_="app")).data["balanceAsOf"]
        assert found["available"] == found["shown"]
        available: int = found["available"]
        return available

    assert [await told(2, clock) for clock in CLOCKS] == [130, 100]
    assert [await told(24, clock) for clock in CLOCKS] == [70, 70]
    assert [await told(-1, clock) for clock in CLOCKS] == [0, 0]
    stranger = {"h": "nobody", "at": began.isoformat(), "c": "RECORDED"}
    assert (await coalition.ask(MEMBER, stranger, as_="app")).data["balanceAsOf"] is None


async def test_a_partner_sees_its_own_standing_and_the_operator_any(
    coalition: Coalition, began: datetime
) -> None:
    for _ in range(2):  # from lines, and then from tallies
        for caller, shown in (("bakery", None), ("operator", partner_id(1))):
            given = {"id": shown, "at": (began + timedelta(hours=2)).isoformat(), "c": "EFFECTIVE"}
            standing = (await coalition.ask(PARTNER, given, as_=caller)).data["partner"]["standing"]
            assert standing == {
                "asIssuer": {"issued": 130, "available": 130, "outstanding": 130, "redeemed": 0},
                "asObligor": {"outstanding": 130},
                "redeemedHere": 0,
            }
        given = {"id": None, "at": coalition.now.isoformat(), "c": "RECORDED"}
        of_cinema = (await coalition.ask(PARTNER, given, as_="cinema")).data["partner"]["standing"]
        assert (of_cinema["redeemedHere"], of_cinema["asIssuer"]["issued"]) == (60, 0)
        await fold_tallies(coalition.services)

    other = {"id": partner_id(1), "at": began.isoformat(), "c": "RECORDED"}
    assert (await coalition.ask(PARTNER, other, as_="cinema")).data["partner"] is None


async def test_finance_asks_for_the_programme_and_partners_may_not(
    coalition: Coalition, began: datetime
) -> None:
    given = {"at": coalition.now.isoformat()}

    found = (await coalition.ask(PROGRAMME, given, as_="finance")).data["programmeStanding"]

    assert found == {"issued": 130, "redeemed": 60, "outstanding": 70}
    refused = await coalition.ask(PROGRAMME, given, as_="bakery")
    assert refused.json["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    ahead = {"at": (coalition.now + timedelta(seconds=1)).isoformat()}
    too_early = await coalition.ask(PROGRAMME, ahead, as_="finance")
    assert too_early.json["errors"][0]["extensions"]["code"] == "INVALID_INPUT"


def run(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["balance", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    told: dict[str, Any] = json.loads(result.stdout)
    return told


async def test_the_command_line_tells_the_same(
    coalition: Coalition,
    began: datetime,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path)
    early = ("--as-of", (began + timedelta(hours=2)).isoformat())

    by_phone = await asyncio.to_thread(run, "--phone", PHONE, *early)
    by_number = await asyncio.to_thread(run, "--member", str(coalition.member), *early, "--clock", "recorded")
    of_bakery = await asyncio.to_thread(run, "--partner", "Bakery")
    of_all = await asyncio.to_thread(run, "--programme", *early, "--clock", "recorded")

    assert (by_phone["clock"], by_phone["balance"]["available"]) == ("effective", 130)
    assert by_number["balance"]["available"] == 100
    assert of_bakery["standing"]["as_issuer"]["redeemed"] == 60
    assert of_all["standing"]["issued"] == 100
    told = await asyncio.to_thread(
        CliRunner().invoke, app, ["balance", "--partner", "Bakery"], catch_exceptions=False
    )
    assert [line for line in told.stdout.splitlines()[1:] if not line.startswith(" ")] == [
        "as issuer",
        "as obligor",
        "as redeemer",
    ]
    for wrong, reason in (
        ((), "Name one of"),
        (("--programme", "--partner", "1"), "Name one of"),
        (("--partner", "Nobody"), "No partner is called 'Nobody'"),
        (("--phone", "+79990000000"), "no member with this phone"),
        (("--programme", "--as-of", "2026-01-01"), "with its offset"),
        (("--programme", "--as-of", "2099-01-01T00:00:00Z"), "lies ahead"),
    ):
        with pytest.raises(Unable, match=reason):
            await asyncio.to_thread(run, *wrong)
