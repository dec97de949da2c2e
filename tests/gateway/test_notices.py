"""A coalition whose members are told before points expire: set up by command, armed through the schema."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.schema.node import global_id
from gateway.services import Services, open_services
from gateway.settings import Settings
from gateway.unable import Unable
from ledger import invariants, proof
from partners import Terms, make_agreement
from tests.gateway.coalition import BY, Coalition, a_burn, a_coalition, a_key, an_earn
from tests.gateway.conftest import name_in_environment

NOTICE_DAYS = 30
DAY = timedelta(days=1)
ARMING = "arming { members points isComplete } userErrors { code field }"


@pytest.fixture
async def noticing(services: Services) -> Coalition:
    """A coalition with notices, in which the bakery's points live for ten days."""
    made = await a_coalition(services, notice_days=NOTICE_DAYS)
    terms = Terms(pending_days=0, earn_rate_ppm=100_000, lot_lifetime_days=10)
    async with services.database.writer.begin() as connection:
        await make_agreement(connection, 1, terms=terms, at=made.now, by=BY)
    await services.directories.reload()
    return made


async def available(coalition: Coalition) -> int:
    return (await coalition.services.ledger.balance(coalition.member)).available


@pytest.mark.parametrize("of_whom", ["one member", "everybody"])
async def test_what_is_armed_expires_when_the_notice_has_run_and_not_before(
    noticing: Coalition, of_whom: str
) -> None:
    await noticing.do("earn", "userErrors { code }", an_earn(noticing))
    await noticing.services.ledger.advance(noticing.now + 20 * DAY)
    untold = await available(noticing)
    given: dict[str, Any] = {"idempotencyKey": a_key(), "expiringBefore": "2026-02-01"}
    if of_whom == "one member":
        given["member"] = noticing.services.handles.seal(0, noticing.member)

    armed = await noticing.do("armExpiry", ARMING, given, as_="operator")

    again = await noticing.do("armExpiry", ARMING, given | {"idempotencyKey": a_key()}, as_="operator")
    assert untold == 100
    assert armed == {"arming": {"members": 1, "points": 100, "isComplete": True}, "userErrors": []}
    assert again["arming"]["points"] == 0
    ends_at = datetime.fromisoformat("2026-02-21T00:00:00+03:00")  # after thirty whole days in Moscow
    await noticing.services.ledger.advance(ends_at - timedelta(seconds=1))
    assert await available(noticing) == 100
    burned = await noticing.do("burn", "userErrors { code }", a_burn(noticing, 10))
    assert burned["userErrors"] == []
    await noticing.services.ledger.advance(ends_at)
    assert await available(noticing) == 0
    found = await proof.prove(noticing.services.database.writer, invariants.INVARIANTS)
    assert found.is_ok, found.findings


@pytest.mark.parametrize("what", ["lots of nobody", "too many lots"])
async def test_lots_are_named_with_their_member_and_not_too_many(noticing: Coalition, what: str) -> None:
    lot = global_id("Lot", noticing.member)
    given: dict[str, Any] = {"idempotencyKey": a_key(), "expiringBefore": "2026-02-01"}
    if what == "lots of nobody":
        given["lots"] = [lot]
    else:
        given |= {"member": noticing.services.handles.seal(0, noticing.member), "lots": [lot] * 501}

    refused = await noticing.do("armExpiry", ARMING, given, as_="operator")

    assert refused == {"arming": None, "userErrors": [{"code": "INVALID_INPUT", "field": ["lots"]}]}


async def test_points_that_nobody_was_told_of_do_not_expire(noticing: Coalition) -> None:
    await noticing.do("earn", "userErrors { code }", an_earn(noticing))

    await noticing.services.ledger.advance(noticing.now + 90 * DAY)

    assert await available(noticing) == 100


def demo(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["demo", *arguments, "--json"], catch_exceptions=False)
    return json.loads(result.stdout) if result.exit_code == 0 else result.output


async def notice_days(settings: Settings) -> int | None:
    async with open_services(settings) as services:
        return services.directories.current.programme.notice_days


async def test_the_demo_is_made_with_notices_and_keeps_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path)

    assert "Invalid value" in await asyncio.to_thread(demo, "--notice-days", "0")
    made = await asyncio.to_thread(demo, "--notice-days", "14")

    assert await notice_days(settings) == 14
    assert await asyncio.to_thread(demo) == await asyncio.to_thread(demo, "--notice-days", "14") == made
    with pytest.raises(Unable, match="tells members 14 days before that points expire, and keeps to it"):
        await asyncio.to_thread(demo, "--notice-days", "15")


async def test_a_demo_without_notices_gets_none_later(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path)
    await asyncio.to_thread(demo)

    with pytest.raises(Unable, match="never tells members that points expire"):
        await asyncio.to_thread(demo, "--notice-days", "14")

    assert await notice_days(settings) is None
