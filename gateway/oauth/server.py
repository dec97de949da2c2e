"""The authorization server as the rest of the gateway sees it: requests in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from ledger.kernel.database import Database

from . import metadata
from .addresses import Addresses
from .attempts import Attempts
from .core import Core
from .keys import KeyRing
from .messages import Answer, FormRequest


def wall_time() -> datetime:
    """The machine's time: tokens expire by it, whatever the programme's clock says."""
    return datetime.now(UTC)


class AuthorizationServer:
    """Answers at the OAuth endpoints. One per process; `attempts` are counted per process."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        addresses: Addresses,
        *,
        now: Callable[[], datetime] = wall_time,
    ) -> None:
        self._database = database
        self._keys = keys
        self._addresses = addresses
        self._attempts = Attempts()
        self._now = now

    async def token(self, authorization: str | None, form: Mapping[str, str], address: str) -> Answer:
        """An access token for the client that authenticates (RFC 6749, section 4.4)."""
        request = FormRequest(self._addresses.token, authorization, form)
        return await self._serve(lambda core: core.token(request), address)

    async def revoke(self, authorization: str | None, form: Mapping[str, str], address: str) -> Answer:
        """The end of a token (RFC 7009): every process refuses it within a second."""
        request = FormRequest(self._addresses.revoke, authorization, form)
        return await self._serve(lambda core: core.revocation(request), address)

    async def introspect(self, authorization: str | None, form: Mapping[str, str], address: str) -> Answer:
        """What a token says and whether it is good (RFC 7662), revocations of this instant included."""
        request = FormRequest(self._addresses.introspect, authorization, form)
        return await self._serve(lambda core: core.introspection(request), address)

    def jwks(self) -> dict[str, Any]:
        """The published key set."""
        return self._keys.jwks(self._now())

    def metadata(self) -> dict[str, Any]:
        """The discovery document of RFC 8414."""
        return metadata.authorization_server(self._addresses)

    def openid_configuration(self) -> dict[str, Any]:
        """The discovery document of OpenID Connect."""
        return metadata.openid_configuration(self._addresses)

    async def _serve(self, answer: Callable[[Core], Answer], address: str) -> Answer:
        at = self._now()

        def serve(connection: Connection) -> Answer:
            ring, attempts = self._keys, self._attempts
            return answer(Core(connection, ring, self._addresses, attempts, caller_address=address, at=at))

        async with self._database.writer.begin() as connection:
            return await connection.run_sync(serve)
