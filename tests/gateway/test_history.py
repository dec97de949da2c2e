"""A member's history, page by page, through the schema and at the command line."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.schema.node import global_id
from gateway.settings import Settings
from gateway.unable import Unable
from gateway.worker import fold_tallies
from ledger.kernel.ids import compose
from tests.gateway.coalition import PHONE, Coalition, a_burn, a_caller, a_key, a_receipt, an_earn
from tests.gateway.conftest import name_in_environment, run_command
from tests.gateway.test_moving import a_friend

PAGE = """query ($member: ID!, $first: Int, $after: ID) {
    memberHistory(member: $member, first: $first, after: $after) {
    nodes { id kind points recordedAt balance { shown } } pageInfo { hasNextPage endCursor } } }"""
DAY = timedelta(days=1)


async def page(coalition: Coalition, member: int, **given: object) -> Any:
    given["member"] = coalition.services.handles.seal(0, member)
    answer = await coalition.ask(PAGE, given, as_="operator")
    return answer.data["memberHistory"]


async def pages(coalition: Coalition, member: int, first: int) -> list[Any]:
    """All of it, `first` at a time, as somebody asks who follows the cursors."""
    after, found = None, list[Any]()
    while True:
        got = await page(coalition, member, first=first, after=after)
        found += got["nodes"]
        if not got["pageInfo"]["hasNextPage"]:
            return found
        assert len(got["nodes"]) == first
        after = got["pageInfo"]["endCursor"]


async def merge(coalition: Coalition, merged: int, survivor: int) -> None:
    seal = coalition.services.handles.seal
    given = {"idempotencyKey": a_key(), "merged": seal(0, merged), "survivor": seal(0, survivor)}
    made = await coalition.do(
        "mergeMembers", "userErrors { code }", given | {"reason": "two cards"}, as_="operator"
    )
    assert made["userErrors"] == []


@pytest.fixture
async def friend(coalition: Coalition) -> int:
    """Two members who earned by turns in January, and in February became one."""
    friend = await a_friend(coalition)
    for _ in range(3):
        for member in (coalition.member, friend):
            by_handle = {"handle": coalition.services.handles.seal(1, member)}
            await coalition.do("earn", "userErrors { code }", an_earn(coalition, member=by_handle))
        await coalition.services.ledger.advance(coalition.now + DAY)
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-02-10T12:00:00+03:00"))
    await merge(coalition, coalition.member, friend)
    await coalition.do("burn", "userErrors { code }", a_burn(coalition, 250), as_="cinema")
    return friend


async def test_pages_hold_every_operation_once_whoever_the_member_was(
    coalition: Coalition, friend: int
) -> None:
    whole = (await page(coalition, friend, first=100))["nodes"]

    kinds = [each["kind"] for each in whole]
    assert kinds.count("EARN") == 6
    assert kinds[0] == "BURN"
    assert "MERGE" in kinds
    assert whole[0]["balance"] == {"shown": 350}
    at = [datetime.fromisoformat(each["recordedAt"]) for each in whole]
    assert at == sorted(at, reverse=True)
    assert len({each["id"] for each in whole}) == len(whole)
    for first in (1, 2, 3, len(whole)):
        for member in (friend, coalition.member):
            assert await pages(coalition, member, first) == whole


async def test_what_a_page_shows_is_what_an_operation_shows(coalition: Coalition, friend: int) -> None:
    fields = "id kind state points recordedAt reason lines { pointsEarned } explanation { text }"
    document = f"query($m: ID!) {{ memberHistory(member: $m) {{ nodes {{ {fields} }} }} }}"
    handle = coalition.services.handles.seal(0, friend)
    answer = await coalition.ask(document, {"m": handle}, as_="operator")
    shown = answer.data["memberHistory"]["nodes"]

    one = f"query($id: ID!) {{ operation(id: $id) {{ {fields} }} }}"
    for each in shown:
        alone = await coalition.ask(one, {"id": each["id"]}, as_="operator")
        assert alone.data["operation"] == each


async def test_a_month_that_was_laid_away_is_still_in_the_pages(
    coalition: Coalition,
    friend: int,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path / "data")
    whole = (await page(coalition, friend, first=100))["nodes"]
    told = json.loads(await asyncio.to_thread(run_command, "history", "--phone", PHONE, "--json"))
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-03-15T12:00:00+03:00"))
    for command in (("period", "close", "1"), ("period", "close", "2"), ("seal", "make")):
        await asyncio.to_thread(run_command, *command)
    await fold_tallies(coalition.services)

    laid = await asyncio.to_thread(run_command, "archive", "2026-01", "--to", str(tmp_path / "january"))

    assert "6 operations" in laid
    for first in (1, 4, 100):
        assert await pages(coalition, friend, first) == whole
    assert json.loads(await asyncio.to_thread(run_command, "history", "--phone", PHONE, "--json")) == told


async def test_a_cursor_is_an_operation_and_a_member_a_handle(coalition: Coalition) -> None:
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))

    async def told(**given: object) -> Any:
        known = {"member": coalition.services.handles.seal(0, coalition.member)}
        answer = await coalition.ask(PAGE, known | given, as_="operator")
        return answer.code if "errors" in answer.json else answer.data["memberHistory"]

    nothing = {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    for unknown in (compose(9, 9), 0, compose(63, 2**56 - 1)):
        assert await told(after=global_id("Operation", unknown)) == nothing, unknown
    for cursor in ("x", global_id("Cursor", 1), global_id("Operation", 2**63 - 1), ""):
        assert await told(after=cursor) == "INVALID_INPUT", cursor
    for first in (0, 101):
        assert await told(first=first) == "INVALID_INPUT", first
    assert await told(member="nobody") is None
    assert await told(member=coalition.handle(1)) is None  # as a partner was given it


async def test_a_page_is_priced_by_its_length(coalition: Coalition) -> None:
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    handle = coalition.services.handles.seal(0, coalition.member)
    document = "query($m: ID!, $n: Int!) { memberHistory(member: $m, first: $n) { nodes { id } } }"

    async def cost(first: int) -> tuple[int, int]:
        answer = await coalition.ask(document, {"m": handle, "n": first}, as_="operator")
        told = answer.json["extensions"]["cost"]
        return told["requested"], told["actual"]

    (short, paid), (long, paid_too) = await cost(1), await cost(100)

    assert long - short == 99
    assert paid == paid_too <= short


async def test_only_the_operator_reads_what_happened_to_a_member(coalition: Coalition) -> None:
    coalition.callers["support"] = a_caller("support")
    given = {"member": coalition.services.handles.seal(0, coalition.member)}

    for who in ("bakery", "finance", "app", "support"):
        assert (await coalition.ask(PAGE, given, as_=who)).code == "FORBIDDEN", who


async def test_the_command_line_tells_the_same(
    coalition: Coalition,
    friend: int,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path)
    whole = (await page(coalition, friend, first=100))["nodes"]

    async def told(*arguments: str) -> Any:
        return json.loads(await asyncio.to_thread(run_command, "history", *arguments, "--json"))

    everything = await told("--member", str(friend))
    newest = await told("--phone", PHONE, "--first", "2")
    rest = await told("--member", str(friend), "--before", str(newest["before"]))

    assert [global_id("Operation", each["id"]) for each in everything["operations"]] == [
        each["id"] for each in whole
    ]
    assert newest["operations"] + rest["operations"] == everything["operations"]
    assert (everything["before"], rest["before"]) == (None, None)
    burned = everything["operations"][0]
    assert (burned["kind"], burned["points"], burned["balance"]) == ("burn", 250, 350)
    assert (burned["partner_name"], burned["member"]) == ("Cinema", friend)
    shown = await asyncio.to_thread(run_command, "history", "--card", coalition.card_number, "--first", "1")
    assert str(burned["id"]) in shown
    assert "2026-02-10 09:00" in shown
    assert f"More with --before {burned['id']}." in shown
    for wrong, reason in (
        ((), "Name one of"),
        (("--member", "1", "--phone", PHONE), "Name one of"),
        (("--phone", "+79990000000"), "no member with this phone"),
        (("--phone", "nonsense"), "INVALID_INPUT"),
    ):
        with pytest.raises(Unable, match=reason):
            await asyncio.to_thread(run_command, "history", *wrong)


async def test_a_refused_operation_is_told_with_its_reason(
    coalition: Coalition, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    await coalition.do("burn", "userErrors { code }", a_burn(coalition, 5, receipt=a_receipt()))

    shown = await asyncio.to_thread(run_command, "history", "--phone", PHONE)

    assert "INSUFFICIENT_POINTS" in shown
    assert "Bakery" in shown


async def test_a_member_of_whom_nothing_is_recorded_gets_a_sentence(
    coalition: Coalition, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_in_environment(monkeypatch, settings, tmp_path)

    shown = await asyncio.to_thread(run_command, "history", "--member", "5")

    assert shown == "Nothing is recorded of member 5.\n"
