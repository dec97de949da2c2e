"""Erasure: a member's key is destroyed, and with it everything personal that was sealed under it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from . import store
from .identifiers import MemberNotFound


async def forget(connection: AsyncConnection, member: int, *, at: datetime) -> None:
    """Erase the person, keep the points' history: the id stays, nobody can be found by it.

    Closes the member's cards. The same phone may enrol again and is then a new member. Raises
    `MemberNotFound` if there is none, or none any more. Call `Tokens.forget` after the commit.
    """
    if not await store.forget(connection, member, at=at):
        raise MemberNotFound
