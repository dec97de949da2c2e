"""`kopilka serve` as a child of a test, and a client that speaks to it over a socket."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.folder import free_port
from gateway.settings import Settings
from partners.clients import create_client
from tests.gateway.calls import Answered
from tests.gateway.coalition import Coalition

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that serves, and the file that its log goes to."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def issuer(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Ask it to end, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def connect(self) -> socket.socket:
        """A connection of one's own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    def lets_in(self) -> bool:
        """Whether a new connection is taken."""
        try:
            self.connect().close()
        except ConnectionError:
            return False
        return True

    def token(self, credentials: str) -> str:
        """A new access token."""
        answer = self.post("/oauth/token", b"grant_type=client_credentials", f"Basic {credentials}")
        return str(answer.json["access_token"])

    def ask(self, query: str, variables: object, token: str | None) -> Answered:
        """A GraphQL request by POST."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        return self.post("/graphql", body, token and f"Bearer {token}", "application/json")

    def post(
        self,
        path: str,
        body: bytes,
        authorization: str | None,
        content_type: str = "application/x-www-form-urlencoded",
    ) -> Answered:
        """Any POST, whatever its status."""
        headers = {"Content-Type": content_type}
        if authorization is not None:
            headers["Authorization"] = authorization
        request = urllib.request.Request(self.issuer + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
                return Answered(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as refused:
            return Answered(refused.code, dict(refused.headers), refused.read())


@contextmanager
def serving(settings: Settings, folder: Path) -> Iterator[Gateway]:
    """A gateway on the installation of `settings`, killed when the block ends if it still runs."""
    port = free_port()
    names = ("database_url", "owner_url", "reader_url", "redis_url", "master_key")
    told = {f"KOPILKA_{name.upper()}": settings.require(name) for name in names}
    environment = {**os.environ, **told, "KOPILKA_PORT": str(port), "KOPILKA_DATA_DIR": str(folder)}
    log = folder / "gateway.log"
    with log.open("wb") as written:
        command = [sys.executable, "-m", "gateway.cli", "serve"]
        process = subprocess.Popen(command, env=environment, stdout=written, stderr=written)
    gateway = Gateway(process, port, log)
    try:
        wait_until(lambda: gateway.lets_in() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield gateway
    finally:
        process.kill()
        process.wait()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look until it is so, and fail after a while."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


async def credentials(coalition: Coalition, *scopes: str, partner: int = 1) -> str:
    """What a new client of a partner authenticates with at the token endpoint."""
    async with coalition.services.database.writer.begin() as connection:
        made = await create_client(
            connection,
            kind="partner",
            partner=partner,
            name="Till",
            scopes=scopes,
            outlets=None,
            jwks=None,
            wall_time=coalition.now,
            at=coalition.now,
        )
    return base64.b64encode(f"{made.client.client_id}:{made.secret}".encode()).decode()
