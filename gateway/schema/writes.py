"""Writes of the operator: once for their key, in one transaction, and then seen by this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.context import Context
from partners import Answered, once

REPLAYED: Final = "True when the idempotency key was answered before; this is that answer."
ERRORS: Final = "Why it was refused; empty when it was not."

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Write:
    """A write of the operator: idempotent, in one transaction, and then seen by this process."""

    context: Context
    name: str
    key: str
    request: object

    async def do(
        self,
        act: Callable[[AsyncConnection, datetime], Awaitable[A]],
        answer: type[A],
        *,
        without_secrets: Callable[[A], A] | None = None,
    ) -> Answered[A]:
        """Do `act` once for its key."""
        context, at = self.context, self.context.now
        async with context.services.database.writer.begin() as connection:
            answered = await once(
                connection,
                lambda: act(connection, at),
                principal=context.known_caller.principal,
                key=self.key,
                request=(self.name, self.request),
                answer=answer,
                at=at,
                without_secrets=without_secrets,
            )
        await context.services.directories.reload()
        return answered
