"""The front door as a client sees it: an access token by OAuth, then GraphQL over kept-alive HTTP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx
import msgspec

from gateway.unable import Unable

T = TypeVar("T")

_METADATA_PATH: Final = "/.well-known/oauth-authorization-server"
_RENEW_SECONDS: Final = 30.0
"""How long before its end a token is replaced."""
_LONGEST_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A client's id and secret."""

    client_id: str
    client_secret: str = field(repr=False)


class GraphQLError(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `errors`: nothing of the request was answered."""

    message: str
    extensions: dict[str, Any] = {}

    @property
    def code(self) -> str:
        """The published code, empty when the server gave none."""
        return str(self.extensions.get("code", ""))


class UserError(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Why a rule said no."""

    code: str
    message: str
    retry_after_seconds: int | None = None


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every mutation answers, asked for under the alias `answer`: its result, or refusals."""

    user_errors: list[UserError]


P = TypeVar("P", bound=Payload)


class _Token(msgspec.Struct, frozen=True, kw_only=True):
    access_token: str
    expires_in: float


class _Metadata(msgspec.Struct, frozen=True, kw_only=True):
    token_endpoint: str


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: list[GraphQLError] = []


class Door:
    """The server at `url`. Closing it closes its connections."""

    def __init__(self, url: str, *, connections: int = 16) -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._url = url.rstrip("/")
        self._http = httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(600.0, connect=10.0))
        self._token_endpoint = ""

    async def __aenter__(self) -> Door:
        """Find out where tokens are given."""
        response = await self.send("GET", self._url + _METADATA_PATH)
        if response.status_code != httpx.codes.OK:
            raise Unable(f"{self._url} is no Kopilka: {_METADATA_PATH} answers {response.status_code}.")
        self._token_endpoint = msgspec.json.decode(response.content, type=_Metadata).token_endpoint
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def session(self, credentials: Credentials) -> Session:
        """A client of this server."""
        return Session(self, credentials)

    async def token(self, credentials: Credentials) -> _Token:
        """An access token by client credentials. Raises `Unable` when the server gives none."""
        response = await self.send(
            "POST",
            self._token_endpoint,
            data={"grant_type": "client_credentials"},
            auth=(credentials.client_id, credentials.client_secret),
        )
        if response.status_code != httpx.codes.OK:
            raise Unable(f"No access token for {credentials.client_id}: {response.text[:200]}")
        return msgspec.json.decode(response.content, type=_Token)

    async def graphql(self, body: bytes, token: str) -> httpx.Response:
        """The answer to one request."""
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        return await self.send("POST", f"{self._url}/graphql", content=body, headers=headers)

    async def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """One HTTP exchange. Raises `Unable` when the server is not there or goes away."""
        try:
            return await self._http.request(method, url, **options)
        except httpx.TransportError as error:
            raise Unable(
                f"The gateway at {self._url} went away ({type(error).__name__}); "
                "start it and run the same replay again: it goes on where it stopped."
            ) from None


class Session:
    """One OAuth client at the door. Its token is renewed before it ends."""

    def __init__(self, door: Door, credentials: Credentials) -> None:
        self._door, self._credentials = door, credentials
        self._token = ""
        self._renew_at = 0.0
        self._renewing = asyncio.Lock()

    async def call(self, document: str, variables: dict[str, Any], answer: type[T]) -> T:
        """Run a document and decode its `data`. Raises `Unable` with what the server said against it."""
        return await self.send(request_body(document, msgspec.json.encode(variables)), answer)

    async def write(self, document: str, given: dict[str, Any], answer: type[P]) -> P:
        """The payload of a mutation with this input. Raises `Unable` when a rule refuses it."""
        data = await self.call(document, {"input": given}, dict[str, msgspec.Raw])
        payload = msgspec.json.decode(data["answer"], type=answer)
        if payload.user_errors:
            refused = payload.user_errors[0]
            raise Unable(f"The replay cannot go on: {refused.message} ({refused.code})")
        return payload

    async def send(self, body: bytes, answer: type[T]) -> T:
        """The same for a request that is already encoded. Waits and repeats when it is throttled."""
        while True:
            response = await self._door.graphql(body, await self._access_token())
            if response.status_code == httpx.codes.UNAUTHORIZED:
                raise Unable(f"{self._credentials.client_id} is not let in: {response.text[:200]}")
            told = msgspec.json.decode(response.content, type=_Answer)
            if not told.errors:
                return msgspec.json.decode(told.data, type=answer)
            await _wait_or_give_up(told.errors[0])

    async def _access_token(self) -> str:
        async with self._renewing:
            if time.monotonic() >= self._renew_at:
                token = await self._door.token(self._credentials)
                self._token = token.access_token
                self._renew_at = time.monotonic() + token.expires_in - _RENEW_SECONDS
        return self._token


def request_body(document: str, variables: bytes) -> bytes:
    """A GraphQL request whose variables are JSON already."""
    return b'{"query":' + msgspec.json.encode(document) + b',"variables":' + variables + b"}"


async def _wait_or_give_up(error: GraphQLError) -> None:
    seconds = error.extensions.get("seconds")
    if error.code != "THROTTLED" or not isinstance(seconds, int | float):
        raise Unable(f"The gateway refuses the replay: {error.message} {error.code}".rstrip())
    await asyncio.sleep(min(float(seconds), _LONGEST_WAIT_SECONDS))
