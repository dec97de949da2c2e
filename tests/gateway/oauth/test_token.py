"""The token endpoint with client secrets."""

from __future__ import annotations

import base64
import time

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from gateway.oauth import Addresses
from ledger.kernel.database import Database
from partners.clients import CHANGE_OVER, NewClient, revoke_client, rotate_secret
from tests.gateway.oauth.conftest import BY, ISSUER, OAuth, Register, now, parts


async def test_a_secret_buys_a_token_of_five_minutes(oauth: OAuth, till: NewClient, partner: int) -> None:
    response = await oauth.ask(till, scope="earn")

    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["token_type"] == "Bearer"
    assert response.json()["expires_in"] == 300
    assert response.json()["scope"] == "earn"
    caller = oauth.verifier.verify(f"Bearer {response.json()['access_token']}")
    assert caller.client_id == till.client.client_id
    assert (caller.kind, caller.partner, caller.principal) == ("partner", partner, f"partner:{partner}")
    assert caller.scopes == {"earn"}
    assert caller.outlets is None


async def test_a_token_is_what_rfc_9068_says_and_the_published_keys_verify_it(
    oauth: OAuth, till: NewClient
) -> None:
    token = await oauth.token(till)
    keys = KeySet.import_key_set((await oauth.http.get("/oauth/jwks")).json())

    read = jwt.decode(token, keys, algorithms=["ES256"])

    assert read.header["typ"] == "at+jwt"
    assert read.header["alg"] == "ES256"
    assert set(read.header) == {"typ", "alg", "kid"}
    assert read.claims["iss"] == ISSUER
    assert read.claims["aud"] == f"{ISSUER}/graphql"
    assert read.claims["sub"] == read.claims["client_id"] == till.client.client_id
    assert read.claims["exp"] - read.claims["iat"] == 300
    assert len(read.claims["jti"]) >= 22


async def test_asking_for_no_scope_gives_all_of_the_clients(oauth: OAuth, till: NewClient) -> None:
    for form in ({}, {"scope": ""}):
        assert (await oauth.ask(till, **form)).json()["scope"] == "burn earn"


@pytest.mark.parametrize("scope", ["earn refund", "earn quote", "EARN", " ", "programme:manage"])
async def test_a_scope_that_the_client_does_not_have_is_refused_not_dropped(
    oauth: OAuth, till: NewClient, scope: str
) -> None:
    response = await oauth.ask(till, scope=scope)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_scope"
    assert response.headers["cache-control"] == "no-store"


async def test_outlets_of_the_client_are_in_its_token(oauth: OAuth, register: Register) -> None:
    bound = await register(outlets=[4, 2])

    caller = oauth.verifier.verify(f"Bearer {await oauth.token(bound)}")

    assert caller.outlets == frozenset({2, 4})


async def test_a_token_of_very_many_outlets_is_still_good(oauth: OAuth, register: Register) -> None:
    outlets = range(9_999_000, 9_999_500)
    bound = await register(outlets=outlets)

    assert oauth.verifier.verify(f"Bearer {await oauth.token(bound)}").outlets == frozenset(outlets)


async def test_a_wrong_secret_and_an_unknown_client_are_answered_alike(oauth: OAuth, till: NewClient) -> None:
    form = {"grant_type": "client_credentials"}
    wrong = await oauth.http.post("/oauth/token", auth=(till.client.client_id, "no"), data=form)
    unknown = await oauth.http.post("/oauth/token", auth=("partner-0", "no"), data=form)

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["error"] == "invalid_client"
    assert wrong.headers["www-authenticate"].startswith("Basic ")
    assert wrong.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic " + base64.b64encode(b"nul\x00:x").decode(),
        "Basic " + base64.b64encode(b"%00:x").decode(),
        "Basic " + base64.b64encode(b"a" * 5000 + b":x").decode(),
        "Bearer x",
        "Digest x",
        "",
    ],
)
async def test_malformed_credentials_are_a_clear_no(oauth: OAuth, authorization: str) -> None:
    response = await oauth.http.post(
        "/oauth/token",
        headers={"Authorization": authorization},
        data={"grant_type": "client_credentials"},
    )

    assert response.status_code == 401
    assert response.json()["error"] == "invalid_client"


