"""Damage that no role of Kopilka can do: what the proof must find and name."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.servers import Urls

_GUARDED = ("operations", "lines", "blocks", "period_stages", "cells", "frozen_stock", "sheet_lines")


async def as_owner_without_triggers(urls: Urls, damage: str) -> None:
    """What only someone with the owner's password, or a disk editor, can do."""
    engine = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        for table in _GUARDED:
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        result = await connection.execute(text(damage))
        assert result.rowcount > 0
    await engine.dispose()
