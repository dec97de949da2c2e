"""OAuth over HTTP: forms in, JSON out, nothing cached that should not be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from .addresses import INTROSPECT_PATH, JWKS_PATH, REVOKE_PATH, TOKEN_PATH
from .keys import KEY_SET_MAX_AGE
from .messages import Answer
from .server import AuthorizationServer

LONGEST_FORM_BYTES: Final = 32_768
MOST_FIELDS: Final = 20

_CACHED: Final = {"Cache-Control": f"public, max-age={int(KEY_SET_MAX_AGE.total_seconds())}"}
_NOT_CACHED: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class UnreadableForm(Exception):
    """The body is no form as OAuth has them; the message says why."""


Endpoint = Callable[[str | None, Mapping[str, str], str], Awaitable[Answer]]


def routes(server: AuthorizationServer) -> list[BaseRoute]:
    """The routes of one authorization server, at the paths that its metadata names."""
    return [
        Route(TOKEN_PATH, _form_endpoint(server.token), methods=["POST"]),
        Route(REVOKE_PATH, _form_endpoint(server.revoke), methods=["POST"]),
        Route(INTROSPECT_PATH, _form_endpoint(server.introspect), methods=["POST"]),
        Route(JWKS_PATH, _document(server.jwks)),
        Route("/.well-known/oauth-authorization-server", _document(server.metadata)),
        Route("/.well-known/openid-configuration", _document(server.openid_configuration)),
    ]


def _form_endpoint(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            form = await _form(request)
        except UnreadableForm as reason:
            body = {"error": "invalid_request", "error_description": str(reason)}
            return JSONResponse(body, status_code=400, headers=_NOT_CACHED)
        address = request.client.host if request.client else ""
        answer = await endpoint(request.headers.get("Authorization"), form, address)
        return JSONResponse(answer.body, status_code=answer.status, headers=dict(answer.headers))

    return respond


def _document(content: Callable[[], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(_request: Request) -> Response:
        return JSONResponse(content(), headers=_CACHED)

    return respond


async def _form(request: Request) -> dict[str, str]:
    """The fields of the body. OAuth lets none occur twice, and an empty one counts as absent."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != (
        "application/x-www-form-urlencoded"
    ):
        raise UnreadableForm("the body must be application/x-www-form-urlencoded")
    body = await _body(request)
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise UnreadableForm("the body is not a readable form") from None
    form = dict(fields)
    if len(form) < len(fields):
        raise UnreadableForm("a parameter occurs twice")
    return {name: value for name, value in form.items() if value}


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM_BYTES:
            raise UnreadableForm("the body is too large")
    return bytes(body)
