"""Rotation of signing keys."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from gateway.oauth import KeyRing, KeySealer
from gateway.oauth.keys import KEY_LIFE, PUBLISHED_AFTER, PUBLISHED_AHEAD
from ledger.kernel.database import Database
from partners.clients import NewClient
from tests.gateway.oauth.conftest import SEALING_KEY, OAuth, now


def kids(keys: KeyRing, at: datetime) -> set[str]:
    """Ids of the published keys."""
    return {key["kid"] for key in keys.jwks(at)["keys"]}


async def test_a_new_key_is_published_before_it_signs(oauth: OAuth, database: Database) -> None:
    at = now()
    old = oauth.keys.signing(at).kid
    async with database.writer.begin() as connection:
        new = await oauth.keys.rotate(connection, at=at)

    assert kids(oauth.keys, at) == {old, new}
    assert oauth.keys.signing(at).kid == old
    assert oauth.keys.signing(at + PUBLISHED_AHEAD).kid == new


async def test_an_old_key_stays_published_until_its_tokens_are_dead(
    oauth: OAuth, database: Database, till: NewClient
) -> None:
    at = now()
    token = await oauth.token(till)
    old = oauth.keys.signing(at).kid
    async with database.writer.begin() as connection:
        new = await oauth.keys.rotate(connection, at=at)
    dead_at = at + PUBLISHED_AHEAD + PUBLISHED_AFTER

    assert kids(oauth.keys, dead_at - timedelta(seconds=1)) == {old, new}
    assert kids(oauth.keys, dead_at) == {new}
    assert oauth.verifier.verify(f"Bearer {token}").client_id == till.client.client_id

    async with database.writer.begin() as connection:
        await oauth.keys.rotate_when_due(connection, at=dead_at + timedelta(seconds=1))
        stored = (await connection.execute(text("SELECT kid FROM signing_keys"))).scalars().all()
    assert stored == [new]


async def test_keys_rotate_when_they_are_due_and_not_before(oauth: OAuth, database: Database) -> None:
    born = oauth.keys.signing(now()).not_before
    async with database.writer.begin() as connection:
        await oauth.keys.rotate_when_due(connection, at=born + KEY_LIFE - timedelta(seconds=1))
        assert len(kids(oauth.keys, born)) == 1
        await oauth.keys.rotate_when_due(connection, at=born + KEY_LIFE)
        await oauth.keys.rotate_when_due(connection, at=born + KEY_LIFE)
        assert len(kids(oauth.keys, born)) == 2


async def test_processes_that_start_at_once_make_one_key(database: Database) -> None:
    rings = [KeyRing(KeySealer([SEALING_KEY])) for _ in range(4)]

    async def start(ring: KeyRing) -> None:
        async with database.writer.begin() as connection:
            await ring.rotate_when_due(connection, at=now())

    await asyncio.gather(*(start(ring) for ring in rings))

    assert len({ring.signing(now()).kid for ring in rings}) == 1


async def test_a_private_key_is_not_stored_in_clear(oauth: OAuth, database: Database) -> None:
    pair = oauth.keys.signing(now()).pair
    private = pair.as_dict(private=True)["d"]
    async with database.writer.connect() as connection:
        stored = await connection.scalar(text("SELECT sealed FROM signing_keys"))

    assert isinstance(private, str)
    assert private.encode() not in stored
    assert pair.as_der(private=True) not in stored


async def test_keys_open_only_under_their_master_key(oauth: OAuth, database: Database) -> None:
    other = KeyRing(KeySealer([bytes(32)]))

    async with database.writer.connect() as connection:
        with pytest.raises(ValueError, match="master key"):
            await other.load(connection)


def test_a_new_master_key_still_opens_what_the_old_one_sealed() -> None:
    stored = KeySealer([SEALING_KEY]).new_key(now())

    keys = KeyRing(KeySealer([bytes(32), SEALING_KEY]))
    keys.see([stored])

    assert keys.signing(now()).kid == stored.kid
