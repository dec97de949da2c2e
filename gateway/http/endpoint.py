"""`/graphql` as an ASGI application: GraphQL over HTTP, from the request's bytes to the answer's.

Nothing stands between the server and this but a route, since a framework's request and response
objects would cost more than the whole work here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import isawaitable
from math import ceil
from typing import Any, Final

import msgspec
import strawberry
from graphql import ExecutionResult, GraphQLError

from gateway.caller import Caller, Forbidden, Unauthenticated
from ledger.kernel.refusals import Throttled

from . import faults
from .binding import bind
from .budget import Budgets, Cost, Meter
from .documents import Documents, InvalidDocument, Operation
from .graphiql import page
from .limits import Limits
from .negotiation import GRAPHQL, HTML, JSON, is_json, negotiate
from .plan import resume
from .requests import (
    BadRequest,
    GraphQLRequest,
    Message,
    Receive,
    Scope,
    Send,
    read_body,
    request_of_body,
    request_of_query,
    variables_of,
)
from .shape import spent_on

Verify = Callable[[str], Caller]
"""The caller behind an Authorization header. Raises `Unauthenticated` for a bad token."""

MakeContext = Callable[[Caller | None, Meter], object]
"""What a resolver finds as `info.context`."""


class Extensions(msgspec.Struct, frozen=True):
    """What an answer says besides data and errors."""

    cost: Cost


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an answer. `data` is left out when nothing was executed."""

    data: Any = msgspec.UNSET
    errors: list[dict[str, Any]] | None = None
    extensions: Extensions | None = None


_encoder: Final = msgspec.json.Encoder()
_ANONYMOUS: Final = "anonymous"
_TYPES: Final = {
    JSON: b"application/json; charset=utf-8",
    GRAPHQL: b"application/graphql-response+json; charset=utf-8",
    HTML: b"text/html; charset=utf-8",
}
Headers = list[tuple[bytes, bytes]]


