"""What is counted for Prometheus, and the ASGI layer that counts it and names each request."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ledger.findings import alarms
from ledger.kernel.database import Database

from .logging import request_id

requests: Final = Counter("kopilka_http_requests", "Requests answered.", ["path", "status"])
seconds: Final = Histogram(
    "kopilka_http_request_seconds",
    "Time to answer a request.",
    ["path"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

findings: Final = Gauge("kopilka_findings_open", "Findings of proofs that nobody has lifted yet.")
buckets_fenced: Final = Gauge("kopilka_buckets_fenced", "Buckets that are read-only.")

_HEADER: Final = b"x-request-id"
_ACCEPTABLE: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_OTHER: Final = "other"


class Observed:
    """Counts what `app` answers, by the `paths` that exist; gives each request an id and says it."""

    def __init__(self, app: ASGIApp, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id_ = _id_of(scope)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (_HEADER, id_)]
            await send(message)

        token = request_id.set(id_.decode())
        started = time.perf_counter()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)
            path = scope["path"] if scope["path"] in self._paths else _OTHER
            requests.labels(path, str(status)).inc()
            seconds.labels(path).observe(time.perf_counter() - started)


def metrics_of(database: Database) -> Callable[[Request], Awaitable[Response]]:
    """`/metrics` in Prometheus' text format; what the database raises alarm about is asked each time."""

    async def metrics(_request: Request) -> Response:
        # Without PostgreSQL the last figures stand: that it is away is seen elsewhere.
        with suppress(SQLAlchemyError, OSError):
            async with database.writer.connect() as connection:
                opened, fenced = await alarms(connection)
            findings.set(opened)
            buckets_fenced.set(fenced)
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    return metrics


def _id_of(scope: Scope) -> bytes:
    """The id a proxy gave, if it looks like one, else a new one."""
    for name, value in scope["headers"]:
        if name == _HEADER and _ACCEPTABLE.fullmatch(value):
            return bytes(value)
    return secrets.token_hex(8).encode()
