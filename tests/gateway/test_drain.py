"""SIGTERM with a request under way: it is answered and posted, nobody new is let in, the exit is clean."""

from __future__ import annotations

import json
import socket
import time
from http.client import HTTPResponse
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.settings import Settings
from ledger.tables import operations
from tests.gateway.coalition import Coalition, an_earn
from tests.gateway.serving import Gateway, credentials, serving, wait_until

ITEMS = 500
POST_BATCH = """mutation($input: PostBatchInput!) { postBatch(input: $input) {
  outcomes { operation { id } userErrors { code } } userErrors { code } } }"""


@pytest.mark.parametrize("is_sent_whole", [True, False], ids=["sent whole", "a byte to go"])
async def test_what_was_accepted_is_answered_and_posted_once(
    coalition: Coalition, settings: Settings, tmp_path: Path, is_sent_whole: bool
) -> None:
    secret = await credentials(coalition, "earn")
    items = [{"earn": an_earn(coalition)} for _ in range(ITEMS)]
    body = json.dumps({"query": POST_BATCH, "variables": {"input": {"items": items}}}).encode()

    with serving(settings, tmp_path) as gateway, gateway.connect() as client:
        _begin(client, _request(gateway, gateway.token(secret), body)[:-1])
        if is_sent_whole:
            client.sendall(body[-1:])
            gateway.stop()
        else:
            gateway.stop()
            wait_until(lambda: not gateway.lets_in())
            assert gateway.process.poll() is None
            client.sendall(body[-1:])
        answer = HTTPResponse(client)
        answer.begin()
        outcomes = json.loads(answer.read())["data"]["postBatch"]["outcomes"]
        exit_code = gateway.process.wait(30)
        let_in = gateway.lets_in()

    assert (answer.status, exit_code, let_in) == (200, 0, False)
    assert all(outcome["userErrors"] == [] for outcome in outcomes)
    assert len({outcome["operation"]["id"] for outcome in outcomes}) == ITEMS
    async with coalition.services.database.writer.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(operations)) == ITEMS


def _begin(client: socket.socket, most: bytes) -> None:
    """Send so much of a request that the gateway has it under way."""
    client.sendall(most)
    time.sleep(0.5)


def _request(gateway: Gateway, token: str, body: bytes) -> bytes:
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
