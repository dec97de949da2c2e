"""Calls an ASGI endpoint without a server, for tests of what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.http import GraphQLEndpoint


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return msgspec.json.decode(self.body)

    @property
    def data(self) -> Any:
        """What was asked for."""
        return self.json["data"]

    @property
    def code(self) -> str:
        """The code of the first error."""
        return str(self.json["errors"][0]["extensions"]["code"])


async def send(
    endpoint: GraphQLEndpoint,
    body: bytes,
    *,
    method: str = "POST",
    query_string: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Answered:
    """Send raw bytes."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def collect(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "query_string": query_string,
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    await endpoint(scope, receive, collect)
    start, content = sent
    return Answered(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        content["body"],
    )


async def ask(
    endpoint: GraphQLEndpoint,
    query: str,
    variables: object = None,
    *,
    token: str | None = "good",
    accept: str | None = None,
    operation: str | None = None,
) -> Answered:
    """Send a GraphQL request by POST."""
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if accept is not None:
        headers["accept"] = accept
    request = {"query": query, "variables": variables, "operationName": operation}
    return await send(endpoint, msgspec.json.encode(request), headers=headers)
