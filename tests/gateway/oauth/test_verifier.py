"""Verification of access tokens: what is not ours, in every way, and what was revoked."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.caller import Forbidden, Unauthenticated
from gateway.oauth import Addresses, KeyRing, KeySealer, Verifier
from gateway.oauth.verifier import REMEMBERED
from ledger.kernel.database import Database
from partners.clients import NewClient, revoke_client
from tests.gateway.oauth.conftest import BY, ISSUER, SEALING_KEY, OAuth, encoded, now, shared_secret_jwt


@dataclass(frozen=True, slots=True)
class Memory:
    """A verifier and its keys, which need no database."""

    keys: KeyRing
    verifier: Verifier


@pytest.fixture
def memory() -> Memory:
    """A verifier with one key."""
    sealer = KeySealer([SEALING_KEY])
    keys = KeyRing(sealer)
    keys.see([sealer.new_key(now())])
    return Memory(keys, Verifier(keys, Addresses(ISSUER)))


def forged(memory: Memory, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token signed with the real key, which is as it should be but for what is said."""
    key = memory.keys.signing(now())
    at = int(time.time())
    usual = {
        "iss": ISSUER,
        "aud": f"{ISSUER}/graphql",
        "sub": "operator-1",
        "client_id": "operator-1",
        "scope": "clock",
        "jti": "1",
        "iat": at,
        "exp": at + 300,
        "kind": "operator",
    }
    said = {name: value for name, value in (usual | claims).items() if value is not None}
    usual_header = {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    return jwt.encode(usual_header | (header or {}), said, key.pair)


def test_the_forgers_own_token_is_good_when_nothing_is_forged(memory: Memory) -> None:
    caller = memory.verifier.verify(f"Bearer {forged(memory)}")

    assert (caller.principal, caller.partner) == ("staff:operator-1", None)
    caller.require("clock")
    with pytest.raises(Forbidden):
        caller.require("earn")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": ISSUER},
        {"aud": "operator-1"},
        {"aud": [f"{ISSUER}/graphql"]},
        {"aud": None},
        {"sub": "operator-2"},
        {"sub": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": 1e300},
        {"nbf": 2**40},
        {"jti": None},
        {"client_id": None},
        {"scope": None},
        {"scope": ["clock"]},
        {"kind": "root"},
        {"kind": None},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(memory: Memory, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        memory.verifier.verify(f"Bearer {forged(memory, **claims)}")

    assert refused.value.challenge == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "client-authentication+jwt"},
        {"kid": "other"},
        {"jku": "https://elsewhere.example/jwks"},
        {"jwk": ECKey.generate_key("P-256").as_dict(private=False)},
        {"x5u": "https://elsewhere.example/cert"},
        {"x5c": ["AAAA"]},
        {"cty": "JWT"},
    ],
    ids=lambda header: next(iter(header)),
)
def test_a_token_with_another_header_is_refused(memory: Memory, header: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        memory.verifier.verify(f"Bearer {forged(memory, header=header)}")


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "HS256", "ES384", "RS256"])
def test_another_algorithm_is_refused_whatever_the_signature(memory: Memory, alg: str) -> None:
    _, claims, signature = forged(memory).split(".")
    header = encoded({"alg": alg, "typ": "at+jwt", "kid": memory.keys.signing(now()).kid})

    for end in (signature, ""):
        with pytest.raises(Unauthenticated):
            memory.verifier.verify(f"Bearer {header}.{claims}.{end}")


def test_the_public_key_is_no_shared_secret(memory: Memory) -> None:
    key = memory.keys.signing(now())
    claims = forged(memory).split(".")[1]
    header = {"alg": "HS256", "typ": "at+jwt", "kid": key.kid}
    for secret in (key.pair.as_pem(private=False), json.dumps(key.pair.as_dict(private=False)).encode()):
        with pytest.raises(Unauthenticated):
            memory.verifier.verify(f"Bearer {shared_secret_jwt(header, claims, secret)}")


def test_a_foreign_key_under_our_key_id_is_refused(memory: Memory) -> None:
    foreign = ECKey.generate_key("P-256")
    claims = json.loads(_decoded(forged(memory).split(".")[1]))
    header = {"alg": "ES256", "typ": "at+jwt", "kid": memory.keys.signing(now()).kid}

    with pytest.raises(Unauthenticated):
        memory.verifier.verify(f"Bearer {jwt.encode(header, claims, foreign)}")


