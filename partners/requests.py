"""Idempotency of writes outside the ledger: a principal's key is answered once, with the write itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Generic, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.refusals import IdempotencyConflict

from . import store
from .names import idempotency_key

A = TypeVar("A")

_canonical = msgspec.msgpack.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Answered(Generic[A]):
    """An answer, and whether it is a repeat of one given before."""

    answer: A
    replayed: bool


async def is_answered(connection: AsyncConnection, *, principal: str, key: str) -> bool:
    """Whether the key was answered before, so that `once` would give that answer and do nothing."""
    idempotency_key(key)
    return await store.find_request(connection, principal=principal, key=key) is not None


async def once(
    connection: AsyncConnection,
    act: Callable[[], Awaitable[A]],
    *,
    principal: str,
    key: str,
    request: object,
    answer: type[A],
    at: datetime,
    without_secrets: Callable[[A], A] | None = None,
) -> Answered[A]:
    """Do `act` the first time that `principal` sends `key`; give the stored answer after that.

    `request` is what was asked, in values that msgspec encodes, with the name of the
    operation among them. `answer` is the type of the answer, which msgspec must be able to
    encode and decode. What `without_secrets` returns is stored, so a repeat never shows a
    secret again. A refusal raised by `act` stores nothing. Raises `IdempotencyConflict` when
    the key was used for another request.
    """
    idempotency_key(key)
    digest = sha256(_canonical.encode(request)).digest()
    await store.lock_request(connection, principal=principal, key=key)
    known = await store.find_request(connection, principal=principal, key=key)
    if known is not None:
        if known[0] != digest:
            raise IdempotencyConflict
        return Answered(msgspec.msgpack.decode(known[1], type=answer), replayed=True)
    given = await act()
    kept = without_secrets(given) if without_secrets else given
    encoded = msgspec.msgpack.encode(kept)
    await store.add_request(connection, principal=principal, key=key, digest=digest, answer=encoded, at=at)
    return Answered(given, replayed=False)
