"""SQL of OAuth clients.

Functions take a synchronous `Connection`: the authorization server's core is synchronous and
runs inside `AsyncConnection.run_sync`, and so do the use cases, through the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update

from .client import Client, Credentials, Revocation
from .secret import LIVE_SECRETS
from .tables import client_secrets, clients, revocations

MOST_REVOCATIONS: Final = 1_000
"""Tokens that a client may have given up while they could still be alive, give or take those of one moment.

Every process reads all of them twice a second. That may be six minutes, so it is nearly three a second.
"""

_SHOWN: Final = tuple(column for column in clients.c if column.name != "created_by")
"""What a client is to everybody; who registered it is the operator's affair, and not in a partner's view."""


def insert_client(connection: Connection, client: Client, *, created_by: str | None) -> None:
    """Write a new client."""
    connection.execute(
        insert(clients).values(
            client_id=client.client_id,
            kind=client.kind,
            partner=client.partner,
            name=client.name,
            scopes=sorted(client.scopes),
            outlets=None if client.outlets is None else sorted(client.outlets),
            jwks=client.jwks,
            created_at=client.created_at,
            created_by=created_by,
        )
    )


def insert_secret(connection: Connection, client_id: str, digest: bytes, at: datetime) -> None:
    """Write a secret that lives until it is rotated."""
    connection.execute(
        insert(client_secrets).values(client_id=client_id, digest=digest, created_at=at, expires_at=None)
    )


def lock_client(connection: Connection, client_id: str) -> Client | None:
    """The client that is not revoked, locked against other changes of it, or None."""
    row = connection.execute(
        select(*_SHOWN)
        .where(clients.c.client_id == client_id, clients.c.revoked_at.is_(None))
        .with_for_update()
    ).one_or_none()
    return None if row is None else _client(row)


def find_client(connection: Connection, client_id: str) -> Client | None:
    """The client, revoked or not, or None."""
    row = connection.execute(select(*_SHOWN).where(clients.c.client_id == client_id)).one_or_none()
    return None if row is None else _client(row)


def clients_of(connection: Connection, partner: int | None) -> list[Client]:
    """A partner's clients by id, or those of the operator's side for None."""
    rows = connection.execute(
        select(*_SHOWN).where(clients.c.partner == partner).order_by(clients.c.client_id)
    )
    return [_client(row) for row in rows]


def creator_of(connection: Connection, client_id: str) -> str | None:
    """The principal that registered the client; None if there is no such client, or nobody knows."""
    return connection.scalar(select(clients.c.created_by).where(clients.c.client_id == client_id))


def credentials_of(connection: Connection, client_id: str, at: datetime) -> Credentials | None:
    """What a client that is not revoked may authenticate with at `at`, in one question; None if unknown."""
    live = and_(
        client_secrets.c.client_id == clients.c.client_id,
        or_(client_secrets.c.expires_at.is_(None), client_secrets.c.expires_at > at),
    )
    rows = connection.execute(
        select(*_SHOWN)
        .add_columns(client_secrets.c.digest)
        .select_from(clients.outerjoin(client_secrets, live))
        .where(clients.c.client_id == client_id, clients.c.revoked_at.is_(None))
        .order_by(client_secrets.c.id.desc())
        .limit(LIVE_SECRETS)
    ).all()
    if not rows:
        return None
    digests = tuple(row.digest for row in rows if row.digest is not None)
    return Credentials(client=_client(rows[0]), secret_digests=digests)


def live_secrets(connection: Connection, client_id: str, at: datetime) -> Sequence[int]:
    """Ids of the client's secrets that live at `at`, oldest first."""
    return connection.scalars(
        select(client_secrets.c.id)
        .where(
            client_secrets.c.client_id == client_id,
            or_(client_secrets.c.expires_at.is_(None), client_secrets.c.expires_at > at),
        )
        .order_by(client_secrets.c.id)
    ).all()


def end_secrets(connection: Connection, ids: Sequence[int], at: datetime) -> None:
    """Let these secrets expire at `at`, or earlier where that was already decided."""
    ends = func.least(func.coalesce(client_secrets.c.expires_at, at), at)
    connection.execute(update(client_secrets).where(client_secrets.c.id.in_(ids)).values(expires_at=ends))


def set_jwks(connection: Connection, client_id: str, jwks: Mapping[str, Any]) -> None:
    """Replace the client's public keys."""
    connection.execute(update(clients).where(clients.c.client_id == client_id).values(jwks=jwks))


def set_revoked(connection: Connection, client_id: str, at: datetime) -> None:
    """Mark the client as revoked."""
    connection.execute(update(clients).where(clients.c.client_id == client_id).values(revoked_at=at))


def insert_revocation(connection: Connection, revocation: Revocation, at: datetime) -> None:
    """Write a revocation, for every process to see."""
    connection.execute(
        insert(revocations).values(
            client_id=revocation.client_id,
            jti=revocation.jti,
            revoked_at=at,
            expires_at=revocation.expires_at,
        )
    )


def full_until(connection: Connection, client_id: str, at: datetime) -> datetime | None:
    """When a client that has given up all the tokens it may can give up another; None if it can at `at`."""
    own = select(revocations.c.expires_at).where(
        revocations.c.expires_at > at, revocations.c.client_id == client_id, revocations.c.jti.is_not(None)
    )
    last = own.order_by(revocations.c.expires_at.desc()).offset(MOST_REVOCATIONS - 1).limit(1)
    return connection.scalar(last)


def live_revocations(connection: Connection, at: datetime) -> list[Revocation]:
    """Every revocation whose tokens could still be alive at `at`; relies on ix_revocations_expires_at."""
    rows = connection.execute(
        select(revocations.c.client_id, revocations.c.jti, revocations.c.expires_at).where(
            revocations.c.expires_at > at
        )
    )
    return [Revocation(client_id=row.client_id, jti=row.jti, expires_at=row.expires_at) for row in rows]


def is_revoked(connection: Connection, client_id: str, jti: str, at: datetime) -> bool:
    """Whether this token, or its client, was revoked; `at` leaves out what has run out anyway."""
    return (
        connection.scalar(
            select(revocations.c.id)
            .where(
                revocations.c.expires_at > at,
                revocations.c.client_id == client_id,
                or_(revocations.c.jti == jti, revocations.c.jti.is_(None)),
            )
            .limit(1)
        )
        is not None
    )


def forget_revocations(connection: Connection, at: datetime) -> None:
    """Drop revocations whose tokens have all expired by `at`."""
    connection.execute(delete(revocations).where(revocations.c.expires_at <= at))


def _client(row: Row[Any]) -> Client:
    return Client(
        client_id=row.client_id,
        kind=row.kind,
        partner=row.partner,
        name=row.name,
        scopes=frozenset(row.scopes),
        outlets=None if row.outlets is None else frozenset(row.outlets),
        jwks=row.jwks,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
