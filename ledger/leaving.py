"""An obligor leaves: its points become another's, wallet by wallet, through the lanes, with bounded batches.

Nothing is remembered here of how far it came. A wallet that was done has nothing left to do, so
whoever begins again finds what is left; it is over when a whole round found nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .commands import Command, Novate
from .kernel.database import Database
from .kernel.ids import MEMBER_BUCKETS
from .outcomes import Outcome
from .tables import lots
from .transit_store import open_transits

AT_ONCE: Final = 500
"""Wallets whose obligor changes in one batch."""

NOVATION: Final = "novation"
"""The principal of novations. Callers' principals have a colon, so it is nobody's."""

Submit = Callable[[Sequence[Command]], Awaitable[list[Outcome]]]


async def hand_over(
    database: Database,
    submit: Submit,
    *,
    leaver: int,
    successor: int,
    round_: str,
    at: datetime,
    most: int,
) -> int:
    """Let `successor` answer for what `leaver` answers for, in about `most` wallets; how many it were.

    0 means that nothing was left in any bucket. `round_` names this call and no other: in it each
    wallet is novated under one key. Earns of the leaver must have stopped, or it has no end.
    """
    done = 0
    for bucket in range(MEMBER_BUCKETS):
        after = -1
        while done < most:
            async with database.writer.connect() as connection:
                page = await wallets_of(connection, bucket, leaver, after=after, limit=AT_ONCE)
            if not page:
                break
            outcomes = await submit(
                [
                    _command(member, leaver, successor, tariff, round_, at)
                    for member, tariffs in page
                    for tariff in tariffs
                ]
            )
            done += len(page)
            after = page[-1][0]
            if any(outcome.refused is not None for outcome in outcomes):
                break  # a bucket that cannot be written now: what is left of it is left to the next round
    return done


async def wallets_of(
    connection: AsyncConnection, bucket: int, obligor: int, *, after: int, limit: int
) -> list[tuple[int, list[int]]]:
    """Members above `after`, ascending, with the tariffs of their lots that `obligor` answers for.

    Walks the primary key of `lots` once for a whole bucket: no index exists for something so rare.
    """
    query = (
        select(lots.c.member, func.array_agg(lots.c.tariff.distinct()))
        .where(lots.c.bucket == bucket, lots.c.member > after, lots.c.obligor == obligor)
        .group_by(lots.c.member)
        .order_by(lots.c.member)
        .limit(limit)
    )
    return [(member, sorted(tariffs)) for member, tariffs in await connection.execute(query)]


async def is_travelling(connection: AsyncConnection, obligor: int) -> bool:
    """Whether points that `obligor` answers for are on their way to some wallet."""
    after = -1
    while page := await open_transits(connection, after=after, limit=AT_ONCE):
        if any(part.obligor == obligor for transit in page for part in transit.parts):
            return True
        after = page[-1].id
    return False


def _command(member: int, leaver: int, successor: int, tariff: int, round_: str, at: datetime) -> Novate:
    key = f"{round_}:{member}:{tariff}"
    return Novate(
        principal=NOVATION,
        key=key,
        digest=sha256(f"{leaver}>{successor}".encode()).digest(),
        member=member,
        occurred_at=at,
        partner=successor,
        leaver=leaver,
        successor=successor,
        tariff=tariff,
    )
