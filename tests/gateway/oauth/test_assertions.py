"""Clients that authenticate by private_key_jwt."""

from __future__ import annotations

import asyncio
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from gateway.oauth import Addresses
from gateway.oauth.applicants import KnownClient
from gateway.oauth.assertions import PrivateKeyJwt
from gateway.oauth.messages import FormRequest
from ledger.kernel.database import Database
from ledger.kernel.refusals import InvalidInput
from partners.clients import CHANGE_OVER, Client, Credentials, NewClient, public_keys, register_jwks
from tests.gateway.oauth.conftest import (
    ASSERTION_TYPE,
    BY,
    ISSUER,
    OAuth,
    Register,
    encoded,
    now,
    shared_secret_jwt,
)

Key = ECKey | RSAKey | OKPKey

EC = ECKey.generate_key("P-256", {"kid": "ec"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "okp"})
JWKS = {"keys": [key.as_dict(private=False) for key in (EC, RSA, OKP)]}

FAR_AHEAD = 2**40

SIGNER = Client(
    client_id="partner-1",
    kind="partner",
    partner=1,
    name="Till",
    scopes=frozenset({"earn"}),
    outlets=None,
    jwks=JWKS,
    created_at=now(),
    revoked_at=None,
)


@pytest.fixture
async def signer(register: Register) -> Client:
    """A client that has keys and no secret."""
    return (await register(jwks=JWKS)).client


def is_accepted(assertion: str, client: Client = SIGNER) -> bool:
    """Whether `client` authenticates by the assertion; needs no database."""
    authenticate = PrivateKeyJwt(Addresses(ISSUER), now(), lambda _client, _jti, _until: True)
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    registered = Credentials(client=client, secret_digests=())
    try:
        authenticate(
            lambda client_id: KnownClient(client_id, registered if client_id == client.client_id else None),
            FormRequest(f"{ISSUER}/oauth/token", None, form),
        )
    except InvalidClientError:
        return False
    return True


def an_assertion(client: Client = SIGNER, key: Key = EC, alg: str = "ES256", **claims: Any) -> str:
    """An assertion that would be accepted, but for what is said."""
    usual = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": f"{ISSUER}/oauth/token",
        "jti": secrets.token_hex(8),
        "exp": int(time.time()) + 60,
    }
    said = {name: value for name, value in (usual | claims).items() if value is not None}
    algorithms = ["ES256", "RS256", "PS256", "EdDSA", "Ed25519", "RS512"]
    return jwt.encode({"alg": alg, "kid": key.kid}, said, key, algorithms=algorithms)


def with_header(header: dict[str, Any], key: ECKey = EC) -> str:
    """An assertion truly signed by `key`, with any header at all."""
    signed = f"{encoded(header)}.{an_assertion().split('.')[1]}"
    signature = jws.JWSRegistry.algorithms["ES256"].sign(signed.encode(), key)
    return f"{signed}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_a_signed_assertion_buys_a_token(oauth: OAuth, signer: Client) -> None:
    response = await oauth.assert_by(an_assertion(signer))

    assert response.status_code == 200, response.text
    caller = oauth.verifier.verify(f"Bearer {response.json()['access_token']}")
    assert caller.client_id == signer.client_id


@pytest.mark.parametrize(
    ("key", "alg"),
    [(EC, "ES256"), (RSA, "RS256"), (RSA, "PS256"), (OKP, "EdDSA"), (OKP, "Ed25519")],
    ids=["ES256", "RS256", "PS256", "EdDSA", "Ed25519"],
)
@pytest.mark.filterwarnings("ignore:EdDSA")
def test_the_algorithms_of_the_list_are_accepted(key: Key, alg: str) -> None:
    assert is_accepted(an_assertion(key=key, alg=alg))


@pytest.mark.parametrize("audience", [ISSUER, [ISSUER], f"{ISSUER}/oauth/token"], ids=str)
def test_the_audience_is_the_issuer_or_the_token_endpoint(audience: object) -> None:
    assert is_accepted(an_assertion(aud=audience))


def test_the_only_key_of_its_kind_needs_no_kid() -> None:
    assert is_accepted(with_header({"alg": "ES256"}))


def test_while_a_client_changes_keys_either_works_even_without_kid() -> None:
    new = ECKey.generate_key("P-256", {"kid": "new"})
    both = replace(SIGNER, jwks={"keys": [key.as_dict(private=False) for key in (EC, new)]})
    neither = ECKey.generate_key("P-256")

    assert [is_accepted(an_assertion(both, key), both) for key in (EC, new)] == [True, True]
    without_kid = [with_header({"alg": "ES256"}, key) for key in (EC, new, neither)]
    assert [is_accepted(assertion, both) for assertion in without_kid] == [True, True, False]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://elsewhere.example"},
        {"aud": [ISSUER, "https://elsewhere.example"]},
        {"aud": []},
        {"aud": f"{ISSUER}/"},
        {"aud": None},
        {"iss": "somebody"},
        {"iss": None},
        {"sub": None},
        {"sub": 7},
        {"sub": "nul\x00", "iss": "nul\x00"},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "a" * 300},
        {"jti": "nul\x00"},
        {"exp": None},
        {"exp": 1},
        {"exp": True},
        {"exp": "soon"},
        {"exp": 10**40},
        {"exp": FAR_AHEAD},
        {"nbf": FAR_AHEAD},
        {"iat": FAR_AHEAD},
    ],
    ids=str,
)
def test_an_assertion_with_a_wrong_claim_is_refused(claims: dict[str, Any]) -> None:
    assert not is_accepted(an_assertion(**claims))


