"""Findings, fences and seals through the published schema and the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.app import create_app
from gateway.worker import prove_state, seal
from ledger.evidence.inclusion import from_inclusion_file
from ledger.evidence.seal import NotGenuine, from_file, key_id_of, root_of
from ledger.evidence.sealing import buckets_of
from tests.gateway.coalition import Coalition, a_key, an_earn
from tests.gateway.test_finance import trade
from tests.servers import Urls

FINDINGS = "{ findings { nodes { invariant bucket row foundAt liftedAt liftedBy reason } } }"
LIFTED = "userErrors { code } replayed findings { invariant bucket liftedBy reason }"
SEAL = "query { period(ordinal: 1) { seal { root previous keyId signature blocks operations file } } }"


async def test_a_proof_fences_and_a_person_lifts(coalition: Coalition, urls: Urls) -> None:
    await trade(coalition)
    bucket = coalition.member >> 56
    await _forge(urls, coalition.member, +1)

    proof = (await coalition.ask("{ proof { isOk findings { bucket } } }", as_="operator")).data["proof"]
    listed = (await coalition.ask(FINDINGS, as_="finance")).data["findings"]["nodes"]
    earn = await coalition.do("earn", "userErrors { code retryable }", an_earn(coalition))
    given = {"idempotencyKey": a_key(), "bucket": bucket, "reason": "a page was damaged"}
    early = await coalition.do("liftFence", LIFTED, given, as_="operator")
    await _forge(urls, coalition.member, -1)
    lifted = await coalition.do("liftFence", LIFTED, given, as_="operator")
    again = await coalition.do("liftFence", LIFTED, given, as_="operator")

    assert not proof["isOk"]
    assert {each["bucket"] for each in listed} == {bucket, None}
    assert {each["liftedAt"] for each in listed} == {None}
    assert earn["userErrors"] == [{"code": "READ_ONLY", "retryable": True}]
    assert [error["code"] for error in early["userErrors"]] == ["PROOF_FAILS"]
    assert lifted["userErrors"] == []
    assert {(each["liftedBy"], each["reason"]) for each in lifted["findings"]} == {
        ("staff:operator", "a page was damaged")
    }
    assert again == {**lifted, "replayed": True}
    assert (await coalition.do("earn", "userErrors { code }", an_earn(coalition)))["userErrors"] == []
    whole = {"idempotencyKey": a_key(), "reason": "followed from it"}
    assert (await coalition.do("liftFence", LIFTED, whole, as_="operator"))["userErrors"] == []
    nothing = await coalition.do("liftFence", LIFTED, {**whole, "idempotencyKey": a_key()}, as_="operator")
    assert [error["code"] for error in nothing["userErrors"]] == ["NOT_FENCED"]


@pytest.mark.parametrize("who", ["bakery", "finance", "app"])
async def test_only_the_operator_lifts(coalition: Coalition, who: str) -> None:
    document = "mutation($i: LiftFenceInput!) { liftFence(input: $i) { userErrors { code } } }"
    given = {"idempotencyKey": a_key(), "bucket": 1, "reason": "because"}

    answer = await coalition.ask(document, {"i": given}, as_=who)

    assert answer.code == "FORBIDDEN"


@pytest.mark.parametrize("who", ["bakery", "app"])
async def test_findings_are_for_those_who_may_read_the_proof(coalition: Coalition, who: str) -> None:
    assert (await coalition.ask(FINDINGS, as_=who)).code == "FORBIDDEN"


async def test_the_worker_seals_a_period_that_every_bucket_has_left(coalition: Coalition) -> None:
    await trade(coalition)
    await seal(coalition.services)
    before = await _seal(coalition)
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))

    await seal(coalition.services)
    sealed = await _seal(coalition)
    await seal(coalition.services)

    assert before is None
    assert sealed == await _seal(coalition)
    assert sealed["operations"] == 2
    known, public = from_file(json.loads(sealed["file"]))
    assert known.root.hex() == sealed["root"]
    assert sealed["keyId"] == key_id_of(public)
    async with coalition.services.database.writer.connect() as connection:
        assert root_of(await buckets_of(connection, 1)) == known.root
    keys = await _published(coalition)
    assert [key["kid"] for key in keys] == [sealed["keyId"]]
    assert keys[0]["x"] == json.loads(sealed["file"])["key"]["x"]


async def test_seals_are_linked_and_a_changed_one_is_refused(coalition: Coalition) -> None:
    await trade(coalition)
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-03-01T12:00:00+03:00"))
    await seal(coalition.services)

    first, second = await _seal(coalition), await _seal(coalition, 2)

    assert first["previous"] == "00" * 32
    assert second["previous"] == from_file(json.loads(first["file"]))[0].hash().hex()
    for field, value in {
        "root": "00" * 32,
        "previous": "11" * 32,
        "blocks": 7,
        "period": 2,
        "sealed_at": "2026-01-01T00:00:00+00:00",
        "ends_at": "never",
        "signature": "AA",
        "key": json.loads(second["file"])["key"] | {"x": "AAAA"},
    }.items():
        with pytest.raises(NotGenuine):
            from_file(json.loads(first["file"]) | {field: value})


async def test_the_alarm_is_a_metric(coalition: Coalition, urls: Urls) -> None:
    await trade(coalition)
    await _forge(urls, coalition.member, +1)
    await prove_state(coalition.services)

    raised = await _get(coalition, "/metrics")

    await _forge(urls, coalition.member, -1)
    assert "kopilka_buckets_fenced 1.0" in raised
    assert "kopilka_findings_open 1.0" in raised


async def _seal(coalition: Coalition, period: int = 1) -> Any:
    document = SEAL.replace("ordinal: 1", f"ordinal: {period}")
    return (await coalition.ask(document, as_="finance")).data["period"]["seal"]


async def _published(coalition: Coalition) -> Any:
    return json.loads(await _get(coalition, "/seals/keys"))["keys"]


async def _get(coalition: Coalition, path: str) -> str:
    transport = httpx.ASGITransport(create_app(coalition.services))
    async with httpx.AsyncClient(transport=transport, base_url="http://kopilka") as client:
        return (await client.get(path)).text


async def _forge(urls: Urls, member: int, points: int) -> None:
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("UPDATE wallets SET available = available + $1 WHERE member = $2", points, member)
    await owner.close()


PROOF = "query($id: ID!) { operation(id: $id) { inclusionProof } }"


async def test_a_partner_proves_an_operation_of_its_own(coalition: Coalition) -> None:
    earned = await coalition.do("earn", "operation { id }", an_earn(coalition))
    given = {"id": earned["operation"]["id"]}
    early = await coalition.ask(PROOF, given)
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))
    await seal(coalition.services)

    own = await coalition.ask(PROOF, given)
    others = await coalition.ask(PROOF, given, as_="cinema")

    assert early.data["operation"]["inclusionProof"] is None
    proved = from_inclusion_file(json.loads(own.data["operation"]["inclusionProof"]))
    assert proved.operation()["member"] == coalition.member
    assert proved.operation()["points"] == 100
    assert others.data["operation"] is None


async def test_a_proof_shows_the_members_number_so_it_needs_a_scope_of_its_own(coalition: Coalition) -> None:
    earned = await coalition.do("earn", "operation { id }", an_earn(coalition))
    till = coalition.callers["bakery"]
    coalition.callers["till"] = replace(till, scopes=till.scopes - {"proof:export"})

    answer = await coalition.ask(PROOF, {"id": earned["operation"]["id"]}, as_="till")
    twice = PROOF.replace("operation(", "a: operation(").replace(
        "} }", "} b: operation(id: $id) { inclusionProof } }"
    )

    assert answer.code == "FORBIDDEN"
    assert (await coalition.ask(twice, {"id": earned["operation"]["id"]})).code == "THROTTLED"
