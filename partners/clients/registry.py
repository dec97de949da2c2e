"""Registering OAuth clients, changing over their secrets and keys, and revoking them; each with its event.

Time comes in as `wall_time`, the machine's, never programme time: tokens and secrets expire
even while the programme's clock stands still in another year. Programme time, `at`, is for the
event alone. What a use case shows once, a secret, it cannot show again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.refusals import InvalidInput, Refusal
from partners.events import record

from . import store
from .client import KINDS, SCOPES_OF_KIND, Client, Kind, Revocation
from .jwks import public_keys
from .secret import LIVE_SECRETS, digest_of, new_secret

TOKEN_LIFETIME: Final = timedelta(minutes=5)
"""How long an access token lives; a revocation must outlive it."""

REVOCATION_LIFETIME: Final = 2 * TOKEN_LIFETIME
"""A request already past authentication may still sign a token; the margin covers it and clock skew."""

CHANGE_OVER: Final = timedelta(hours=24)
"""How long an old secret still works after its successor was made."""

LONGEST_NAME: Final = 200

MOST_OUTLETS: Final = 500
"""Outlets travel in each token, and so in the header of each request."""


class ClientUnknown(Refusal):
    """No such client, or it is revoked."""

    code = "CLIENT_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("no such client", field=("clientId",))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """A client just registered. `secret` is None if it proves itself by its keys."""

    client: Client
    secret: str | None = field(repr=False)


async def create_client(
    connection: AsyncConnection,
    *,
    kind: Kind,
    partner: int | None,
    name: str,
    scopes: Iterable[str],
    outlets: Iterable[int] | None,
    jwks: Mapping[str, Any] | None,
    wall_time: datetime,
    at: datetime,
    created_by: str | None = None,
) -> NewClient:
    """Register a client; without `jwks` it gets a secret, which is never shown again.

    `created_by` is the principal that registers it, None for one that comes with the installation.
    Raises `InvalidInput` if the kind and the partner do not go together, the name is empty or
    too long, a scope is not for this kind, there are too many outlets, or a key is refused.
    The caller has checked that the partner exists and that the outlets are its own.
    """
    if kind not in KINDS or (kind == "partner") != (partner is not None):
        raise InvalidInput("a partner's client names its partner, any other names none", field=("partner",))
    if not 1 <= len(name.strip()) <= LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"a name has 1 to {LONGEST_NAME} printable characters", field=("name",))
    if jwks is not None:
        public_keys(jwks)
    client = Client(
        client_id=f"{kind}-{secrets.token_hex(8)}",
        kind=kind,
        partner=partner,
        name=name.strip(),
        scopes=_allowed(scopes, kind),
        outlets=_within_partner(outlets, kind),
        jwks=jwks,
        created_at=wall_time,
        revoked_at=None,
    )
    await connection.run_sync(lambda sync: store.insert_client(sync, client, created_by=created_by))
    secret = None if jwks is not None else await _give_secret(connection, client.client_id, wall_time)
    granted = {"name": client.name, "scopes": sorted(client.scopes)}
    await _record(connection, "client.created", client, at=at, by=created_by, more=granted)
    return NewClient(client=client, secret=secret)


async def rotate_secret(
    connection: AsyncConnection, client_id: str, *, wall_time: datetime, at: datetime, by: str
) -> str:
    """A new secret for the client; the one before it works for another 24 hours, older ones no more.

    Raises `ClientUnknown`.
    """
    client = await _locked(connection, client_id)
    live = await connection.run_sync(store.live_secrets, client_id, wall_time)
    kept = LIVE_SECRETS - 1
    await connection.run_sync(store.end_secrets, live[:-kept], wall_time)
    await connection.run_sync(store.end_secrets, live[-kept:], wall_time + CHANGE_OVER)
    secret = await _give_secret(connection, client_id, wall_time)
    await _record(connection, "client.secret_rotated", client, at=at, by=by)
    return secret


async def register_jwks(
    connection: AsyncConnection,
    client_id: str,
    jwks: Mapping[str, Any],
    *,
    wall_time: datetime,
    at: datetime,
    by: str,
) -> Client:
    """Replace the client's public keys; its secrets, if any, work for another 24 hours.

    Raises `ClientUnknown`, or `InvalidInput` for a key that is refused.
    """
    await _locked(connection, client_id)
    public_keys(jwks)
    await connection.run_sync(store.set_jwks, client_id, jwks)
    live = await connection.run_sync(store.live_secrets, client_id, wall_time)
    await connection.run_sync(store.end_secrets, live, wall_time + CHANGE_OVER)
    changed = await _locked(connection, client_id)
    await _record(connection, "client.keys_replaced", changed, at=at, by=by)
    return changed


async def revoke_client(
    connection: AsyncConnection, client_id: str, *, wall_time: datetime, at: datetime, by: str
) -> None:
    """End the client for good: it gets no more tokens, and those it has stop within a second.

    Raises `ClientUnknown` if there is no such client; revoking it again changes nothing.
    """
    client = await find_client(connection, client_id)
    if client.revoked_at is not None:
        return
    await _locked(connection, client_id)
    revocation = Revocation(client_id=client_id, jti=None, expires_at=wall_time + REVOCATION_LIFETIME)
    await connection.run_sync(store.set_revoked, client_id, wall_time)
    await connection.run_sync(store.insert_revocation, revocation, wall_time)
    await _record(connection, "client.revoked", client, at=at, by=by)


async def find_client(connection: AsyncConnection, client_id: str) -> Client:
    """The client, revoked or not. Raises `ClientUnknown`."""
    client = await connection.run_sync(store.find_client, client_id)
    if client is None:
        raise ClientUnknown
    return client


async def creators_of(connection: AsyncConnection, principal: str) -> list[str]:
    """Who registered the client behind `principal`, who registered that one, and so on; nearest first."""
    creators: list[str] = []
    above = await _creator_of(connection, principal)
    while above is not None and above not in creators:
        creators.append(above)
        above = await _creator_of(connection, above)
    return creators


async def _creator_of(connection: AsyncConnection, principal: str) -> str | None:
    """The same of one; a principal of staff is a word, a colon and the client's id."""
    return await connection.run_sync(store.creator_of, principal.rpartition(":")[2])