def test_changed_claims_are_refused(memory: Memory) -> None:
    header, claims, signature = forged(memory).split(".")
    changed = json.loads(_decoded(claims)) | {"scope": "clock programme:manage"}

    with pytest.raises(Unauthenticated):
        memory.verifier.verify(f"Bearer {header}.{encoded(changed)}.{signature}")


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer e30.e30.e30",
        "Basic eDp4",
        "Bearer é.é.é",
        "Bearer a.b.c d",
        "Bearer " + "." * 5,
        "Bearer " + "a" * 100_000,
    ],
    ids=range(12),
)
def test_nonsense_is_refused(memory: Memory, authorization: str) -> None:
    with pytest.raises(Unauthenticated):
        memory.verifier.verify(authorization)


def test_deep_nesting_is_refused_not_a_fault(memory: Memory) -> None:
    nested = urlsafe_b64encode(b'{"a":' + b"[" * 2000).rstrip(b"=").decode()

    with pytest.raises(Unauthenticated):
        memory.verifier.verify(f"Bearer {nested}.e30.AAAA")


def test_no_header_is_challenged_without_an_error(memory: Memory) -> None:
    with pytest.raises(Unauthenticated) as refused:
        memory.verifier.verify(None)

    assert refused.value.challenge == "Bearer"


def test_a_remembered_token_still_expires(memory: Memory) -> None:
    at = time.time()
    verifier = Verifier(memory.keys, Addresses(ISSUER), now=lambda: at)
    authorization = f"Bearer {forged(memory)}"
    verifier.verify(authorization)

    at += 301

    with pytest.raises(Unauthenticated):
        verifier.verify(authorization)


def test_memory_of_tokens_is_bounded(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.oauth.verifier.REMEMBERED", 3)
    for number in range(5):
        memory.verifier.verify(f"Bearer {forged(memory, jti=str(number))}")

    assert len(memory.verifier._remembered) == 3
    assert REMEMBERED > 1000


async def test_a_revoked_token_stops_within_a_second_and_no_other_does(oauth: OAuth, till: NewClient) -> None:
    given_up, kept = await oauth.token(till), await oauth.token(till)
    for token in (given_up, kept):
        oauth.verifier.verify(f"Bearer {token}")

    response = await oauth.http.post(
        "/oauth/revoke", auth=(till.client.client_id, till.secret or ""), data={"token": given_up}
    )
    await asyncio.sleep(1)

    assert response.status_code == 200
    with pytest.raises(Unauthenticated):
        oauth.verifier.verify(f"Bearer {given_up}")
    oauth.verifier.verify(f"Bearer {kept}")


async def test_a_revoked_client_stops_within_a_second(
    oauth: OAuth, till: NewClient, operator: NewClient, database: Database
) -> None:
    seen, unseen, others = await oauth.token(till), await oauth.token(till), await oauth.token(operator)
    oauth.verifier.verify(f"Bearer {seen}")

    async with database.writer.begin() as connection:
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)
    await asyncio.sleep(1)

    for token in (seen, unseen):
        with pytest.raises(Unauthenticated):
            oauth.verifier.verify(f"Bearer {token}")
    oauth.verifier.verify(f"Bearer {others}")


async def test_revocations_outlive_the_clearing_away_of_dead_ones(
    oauth: OAuth, till: NewClient, database: Database
) -> None:
    token = await oauth.token(till)
    async with database.writer.begin() as connection:
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)

    await oauth.upkeep.clear(now())
    await oauth.upkeep.look(now())

    with pytest.raises(Unauthenticated):
        oauth.verifier.verify(f"Bearer {token}")


async def test_upkeep_goes_on_after_postgresql_was_away(
    oauth: OAuth, till: NewClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await oauth.token(till)
    look, failures = oauth.upkeep.look, iter([OSError("connection refused")])

    async def look_after_a_failure(at: datetime) -> None:
        for failure in failures:
            raise failure
        await look(at)

    monkeypatch.setattr(oauth.upkeep, "look", look_after_a_failure)
    async with database.writer.begin() as connection:
        await revoke_client(connection, till.client.client_id, wall_time=now(), at=now(), by=BY)
    await asyncio.sleep(1.5)

    with pytest.raises(Unauthenticated):
        oauth.verifier.verify(f"Bearer {token}")


def test_a_remembered_token_costs_microseconds(memory: Memory) -> None:
    authorization = f"Bearer {forged(memory)}"
    memory.verifier.verify(authorization)
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(1000):
            memory.verifier.verify(authorization)
        rounds.append((time.perf_counter() - started) / 1000)

    assert min(rounds) < 5e-6


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
