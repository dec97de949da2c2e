"""An authorization server on a real database, spoken to over HTTP."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import insert
from starlette.applications import Starlette

from gateway.oauth import Addresses, AuthorizationServer, KeyRing, KeySealer, Upkeep, Verifier, routes
from ledger.kernel.database import Database
from partners.clients import NewClient, create_client
from partners.tables import partners

ISSUER = "https://points.example"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BY = "staff:test"
SEALING_KEY = bytes(range(32))

Register = Callable[..., Awaitable[NewClient]]


def now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """All parts of one process's authorization server."""

    keys: KeyRing
    verifier: Verifier
    upkeep: Upkeep
    server: AuthorizationServer
    http: httpx.AsyncClient

    async def token(self, client: NewClient, **form: str) -> str:
        """An access token, asked for with the client's secret."""
        response = await self.ask(client, **form)
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    async def ask(self, client: NewClient, **form: str) -> httpx.Response:
        """The token endpoint's answer to the client's secret."""
        assert client.secret is not None
        return await self.http.post(
            "/oauth/token",
            auth=(client.client.client_id, client.secret),
            data={"grant_type": "client_credentials"} | form,
        )

    async def assert_by(self, assertion: str, **form: str) -> httpx.Response:
        """The token endpoint's answer to a signed assertion."""
        return await self.http.post(
            "/oauth/token",
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": assertion,
            }
            | form,
        )


def parts(database: Database) -> OAuth:
    """A process of its own on `database`."""
    addresses = Addresses(ISSUER)
    keys = KeyRing(KeySealer([SEALING_KEY]))
    verifier = Verifier(keys, addresses)
    server = AuthorizationServer(database, keys, addresses)
    transport = httpx.ASGITransport(app=Starlette(routes=routes(server)))
    return OAuth(
        keys=keys,
        verifier=verifier,
        upkeep=Upkeep(database, keys, verifier),
        server=server,
        http=httpx.AsyncClient(transport=transport, base_url=ISSUER),
    )


def shared_secret_jwt(header: dict[str, Any], claims: str, secret: bytes) -> str:
    """A JWT signed by HMAC with any bytes at all; joserfc would not let a public key be a secret."""
    signed = f"{encoded(header)}.{claims}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def encoded(part: object) -> str:
    """A part of a compact JWT."""
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@pytest.fixture
async def oauth(database: Database) -> AsyncIterator[OAuth]:
    """A running authorization server."""
    running = parts(database)
    await running.upkeep.start()
    yield running
    await running.upkeep.stop()
    await running.http.aclose()


@pytest.fixture
async def partner(database: Database) -> int:
    """The id of a partner."""
    async with database.writer.begin() as connection:
        id_ = await connection.scalar(
            insert(partners).values(name="Pharmacy", created_at=now()).returning(partners.c.id)
        )
    assert isinstance(id_, int)
    return id_


@pytest.fixture
def register(database: Database, partner: int) -> Register:
    """Registers a client: one of the partner unless told otherwise."""

    async def registered(**says: Any) -> NewClient:
        usual: dict[str, Any] = {
            "kind": "partner",
            "partner": partner,
            "name": "Till",
            "scopes": ["earn", "burn"],
            "outlets": None,
            "jwks": None,
            "wall_time": now(),
            "at": now(),
        }
        async with database.writer.begin() as connection:
            return await create_client(connection, **(usual | says))

    return registered


@pytest.fixture
async def till(register: Register) -> NewClient:
    """A partner's client that may earn and burn."""
    return await register()


@pytest.fixture
async def operator(register: Register) -> NewClient:
    """A client of the operator."""
    return await register(kind="operator", partner=None, name="Console", scopes=["programme:manage"])