async def clients_of(connection: AsyncConnection, partner: int | None) -> list[Client]:
    """A partner's clients by id, revoked ones included; for None those of operator, finance and app."""
    return await connection.run_sync(store.clients_of, partner)


async def _record(
    connection: AsyncConnection,
    kind: str,
    client: Client,
    *,
    at: datetime,
    by: str | None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Never a secret, nor its digest: whoever reads the log needs to know that there was one."""
    body = {"client": client.client_id, **(more or {}), "by": by}
    await record(connection, kind, partner=client.partner, at=at, body=body)


async def _locked(connection: AsyncConnection, client_id: str) -> Client:
    client = await connection.run_sync(store.lock_client, client_id)
    if client is None:
        raise ClientUnknown
    return client


async def _give_secret(connection: AsyncConnection, client_id: str, wall_time: datetime) -> str:
    secret = new_secret()
    await connection.run_sync(store.insert_secret, client_id, digest_of(secret), wall_time)
    return secret


def _allowed(scopes: Iterable[str], kind: Kind) -> frozenset[str]:
    asked = frozenset(scopes)
    refused = sorted(asked - SCOPES_OF_KIND[kind])
    if refused:
        raise InvalidInput(f"not for a client of kind {kind}: {', '.join(refused)}", field=("scopes",))
    if not asked:
        raise InvalidInput("a client has at least one scope", field=("scopes",))
    return asked


def _within_partner(outlets: Iterable[int] | None, kind: Kind) -> frozenset[int] | None:
    if outlets is None:
        return None
    if kind != "partner":
        raise InvalidInput("only a partner's client is bound to outlets", field=("outlets",))
    bound = frozenset(outlets)
    if not 1 <= len(bound) <= MOST_OUTLETS:
        raise InvalidInput(
            f"a client is bound to 1 to {MOST_OUTLETS} outlets, or to none", field=("outlets",)
        )
    return bound
