"""Whom to tell before points expire: wallets with lots that wait for a notice, bucket by bucket."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import lots


async def unarmed_wallets(
    connection: AsyncConnection, bucket: int, *, until: datetime, after: int, limit: int
) -> list[int]:
    """Members above `after`, ascending, with points in lots that expire by `until` if they are armed.

    Walks the primary key of `lots` through a bucket: it is asked once a month.
    """
    query = (
        select(lots.c.member)
        .where(
            lots.c.bucket == bucket,
            lots.c.member > after,
            lots.c.armed_at.is_(None),
            lots.c.expires_at <= until,
            lots.c.available + lots.c.pending > 0,
        )
        .group_by(lots.c.member)
        .order_by(lots.c.member)
        .limit(limit)
    )
    return list(await connection.scalars(query))
