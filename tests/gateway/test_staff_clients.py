"""What clients of the operator's side do with a member who is known by phone, from token to answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from tests.gateway.coalition import PHONE, Coalition, a_key, an_earn
from tests.gateway.test_moving import a_friend

RESOLVE = """mutation($p: String!) { memberResolve(input: {member: {phone: $p}}) {
    member { handle mayBurn balance { available } } userErrors { code } } }"""
READ = """query($h: String!, $m: ID!, $at: DateTime!) {
    balanceAsOf(handle: $h, asOf: $at) { available }
    memberHistory(member: $m) { nodes { kind points } } }"""
MERGE = """mutation($i: MergeMembersInput!) {
    mergeMembers(input: $i) { merge { survivor balance { available } } userErrors { code } } }"""
FREEZE = (
    """mutation($i: FreezeInput!) { freezeMember(input: $i) { operation { kind } userErrors { code } } }"""
)


@pytest.fixture
async def http(coalition: Coalition) -> AsyncIterator[httpx.AsyncClient]:
    """The whole gateway, OAuth included."""
    transport = httpx.ASGITransport(app=create_app(coalition.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


async def a_token(coalition: Coalition, http: httpx.AsyncClient, kind: str, *scopes: str) -> str:
    """The token of a client that the operator creates by `createClient`."""
    given = {"idempotencyKey": a_key(), "kind": kind, "name": "Console", "scopes": scopes}
    made = await coalition.do(
        "createClient", "client { clientId } secret userErrors { code }", given, as_="operator"
    )
    assert made["userErrors"] == []
    asked = await http.post(
        "/oauth/token",
        auth=(made["client"]["clientId"], made["secret"]),
        data={"grant_type": "client_credentials"},
    )
    return str(asked.json()["access_token"])


async def ask(http: httpx.AsyncClient, token: str, query: str, **variables: object) -> Any:
    answer = await http.post(
        "/graphql",
        json={"query": query, "variables": variables},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


async def test_the_operator_comes_from_a_phone_to_a_balance_a_history_and_a_merge(
    coalition: Coalition, http: httpx.AsyncClient
) -> None:
    friend = await a_friend(coalition)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    scopes = ("members:resolve", "members:manage", "programme:manage")
    token = await a_token(coalition, http, "OPERATOR", *scopes)

    resolved = (await ask(http, token, RESOLVE, p=PHONE))["memberResolve"]["member"]

    assert (resolved["mayBurn"], resolved["balance"]) == (False, {"available": 100})
    handle = resolved["handle"]
    assert handle == coalition.services.handles.seal(0, coalition.member)
    read = await ask(http, token, READ, h=handle, m=handle, at=coalition.now.isoformat())
    assert read["balanceAsOf"] == {"available": 100}
    assert read["memberHistory"]["nodes"] == [{"kind": "EARN", "points": 100}]
    survivor = coalition.services.handles.seal(0, friend)
    given = {"idempotencyKey": a_key(), "merged": handle, "survivor": survivor, "reason": "two phones"}
    merged = (await ask(http, token, MERGE, i=given))["mergeMembers"]
    assert merged == {"merge": {"survivor": survivor, "balance": {"available": 100}}, "userErrors": []}
    again = (await ask(http, token, RESOLVE, p=PHONE))["memberResolve"]["member"]
    assert again["handle"] == survivor


async def test_support_resolves_a_phone_and_freezes_whom_it_finds(
    coalition: Coalition, http: httpx.AsyncClient
) -> None:
    token = await a_token(coalition, http, "SUPPORT", "members:resolve", "members:freeze")

    resolved = (await ask(http, token, RESOLVE, p=PHONE))["memberResolve"]["member"]
    given = {"idempotencyKey": a_key(), "member": {"handle": resolved["handle"]}, "reason": "a stolen phone"}
    frozen = (await ask(http, token, FREEZE, i=given))["freezeMember"]

    assert frozen == {"operation": {"kind": "FREEZE"}, "userErrors": []}
