"""SQL of signing keys and of used assertions; synchronous, to run inside `run_sync`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from .tables import assertion_ids, signing_keys

_ROTATION: Final = 0x6B657973
"""«keys» in hexadecimal: the advisory lock of whoever changes the signing keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A signing key as stored: `sealed` is its private part, encrypted."""

    kid: str
    sealed: bytes
    not_before: datetime
    retired_at: datetime | None


def lock_keys(connection: Connection) -> None:
    """Let no other transaction change the signing keys before this one ends."""
    connection.execute(select(func.pg_advisory_xact_lock(_ROTATION)))


def all_keys(connection: Connection) -> list[StoredKey]:
    """Every signing key not yet dropped, in the order in which they sign."""
    rows = connection.execute(select(signing_keys).order_by(signing_keys.c.not_before))
    return [
        StoredKey(kid=row.kid, sealed=row.sealed, not_before=row.not_before, retired_at=row.retired_at)
        for row in rows
    ]


def insert_key(connection: Connection, key: StoredKey) -> None:
    """Publish a key."""
    connection.execute(
        insert(signing_keys).values(
            kid=key.kid, sealed=key.sealed, not_before=key.not_before, retired_at=key.retired_at
        )
    )


def retire_keys(connection: Connection, *, except_kid: str, at: datetime) -> None:
    """Let every key but one stop signing at `at`, unless it stops before."""
    connection.execute(
        update(signing_keys)
        .where(signing_keys.c.kid != except_kid, signing_keys.c.retired_at.is_(None))
        .values(retired_at=at)
    )


def drop_keys(connection: Connection, *, retired_before: datetime) -> None:
    """Destroy keys that stopped signing before this instant."""
    connection.execute(delete(signing_keys).where(signing_keys.c.retired_at < retired_before))


def use_assertion(connection: Connection, client_id: str, jti: str, expires_at: datetime) -> bool:
    """Note that an assertion was used; False if it was used before. Two at once: one of them waits."""
    first = connection.scalar(
        insert(assertion_ids)
        .values(client_id=client_id, jti=jti, expires_at=expires_at)
        .on_conflict_do_nothing()
        .returning(assertion_ids.c.jti)
    )
    return first is not None


def forget_assertions(connection: Connection, at: datetime) -> None:
    """Drop assertions that have expired by `at` and so cannot be presented again."""
    connection.execute(delete(assertion_ids).where(assertion_ids.c.expires_at <= at))