def test_an_assertion_lives_five_minutes_at_most() -> None:
    assert is_accepted(an_assertion(exp=int(time.time()) + 300))
    assert not is_accepted(an_assertion(exp=int(time.time()) + 360))


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"kid": "other"},
        {"jku": "https://elsewhere.example/jwks"},
        {"jwk": EC.as_dict(private=False)},
        {"x5u": "https://elsewhere.example/cert"},
        {"crit": ["exp"]},
        {"b64": False},
    ],
    ids=lambda header: next(iter(header)),
)
def test_a_header_with_a_mind_of_its_own_is_refused(header: dict[str, Any]) -> None:
    usual = {"alg": "ES256", "kid": "ec"}

    assert is_accepted(with_header(usual))
    assert not is_accepted(with_header(usual | header))


def test_an_algorithm_off_the_list_is_refused() -> None:
    claims = an_assertion().split(".")[1]

    assert not is_accepted(encoded({"alg": "none"}) + f".{claims}.")
    assert not is_accepted(encoded({"alg": "none"}) + f".{claims}.AAAA")
    assert not is_accepted(shared_secret_jwt({"alg": "HS256"}, claims, EC.as_pem(private=False)))
    assert not is_accepted(an_assertion(key=RSA, alg="RS512"))


def test_what_a_client_library_signs_is_accepted() -> None:
    in_a_minute = {"exp": int(time.time()) + 60}

    assert is_accepted(
        private_key_jwt_sign(EC, SIGNER.client_id, f"{ISSUER}/oauth/token", alg="ES256", claims=in_a_minute)
    )


async def test_nonsense_is_refused_and_no_fault(oauth: OAuth) -> None:
    nested = urlsafe_b64encode(b'{"a":' + b"[" * 4000).rstrip(b"=").decode()
    nonsense = ["x", "a.b.c", "...", "e30.e30.e30", "é.é.é", "a" * 20_000]
    nonsense += [encoded({"alg": "ES256"}) + f".{nested}.AAAA", an_assertion(sub="nul\x00", iss="nul\x00")]

    for assertion in nonsense:
        answer = await oauth.assert_by(assertion)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_anothers_key_and_an_unknown_client_are_answered_alike(oauth: OAuth, signer: Client) -> None:
    foreign = ECKey.generate_key("P-256", {"kid": "ec"})
    wrong = await oauth.assert_by(an_assertion(signer, foreign))
    unknown = await oauth.assert_by(an_assertion(signer, iss="partner-0", sub="partner-0"))

    assert wrong.json() == unknown.json()
    assert wrong.status_code == unknown.status_code == 401


async def test_an_assertion_works_once_even_when_presented_twice_at_once(
    oauth: OAuth, signer: Client
) -> None:
    assertion = an_assertion(signer)

    answers = await asyncio.gather(*(oauth.assert_by(assertion) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]


async def test_two_ways_of_authenticating_at_once_are_refused(
    oauth: OAuth, signer: Client, till: NewClient
) -> None:
    response = await oauth.ask(till, client_assertion=an_assertion(signer))

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"


async def test_client_id_must_be_the_one_that_signed(oauth: OAuth, signer: Client, till: NewClient) -> None:
    response = await oauth.assert_by(an_assertion(signer), client_id=till.client.client_id)

    assert response.status_code == 401


async def test_a_client_with_keys_has_no_secret(register: Register) -> None:
    assert (await register(jwks=JWKS)).secret is None


async def test_registering_keys_lets_the_secret_run_out(
    oauth: OAuth, till: NewClient, database: Database
) -> None:
    async with database.writer.begin() as connection:
        await register_jwks(connection, till.client.client_id, JWKS, wall_time=now(), at=now(), by=BY)
    both = [await oauth.ask(till), await oauth.assert_by(an_assertion(till.client))]

    async with database.writer.begin() as connection:
        await register_jwks(
            connection, till.client.client_id, JWKS, wall_time=now() - CHANGE_OVER, at=now(), by=BY
        )
    after = [await oauth.ask(till), await oauth.assert_by(an_assertion(till.client))]

    assert [each.status_code for each in both] == [200, 200]
    assert [each.status_code for each in after] == [401, 200]


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": []},
        {"keys": "x"},
        {"keys": [7]},
        {"keys": [{"kty": "EC"}]},
        {"keys": [{"kty": "nonsense"}]},
        {"keys": [EC.as_dict(private=True)]},
        {"keys": [EC.as_dict(private=False)] * 2},
        {"keys": [EC.as_dict(private=False) | {"use": "enc"}]},
        {"keys": [OctKey.generate_key(256).as_dict(private=True)]},
        {"keys": [ECKey.generate_key("P-384").as_dict(private=False)]},
        {"keys": [OKPKey.generate_key("X25519").as_dict(private=False)]},
        {"keys": [{"kty": "RSA", "e": "AQAB", "n": "_" * 171}]},
    ],
)
def test_keys_that_are_weak_private_or_unreadable_are_refused(jwks: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        public_keys(jwks)
