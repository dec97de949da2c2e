"""Reads a GraphQL request out of an HTTP request, by POST or GET."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class GraphQLRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The parameters of a request; `variables` is still JSON, read when its types are known."""

    query: str | None = None
    operation_name: str | None = None
    variables: msgspec.Raw = msgspec.Raw(b"{}")
    extensions: dict[str, Any] | None = None


class BadRequest(Exception):
    """The HTTP request holds no GraphQL request; `status` and the message say why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class BodyTooLarge(BadRequest):
    """The body is over the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"The body is over the limit of {limit} bytes.")


_decoder: Final = msgspec.json.Decoder(GraphQLRequest)


_DROPPED: Final = 4
"""A body of so many times the limit is still taken before it is refused; a larger one is cut off."""


async def read_body(receive: Receive, limit: int, announced: bytes | None) -> bytes:
    """The whole body. Raises `BodyTooLarge`, before keeping any of it if its length was announced."""
    if announced is not None and (not announced.isdigit() or int(announced) > limit):
        if announced.isdigit() and int(announced) <= _DROPPED * limit:
            await _drop(receive)
        raise BodyTooLarge(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise BodyTooLarge(limit)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(400, "The client went away.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def _drop(receive: Receive) -> None:
    """Take a body and keep nothing: many a client listens only when all of it is sent."""
    while (await receive()).get("more_body"):
        pass


def request_of_body(body: bytes) -> GraphQLRequest:
    """The request in a JSON body. Raises `BadRequest`; an array of requests is one."""
    try:
        request = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(400, f"The body is not a GraphQL request: {error}.") from None
    return _checked(request)


def request_of_query(query_string: bytes) -> GraphQLRequest:
    """The request in the query of a GET. Raises `BadRequest`."""
    try:
        given = parse_qs(
            query_string.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict"
        )
    except ValueError:
        raise BadRequest(400, "The query of the address cannot be read.") from None
    single = {name: values[-1] for name, values in given.items()}
    variables = single.get("variables")
    return _checked(
        GraphQLRequest(
            query=single.get("query"),
            operation_name=single.get("operationName"),
            variables=msgspec.Raw(variables.strip().encode() if variables else b"{}"),
        )
    )


def variables_of(request: GraphQLRequest) -> dict[str, Any]:
    """The variables as plain JSON values."""
    try:
        return msgspec.json.decode(request.variables, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(400, "The variables are not a JSON object.") from None


def _checked(request: GraphQLRequest) -> GraphQLRequest:
    if not request.query:
        raise BadRequest(400, "The request has no query.")
    first = bytes(memoryview(request.variables)[:1])
    if first == b"{":
        return request
    if first == b"n":
        return msgspec.structs.replace(request, variables=msgspec.Raw(b"{}"))
    raise BadRequest(400, "The variables are not a JSON object.")
