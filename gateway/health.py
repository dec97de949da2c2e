"""Whether this process lives, and whether it should be given work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ledger.kernel.clock import MOST_AHEAD, WallClock
from ledger.kernel.database import Database
from ledger.kernel.poller import Poller

from .migrations.upgrade import pending
from .unable import Unable

STALE_SECONDS: Final = 30.0
"""Pollers look every second; one that fails so long knows neither who is suspended nor what is revoked."""

_SHOWN: Final = select(func.clock_timestamp())


def routes(database: Database, pollers: Sequence[Poller]) -> list[Route]:
    """`/healthz` and `/readyz`."""
    return [Route("/healthz", _healthz), Route("/readyz", _readyz_of(database, pollers))]


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _readyz_of(database: Database, pollers: Sequence[Poller]) -> Callable[[Request], Awaitable[Response]]:
    """Ready means: PostgreSQL answers, has this code's migrations and this machine's time, and was just read.

    The queue is not asked: without it tills go on, and jobs run later.
    """

    async def readyz(_request: Request) -> Response:
        try:
            async with database.writer.connect() as connection:
                missing = await pending(connection)
                shown = (await connection.execute(_SHOWN)).scalar_one()
        except (SQLAlchemyError, OSError):
            return _answer("PostgreSQL does not answer")
        except Unable as reason:
            return _answer(str(reason))
        if missing:
            return _answer(f"migrations are missing: {', '.join(missing)}")
        apart = WallClock().now() - shown
        if abs(apart) > MOST_AHEAD:
            return _answer(
                f"this machine's clock and PostgreSQL's are {abs(apart).total_seconds():.0f} s apart"
            )
        for poller in pollers:
            if poller.age > STALE_SECONDS:
                return _answer(f"{poller.name}: last read {poller.age:.0f} seconds ago")
        return _answer(None)

    return readyz


def _answer(problem: str | None) -> Response:
    body = {"ready": problem is None} | ({"problem": problem} if problem else {})
    return JSONResponse(body, status_code=503 if problem else 200)
