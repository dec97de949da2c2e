"""SIGTERM with a request under way: it is answered and posted, nobody new is let in, the exit is clean."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.embedded.folder import free_port
from gateway.settings import Settings
from ledger.tables import operations
from partners.clients import create_client
from tests.gateway.coalition import Coalition, an_earn

ITEMS = 500
POST_BATCH = """mutation($input: PostBatchInput!) { postBatch(input: $input) {
  outcomes { operation { id } userErrors { code } } userErrors { code } } }"""


@dataclass(frozen=True, slots=True)
class Gateway:
    process: subprocess.Popen[bytes]
    port: int

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def lets_in(self) -> bool:
        try:
            self.connect().close()
        except ConnectionError:
            return False
        return True


@pytest.mark.parametrize("is_sent_whole", [True, False], ids=["sent whole", "a byte to go"])
async def test_what_was_accepted_is_answered_and_posted_once(
    coalition: Coalition, settings: Settings, tmp_path: Path, is_sent_whole: bool
) -> None:
    credentials = await _credentials(coalition)
    items = [{"earn": an_earn(coalition)} for _ in range(ITEMS)]
    body = json.dumps({"query": POST_BATCH, "variables": {"input": {"items": items}}}).encode()

    with _serving(settings, tmp_path) as gateway, gateway.connect() as client:
        _begin(client, _request(gateway, _token(gateway, credentials), body)[:-1])
        if is_sent_whole:
            client.sendall(body[-1:])
            gateway.stop()
        else:
            gateway.stop()
            _wait(lambda: not gateway.lets_in())
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


async def _credentials(coalition: Coalition) -> str:
    async with coalition.services.database.writer.begin() as connection:
        made = await create_client(
            connection,
            kind="partner",
            partner=1,
            name="Till",
            scopes=["earn"],
            outlets=None,
            jwks=None,
            wall_time=coalition.now,
        )
    return base64.b64encode(f"{made.client.client_id}:{made.secret}".encode()).decode()


@contextmanager
def _serving(settings: Settings, folder: Path) -> Iterator[Gateway]:
    """`kopilka serve` as a child, ready."""
    port = free_port()
    names = ("database_url", "owner_url", "reader_url", "redis_url", "master_key")
    told = {f"KOPILKA_{name.upper()}": settings.require(name) for name in names}
    environment = {**os.environ, **told, "KOPILKA_PORT": str(port), "KOPILKA_DATA_DIR": str(folder)}
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "gateway.cli", "serve"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    gateway = Gateway(process, port)
    try:
        _wait(lambda: gateway.lets_in() or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()
        yield gateway
    finally:
        process.kill()
        process.wait()


def _begin(client: socket.socket, most: bytes) -> None:
    """Send so much of a request that the gateway has it under way."""
    client.sendall(most)
    time.sleep(0.5)


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def _token(gateway: Gateway, credentials: str) -> str:
    request = urllib.request.Request(
        f"http://127.0.0.1:{gateway.port}/oauth/token",
        data=b"grant_type=client_credentials",
        headers={"Authorization": f"Basic {credentials}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["access_token"])


def _request(gateway: Gateway, token: str, body: bytes) -> bytes:
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