class GraphQLEndpoint:
    """The ASGI application of one schema."""

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        verify: Verify,
        make_context: MakeContext,
        limits: Limits | None = None,
        is_development: bool = False,
    ) -> None:
        self._limits = limits or Limits()
        self._schema, inputs = bind(schema)
        self._documents = Documents(self._schema, inputs, self._limits, allow_introspection=is_development)
        self._budgets = Budgets(self._limits)
        self._reading = Budgets(
            replace(
                self._limits,
                budget=self._limits.read_characters,
                restore_per_second=self._limits.read_characters_per_second,
            )
        )
        self._verify = verify
        self._make_context = make_context
        self._is_development = is_development

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served here")
        headers = _headers_of(scope)
        media_type = negotiate(headers.get(b"accept"))
        try:
            status, body, extra = await self._answer(scope, headers, media_type, receive)
        except BadRequest as refused:
            status, body, extra = refused.status, _plain_error(refused.message), []
        except Exception as error:  # noqa: BLE001  # the outermost boundary: masked, logged, referenced
            status, body, extra = 500, _encoder.encode(Answer(errors=[faults.told_of_fault(error)])), []
        await _send(send, status, body, _TYPES[media_type or JSON], extra)

    async def _answer(
        self, scope: Scope, headers: dict[bytes, str], media_type: str | None, receive: Receive
    ) -> tuple[int, bytes, Headers]:
        method = scope["method"]
        if method == "POST":
            if not is_json(headers.get(b"content-type")):
                raise BadRequest(415, "The body has to be application/json in UTF-8.")
            if media_type is None or media_type == HTML:
                raise BadRequest(406, f"Answers are {JSON} or {GRAPHQL}.")
            length = headers.get(b"content-length")
            body = await read_body(receive, self._limits.body_bytes, length.encode() if length else None)
            request = request_of_body(body)
        elif method == "GET":
            if media_type == HTML and self._is_development:
                return 200, page(), []
            if media_type is None or media_type == HTML:
                raise BadRequest(406, f"Answers are {JSON} or {GRAPHQL}.")
            request = request_of_query(scope.get("query_string", b""))
        else:
            return 405, _plain_error("Use POST, or GET for a query."), [(b"allow", b"GET, POST")]
        return await self._run(request, headers, media_type, is_get=method == "GET")

    async def _run(
        self, request: GraphQLRequest, headers: dict[bytes, str], media_type: str, *, is_get: bool
    ) -> tuple[int, bytes, Headers]:
        """Execute a well-formed request.

        What is refused before execution has no `data`; by the specification that is a 4xx in
        `application/graphql-response+json` and, for errors of the document and its variables,
        a 200 in `application/json`.
        """
        client = _ANONYMOUS
        meter = Meter(self._budgets.of(client))
        try:
            authorization = headers.get(b"authorization")
            caller = self._verify(authorization) if authorization is not None else None
            if caller is not None:
                client = caller.client_id
                meter = Meter(self._budgets.of(client))
            assert request.query is not None
            operation = self._documents.operation(
                request.query,
                request.operation_name,
                lambda cost: self._reading.of(client).take(cost),
            )
            if is_get and operation.is_mutation:
                body = _plain_error("A mutation has to be sent by POST.")
                return 405, body, [(b"allow", b"POST")]
            _check_scopes(operation, caller)
            return 200, await self._execute(operation, request, caller, meter), []
        except InvalidDocument as invalid:
            errors = [faults.told(error, default_code=faults.INVALID_DOCUMENT) for error in invalid.errors]
        except InvalidVariables as invalid:
            errors = [faults.told(error, default_code=faults.INVALID_INPUT) for error in invalid.errors]
        except Unauthenticated as refusal:
            challenge = (b"www-authenticate", refusal.challenge.encode())
            return 401, _body(meter, errors=[faults.told_of_refusal(refusal)]), [challenge]
        except Forbidden as refusal:
            return 403, _body(meter, errors=[faults.told_of_refusal(refusal)]), []
        except Throttled as refusal:
            wait = (b"retry-after", str(ceil(refusal.seconds)).encode())
            return 429, _body(meter, errors=[faults.told_of_refusal(refusal)]), [wait]
        return 200 if media_type == JSON else 400, _body(meter, errors=errors), []

    async def _execute(
        self, operation: Operation, request: GraphQLRequest, caller: Caller | None, meter: Meter
    ) -> bytes:
        """The body of an executed operation. Raises `InvalidVariables` and `Throttled` before it runs."""
        meter.charge(operation.cost(lambda: variables_of(request)))
        context = self._make_context(caller, meter)
        resolved: dict[str, Any] = {}
        data = await _run_plan(operation, request, context, resolved)
        errors: list[dict[str, Any]] = []
        if data is None:
            if not resolved:
                # nothing has run yet: graphql-core takes seconds over variables that a plan refuses at once
                meter.charge(len(request.variables) // self._limits.variable_bytes)
            result = await self._resume(operation, request, context, resolved)
            data, errors = (
                result.data,
                [faults.told(e, default_code=faults.FAULT) for e in result.errors or ()],
            )
        if operation.is_paged:
            meter.settle(spent_on(operation.roots, data))
        return _body(meter, data=data, errors=errors)

    async def _resume(
        self, operation: Operation, request: GraphQLRequest, context: object, resolved: dict[str, Any]
    ) -> ExecutionResult:
        """What graphql-core makes of it; an error without a path is one of the variables."""
        result = resume(
            self._schema,
            operation.document,
            context=context,
            variables=variables_of(request),
            operation_name=operation.name,
            resolved=resolved,
        )
        if isawaitable(result):
            result = await result
        assert isinstance(result, ExecutionResult)
        if result.errors and result.errors[0].path is None:
            raise InvalidVariables(result.errors)
        return result


class InvalidVariables(Exception):
    """Variables that the operation does not take."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


def _check_scopes(operation: Operation, caller: Caller | None) -> None:
    """Default deny: the token has to open every field of the document."""
    if not operation.demands:
        return
    if caller is None:
        raise Unauthenticated("an access token is needed: Authorization: Bearer …", token_presented=False)
    for scopes in operation.demands:
        if caller.scopes.isdisjoint(scopes):
            raise Forbidden(" or ".join(scopes))


async def _run_plan(
    operation: Operation, request: GraphQLRequest, context: object, resolved: dict[str, Any]
) -> dict[str, Any] | None:
    """The data by the compiled way, None when there is no such way, or it gave up."""
    if operation.plan is None:
        return None
    values: object = None
    if operation.plan.variables is not None:
        try:
            values = operation.plan.variables.decode(request.variables)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None  # graphql-core reads them more kindly, or says what is wrong
    return await operation.plan.run(context, values, resolved)


def _headers_of(scope: Scope) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in scope["headers"]}


def _body(meter: Meter, *, data: Any = msgspec.UNSET, errors: list[dict[str, Any]] | None = None) -> bytes:
    return _encoder.encode(Answer(data=data, errors=errors or None, extensions=Extensions(cost=meter.cost())))


def _plain_error(message: str) -> bytes:
    return _encoder.encode(Answer(errors=[{"message": message, "extensions": {"code": "BAD_REQUEST"}}]))


async def _send(send: Send, status: int, body: bytes, content_type: bytes, extra: Headers) -> None:
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"vary", b"accept"),
            (b"x-content-type-options", b"nosniff"),
            *extra,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})
