"""Facts that are not journals: a partner suspended, terms agreed, a period's stage reached."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from . import store
from .store import Event

__all__ = ["Event", "read_events", "record"]


async def record(
    connection: AsyncConnection,
    kind: str,
    *,
    at: datetime,
    partner: int | None = None,
    body: Mapping[str, Any] | None = None,
) -> int:
    """Append a fact and return its height. Heights are gapless and visible in order.

    The log's head stays locked until the transaction ends, so record last. Every process
    sees a new height as a reason to reload its directory.
    """
    return await store.add_event(connection, kind=kind, partner=partner, body=body or {}, at=at)


async def read_events(connection: AsyncConnection, *, after: int, first: int = 100) -> list[Event]:
    """At most `first` facts above a cursor's height, in order: replay and resume without a gap."""
    return await store.events_after(connection, after, first=first)
