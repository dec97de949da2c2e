"""Damage that no role of Kopilka can do: what the proof must find and name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tests.servers import Urls

_GUARDED = (
    "operations",
    "lines",
    "blocks",
    "period_stages",
    "cells",
    "frozen_stock",
    "sheets",
    "sheet_lines",
    "obligations",
    "statements",
    "tariffs",
    "agreements",
    "adjustments",
    "clock",
    "seals",
    "sealed_buckets",
    "seal_keys",
)


async def as_owner_without_triggers(urls: Urls, damage: str) -> None:
    """What only someone with the owner's password, or a disk editor, can do."""
    async with _damaged(urls, damage) as connection:
        await connection.commit()


@asynccontextmanager
async def damaged_for_now(urls: Urls, damage: str) -> AsyncIterator[AsyncConnection]:
    """The same, seen by this connection alone, and undone when the block ends."""
    async with _damaged(urls, damage) as connection:
        yield connection
        await connection.rollback()


@asynccontextmanager
async def _damaged(urls: Urls, damage: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.connect() as connection:
        for table in _GUARDED:
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        result = await connection.execute(text(damage))
        assert result.rowcount > 0, damage
        yield connection
    await engine.dispose()
