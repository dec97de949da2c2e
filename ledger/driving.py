"""The driver: it takes every transit that is open to its end, whoever began it and wherever they died.

Each leg has one key, made from the transit's id, so a leg that was posted before a crash, or by
another driver at the same time, is answered again and never done again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from .commands import Arrive, Command, Conclude
from .kernel.database import Database
from .outcomes import Outcome
from .transit_store import open_transits
from .transits import Transit

AT_ONCE: Final = 500
"""Transits that are driven together."""

Submit = Callable[[Sequence[Command]], Awaitable[list[Outcome]]]


async def drive_all(database: Database, submit: Submit) -> int:
    """Drive every open transit as far as it can get; the number that came to their end."""
    ended = 0
    after = -1
    while True:
        async with database.writer.connect() as connection:
            page = await open_transits(connection, after=after, limit=AT_ONCE)
        if not page:
            return ended
        ended += await drive(submit, page)
        after = page[-1].id


async def drive(submit: Submit, waiting: Sequence[Transit]) -> int:
    """Post the legs that `waiting` transits lack; the number that came to their end.

    A refusal that may pass, such as a bucket that is read-only, leaves its transit open.
    """
    arrivals = await submit([Arrive.of(transit) for transit in waiting])
    ends = [
        Conclude.of(transit, refusal=_reason(arrival))
        for transit, arrival in zip(waiting, arrivals, strict=True)
        if arrival.refused is None or not arrival.refused.retryable
    ]
    concluded = await submit(ends)
    return sum(outcome.refused is None for outcome in concluded)


def _reason(arrival: Outcome) -> str:
    return "" if arrival.refused is None else arrival.refused.code
