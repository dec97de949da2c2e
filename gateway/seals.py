"""The keys that seals are signed with, for everybody who checks one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ledger.evidence.seal import jwk_of
from ledger.evidence.seal_keys import public_keys
from ledger.kernel.database import Database

KEYS_PATH: Final = "/seals/keys"

_CACHED: Final = {"Cache-Control": "public, max-age=300"}


def routes(database: Database) -> list[Route]:
    """The published key set (RFC 7517): every key that ever signed a seal."""
    return [Route(KEYS_PATH, _keys_of(database))]


def _keys_of(database: Database) -> Callable[[Request], Awaitable[Response]]:
    async def keys(_request: Request) -> Response:
        async with database.writer.connect() as connection:
            known = await public_keys(connection)
        return JSONResponse({"keys": [jwk_of(public) for public in known.values()]}, headers=_CACHED)

    return keys