async def test_without_credentials_there_is_no_token(oauth: OAuth, till: NewClient) -> None:
    in_body = {"client_id": till.client.client_id, "client_secret": till.secret or ""}

    for form in ({}, in_body):
        response = await oauth.http.post("/oauth/token", data={"grant_type": "client_credentials"} | form)
        assert response.status_code == 401
        assert response.json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=authorization_code", "unsupported_grant_type"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=%ff", "invalid_request"),
        ("grant_type=client_credentials&scope=\xe9", "invalid_request"),
        ("&".join(f"a{n}=1" for n in range(50)), "invalid_request"),
        ("grant_type=" + "a" * 40_000, "invalid_request"),
    ],
)
async def test_a_bad_request_is_json_with_its_code(
    oauth: OAuth, till: NewClient, body: str, error: str
) -> None:
    assert till.secret is not None
    response = await oauth.http.post(
        "/oauth/token",
        auth=(till.client.client_id, till.secret),
        content=body.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert response.status_code == 400
    assert response.json()["error"] == error
    assert response.headers["cache-control"] == "no-store"


async def test_a_body_that_is_no_form_is_refused(oauth: OAuth) -> None:
    response = await oauth.http.post("/oauth/token", json={"grant_type": "client_credentials"})

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"


async def test_after_a_rotation_both_secrets_work_and_never_three(
    oauth: OAuth, till: NewClient, database: Database
) -> None:
    async def rotate() -> NewClient:
        async with database.writer.begin() as connection:
            secret = await rotate_secret(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)
        return NewClient(client=till.client, secret=secret)

    second = await rotate()
    assert [(await oauth.ask(each)).status_code for each in (till, second)] == [200, 200]

    third = await rotate()
    assert [(await oauth.ask(each)).status_code for each in (till, second, third)] == [401, 200, 200]


async def test_an_old_secret_ends_when_the_change_over_does(
    oauth: OAuth, till: NewClient, database: Database
) -> None:
    async with database.writer.begin() as connection:
        await rotate_secret(connection, till.client.client_id, wall_time=now() - CHANGE_OVER, at=now(), by=BY)

    assert (await oauth.ask(till)).status_code == 401


async def test_a_revoked_client_gets_no_more_tokens(
    oauth: OAuth, till: NewClient, database: Database
) -> None:
    async with database.writer.begin() as connection:
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)

    assert (await oauth.ask(till)).status_code == 401


async def test_guessing_is_slowed_down_without_holding_up_the_client_that_it_is_about(
    oauth: OAuth, till: NewClient
) -> None:
    guess = NewClient(client=till.client, secret="guess")

    tries = [await oauth.ask(guess) for _ in range(10)]
    blocked = await oauth.ask(guess)
    itself = await oauth.ask(till)
    still_blocked = await oauth.ask(guess)

    assert {each.status_code for each in tries} == {401}
    assert blocked.json()["error"] == "invalid_client"
    assert int(blocked.headers["retry-after"]) >= 1
    assert [each.status_code for each in (blocked, itself, still_blocked)] == [429, 200, 429]


async def test_neither_a_token_nor_a_secret_is_ever_logged(
    oauth: OAuth, till: NewClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    token = await oauth.token(till)

    assert token not in caplog.text
    assert till.secret is not None
    assert till.secret not in caplog.text


async def test_every_process_accepts_tokens_of_every_other(database: Database, till: NewClient) -> None:
    one, other = parts(database), parts(database)
    await one.upkeep.look(now())
    await one.upkeep.clear(now())
    await other.upkeep.clear(now())

    token = await one.token(till)

    assert other.verifier.verify(f"Bearer {token}").client_id == till.client.client_id


@pytest.mark.parametrize("issuer", ["http://points.example", "https://points.example/", "points", ""])
def test_an_issuer_is_https_without_a_slash_at_its_end(issuer: str) -> None:
    with pytest.raises(ValueError, match="issuer"):
        Addresses(issuer)


def test_an_issuer_on_loopback_may_do_without_https() -> None:
    assert Addresses("http://127.0.0.1:8000").token == "http://127.0.0.1:8000/oauth/token"


async def test_discovery_names_what_is_really_there(oauth: OAuth) -> None:
    document = (await oauth.http.get("/.well-known/oauth-authorization-server")).json()
    openid = (await oauth.http.get("/.well-known/openid-configuration")).json()

    AuthorizationServerMetadata(document).validate_issuer()
    assert document["issuer"] == openid["issuer"] == ISSUER
    assert document["token_endpoint"] == f"{ISSUER}/oauth/token"
    assert "earn" in document["scopes_supported"]
    assert (await oauth.http.get(document["jwks_uri"])).json()["keys"]
    for endpoint in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        assert (await oauth.http.get(document[endpoint])).status_code == 405
        assert (await oauth.http.post(document[endpoint])).json()["error"] == "invalid_request"


async def test_the_published_keys_are_public(oauth: OAuth) -> None:
    (key,) = (await oauth.http.get("/oauth/jwks")).json()["keys"]

    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


async def test_a_token_takes_a_few_milliseconds(oauth: OAuth, till: NewClient) -> None:
    await oauth.ask(till)
    started = time.perf_counter()
    for _ in range(20):
        await oauth.ask(till)

    assert (time.perf_counter() - started) / 20 < 0.05
