"""Registering clients: who may have what."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from sqlalchemy import text

from ledger.kernel.database import Database
from ledger.kernel.refusals import InvalidInput
from partners.clients import (
    SCOPES,
    SCOPES_OF_KIND,
    ClientUnknown,
    NewClient,
    clients_of,
    find_client,
    register_jwks,
    revoke_client,
    rotate_secret,
)
from tests.gateway.oauth.conftest import BY, Register, now


async def test_a_secret_is_stored_as_its_digest_and_not_shown_in_repr(
    till: NewClient, database: Database
) -> None:
    assert till.secret is not None
    async with database.writer.connect() as connection:
        digest = await connection.scalar(text("SELECT digest FROM client_secrets"))

    assert digest == hashlib.sha256(till.secret.encode()).digest()
    assert till.secret not in repr(till)


async def test_a_client_is_found_as_it_was_registered(
    register: Register, database: Database, partner: int
) -> None:
    made = await register(outlets=[3, 1])
    async with database.writer.connect() as connection:
        assert await find_client(connection, made.client.client_id) == made.client
        assert await clients_of(connection, partner) == [made.client]
        assert await clients_of(connection, None) == []


@pytest.mark.parametrize(
    "says",
    [
        {"kind": "partner", "partner": None},
        {"kind": "operator", "scopes": ["clock"]},
        {"kind": "root", "partner": None},
        {"name": " "},
        {"name": "a" * 201},
        {"name": "nul\x00"},
        {"scopes": []},
        {"outlets": []},
        {"outlets": range(501)},
        {"scopes": ["earn", "clock"]},
        {"scopes": ["members:card"]},
        {"kind": "finance", "partner": None, "scopes": ["settlement:read"], "outlets": [1]},
    ],
    ids=str,
)
async def test_a_client_gets_nothing_that_its_kind_may_not_have(
    register: Register, says: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        await register(**says)


async def test_only_the_members_app_may_have_card_keys() -> None:
    assert [kind for kind, scopes in SCOPES_OF_KIND.items() if "members:card" in scopes] == ["app"]
    assert len(SCOPES) == 23


async def test_an_unknown_client_cannot_be_changed(database: Database) -> None:
    async with database.writer.begin() as connection:
        with pytest.raises(ClientUnknown):
            await rotate_secret(connection, "partner-0", wall_time=now(), at=now(), by=BY)
        with pytest.raises(ClientUnknown):
            await register_jwks(connection, "partner-0", {"keys": []}, wall_time=now(), at=now(), by=BY)
        with pytest.raises(ClientUnknown):
            await revoke_client(connection, "partner-0", wall_time=now(), at=now(), by=BY)


async def test_a_revoked_client_gets_no_new_secret(till: NewClient, database: Database) -> None:
    async with database.writer.begin() as connection:
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)
        with pytest.raises(ClientUnknown):
            await rotate_secret(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)
