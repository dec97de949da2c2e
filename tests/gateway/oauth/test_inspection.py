"""Giving tokens up (RFC 7009) and asking about them (RFC 7662)."""

from __future__ import annotations

import httpx
import pytest

from ledger.kernel.database import Database
from partners.clients import NewClient, Revocation, insert_revocation, live_revocations, revoke_client
from tests.gateway.oauth.conftest import BY, ISSUER, OAuth, Register, now


async def introspect(oauth: OAuth, client: NewClient, token: str) -> httpx.Response:
    """What `client` is told about `token`."""
    return await oauth.http.post(
        "/oauth/introspect", auth=(client.client.client_id, client.secret or ""), data={"token": token}
    )


async def revoke(oauth: OAuth, client: NewClient, **form: str) -> httpx.Response:
    """The answer to `client` giving a token up."""
    return await oauth.http.post(
        "/oauth/revoke", auth=(client.client.client_id, client.secret or ""), data=form
    )


async def test_a_client_is_told_about_its_own_token(oauth: OAuth, till: NewClient) -> None:
    told = (await introspect(oauth, till, await oauth.token(till, scope="earn"))).json()

    assert told["active"] is True
    assert told["scope"] == "earn"
    assert told["client_id"] == told["sub"] == till.client.client_id
    assert told["iss"] == ISSUER
    assert told["exp"] - told["iat"] == 300


async def test_the_operator_is_told_about_any_and_a_partner_is_not(
    oauth: OAuth, till: NewClient, operator: NewClient, register: Register
) -> None:
    token = await oauth.token(till)
    stranger = await register(name="Other till")

    assert (await introspect(oauth, operator, token)).json()["active"] is True
    assert (await introspect(oauth, stranger, token)).json() == {"active": False}


async def test_a_revoked_token_is_inactive_at_once(oauth: OAuth, till: NewClient) -> None:
    token = await oauth.token(till)

    assert (await revoke(oauth, till, token=token, token_type_hint="refresh_token")).status_code == 200

    assert (await introspect(oauth, till, token)).json() == {"active": False}


async def test_a_token_that_is_given_up_again_is_written_once(
    oauth: OAuth, till: NewClient, database: Database
) -> None:
    token = await oauth.token(till)

    answers = [await revoke(oauth, till, token=token) for _ in range(3)]

    assert [each.status_code for each in answers] == [200] * 3
    async with database.writer.connect() as connection:
        assert len(await connection.run_sync(live_revocations, now())) == 1


async def test_one_client_does_not_fill_what_every_process_reads_twice_a_second(
    oauth: OAuth,
    till: NewClient,
    operator: NewClient,
    register: Register,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("partners.clients.store.MOST_REVOCATIONS", 3)
    tokens = [await oauth.token(till) for _ in range(5)]
    other = await register(name="Other till")

    answers = [await revoke(oauth, till, token=token) for token in tokens]
    again = await revoke(oauth, till, token=tokens[0])
    others = await revoke(oauth, other, token=await oauth.token(other))

    assert [each.status_code for each in answers] == [200, 200, 200, 503, 503]
    assert answers[3].json()["error"] == "temporarily_unavailable"
    assert 0 < int(answers[3].headers["retry-after"]) <= 360
    assert (again.status_code, others.status_code) == (200, 200)
    assert [(await introspect(oauth, till, token)).json()["active"] for token in tokens[2:4]] == [False, True]
    async with database.writer.begin() as connection:
        assert len(await connection.run_sync(live_revocations, now())) == 4
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)
    assert (await introspect(oauth, operator, tokens[4])).json() == {"active": False}


async def test_a_client_may_give_up_tokens_again_when_those_it_gave_up_are_dead(
    oauth: OAuth, till: NewClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partners.clients.store.MOST_REVOCATIONS", 1)
    dead, token = (
        Revocation(client_id=till.client.client_id, jti="old", expires_at=now()),
        await oauth.token(till),
    )
    async with database.writer.begin() as connection:
        await connection.run_sync(insert_revocation, dead, now())

    assert (await revoke(oauth, till, token=token)).status_code == 200


async def test_a_token_of_a_revoked_client_is_inactive_at_once(
    oauth: OAuth, till: NewClient, operator: NewClient, database: Database
) -> None:
    token = await oauth.token(till)
    async with database.writer.begin() as connection:
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)

    assert (await introspect(oauth, operator, token)).json() == {"active": False}


async def test_nobody_gives_up_anothers_token(oauth: OAuth, till: NewClient, operator: NewClient) -> None:
    token = await oauth.token(till)

    response = await revoke(oauth, operator, token=token)

    assert response.status_code == 400
    assert (await introspect(oauth, till, token)).json()["active"] is True


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "é"])
async def test_a_token_that_is_none_is_inactive_and_may_be_given_up(
    oauth: OAuth, till: NewClient, token: str
) -> None:
    assert (await introspect(oauth, till, token)).json() == {"active": False}
    assert (await revoke(oauth, till, token=token)).status_code == 200


async def test_without_a_token_there_is_nothing_to_say(oauth: OAuth, till: NewClient) -> None:
    for path in ("/oauth/introspect", "/oauth/revoke"):
        response = await oauth.http.post(
            path, auth=(till.client.client_id, till.secret or ""), data={"other": "1"}
        )
        assert response.status_code == 400
        assert response.json()["error"] == "invalid_request"
        assert response.headers["cache-control"] == "no-store"


async def test_strangers_are_told_nothing(oauth: OAuth, till: NewClient) -> None:
    token = await oauth.token(till)

    for path in ("/oauth/introspect", "/oauth/revoke"):
        response = await oauth.http.post(path, data={"token": token})
        assert response.status_code == 401
        assert response.json()["error"] == "invalid_client"
