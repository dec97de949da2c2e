"""Bad input over HTTP, as strangers send it: a coded answer, nothing posted, and a log that tells nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joserfc import jwt
from sqlalchemy import func, select

from gateway.http import Limits
from gateway.oauth import KeyRing, KeySealer
from gateway.settings import Settings
from ledger.tables import lines, operations
from tests.gateway.calls import Answered
from tests.gateway.coalition import PHONE, Coalition, a_burn, a_receipt, an_earn, rub
from tests.gateway.serving import Gateway, credentials, serving
from tests.gateway.test_bad_input import NONSENSE

EARN = "mutation($input: EarnInput!) { earn(input: $input) { operation { id } userErrors { code } } }"
BURN = "mutation($input: BurnInput!) { burn(input: $input) { operation { id } userErrors { code } } }"
ENROL = "mutation($input: MemberEnrolInput!) { memberEnrol(input: $input) { userErrors { code } } }"

STRANGER = "+79161234500"
LONG_NAME = "Анна🎈" * 20_000
SECRET_SKU = "medicine-nobody-should-read-of"


def refusals(coalition: Coalition) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A document, its input, and the code that it is answered with as data."""
    for changes, code, _ in NONSENSE:
        yield EARN, an_earn(coalition, **changes), code
    yield EARN, an_earn(coalition, member={"handle": coalition.handle(partner=2)}), "MEMBER_NOT_FOUND"
    yield BURN, a_burn(coalition, -5), "INVALID_INPUT"
    yield BURN, a_burn(coalition, 5, member={"card": coalition.card_number}), "STEP_UP_REQUIRED"
    enrolment = {"idempotencyKey": "long", "identifier": {"phone": STRANGER}, "name": LONG_NAME}
    yield ENROL, enrolment | {"consents": []}, "INVALID_INPUT"


def mistakes(coalition: Coalition) -> Iterator[tuple[str, dict[str, Any]]]:
    """A document and an input that the schema itself refuses."""
    for points in (1.5, "5", 2**53 + 1):
        yield BURN, a_burn(coalition, points)
    line = {"sku": SECRET_SKU, "unitPrice": rub("10.00") | {"amount": 10.00}}
    yield EARN, an_earn(coalition, receipt=a_receipt(lines=[line]))
    yield EARN, an_earn(coalition, receipt=a_receipt(occurredAt="yesterday"))
    yield EARN, an_earn(coalition, member={"phone": PHONE, "card": coalition.card_number})


async def test_bad_input_is_answered_posts_nothing_and_leaves_no_trace(
    coalition: Coalition, settings: Settings, tmp_path: Path
) -> None:
    secret = await credentials(coalition, "earn", "burn", "members:enrol")
    narrow = await credentials(coalition, "burn")
    given = an_earn(coalition, member={"phone": PHONE})

    with serving(settings, tmp_path) as gateway:
        token = gateway.token(secret)
        for document, input_, code in refusals(coalition):
            assert _refused(gateway.ask(document, {"input": input_}, token)) == [code], input_
        for document, input_ in mistakes(coalition):
            answer = gateway.ask(document, {"input": input_}, token)
            assert answer.code == "INVALID_INPUT", input_
            assert "data" not in answer.json
        for presented, status, code in [
            (None, 401, "UNAUTHENTICATED"),
            (token[:-4] + "AAAA", 401, "UNAUTHENTICATED"),
            (await _token(coalition, gateway, exp=int(time.time()) - 1), 401, "UNAUTHENTICATED"),
            (await _token(coalition, gateway, iss="https://elsewhere.example"), 401, "UNAUTHENTICATED"),
            (gateway.token(narrow), 403, "FORBIDDEN"),
        ]:
            answer = gateway.ask(EARN, {"input": given}, presented)
            assert (answer.status, answer.code) == (status, code)
        body = b'{"query": "' + b" " * Limits().body_bytes + b'"}'
        for content, status in ((body, 413), (b'{"query": 5, "phone": "' + PHONE.encode() + b'"}', 400)):
            answer = gateway.post("/graphql", content, f"Bearer {token}", "application/json")
            assert (answer.status, answer.code) == (status, "BAD_REQUEST")
        wrong = gateway.post("/oauth/token", b"grant_type=client_credentials", "Basic bm9ib2R5OnNlY3JldA==")
        assert wrong.json["error"] == "invalid_client"
        gateway.stop()
        gateway.process.wait(30)

    assert await _posted(coalition) == (0, 0)
    said = gateway.log.read_text()
    assert {_plain(json.loads(line)["event"]) for line in said.splitlines()} <= EVENTS
    private = (PHONE, STRANGER, LONG_NAME[:5], SECRET_SKU, coalition.card_number, token, secret)
    assert [each for each in private if each.lstrip("+") in said] == []


async def test_a_token_made_with_the_key_of_this_service_is_good_unless_it_is_spoiled(
    coalition: Coalition, settings: Settings, tmp_path: Path
) -> None:
    given = an_earn(coalition)

    with serving(settings, tmp_path) as gateway:
        answer = gateway.ask(EARN, {"input": given}, await _token(coalition, gateway))

    assert answer.data["earn"]["userErrors"] == []


EVENTS = {
    "Started server process [%d]",
    "Waiting for application startup.",
    "Application startup complete.",
    "Uvicorn running on socket %s (Press CTRL+C to quit)",
    "Shutting down",
    "Finished server process [%d]",
}
"""All that a gateway says of a life without faults, numbers and addresses aside."""


def _plain(event: str) -> str:
    for known in EVENTS:
        beginning, _, end = known.partition("%")
        if event == known or (end and event.startswith(beginning)):
            return known
    return event


async def _posted(coalition: Coalition) -> tuple[int, int]:
    """Operations that moved something or could have, and lines; a final refusal is kept and is neither."""
    async with coalition.services.database.writer.connect() as connection:
        accepted = select(func.count()).select_from(operations).where(operations.c.refusal == "")
        moved = select(func.count()).select_from(lines)
        return int(await connection.scalar(accepted) or 0), int(await connection.scalar(moved) or 0)


def _refused(answer: Answered) -> list[str]:
    assert answer.status == 200, answer.body
    (payload,) = answer.data.values()
    assert payload.get("operation") is None
    return [each["code"] for each in payload["userErrors"]]


async def _token(coalition: Coalition, gateway: Gateway, **claims: object) -> str:
    """A token signed by the service's own key, good but for `claims`."""
    master = coalition.services.keys
    keys = KeyRing(KeySealer([master.derive("oauth/signing-keys", master.current)]))
    async with coalition.services.database.writer.connect() as connection:
        await keys.load(connection)
    at = int(time.time())
    usual = {
        "iss": gateway.issuer,
        "aud": f"{gateway.issuer}/graphql",
        "sub": "till-1",
        "client_id": "till-1",
        "scope": "earn",
        "jti": "1",
        "iat": at - 300,
        "exp": at + 300,
        "kind": "partner",
        "partner": 1,
    }
    key = keys.signing(datetime.now(UTC))
    return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": key.kid}, usual | claims, key.pair)
