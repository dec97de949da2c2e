"""Whether a PostgreSQL answers, lets its role in, and is new enough."""

from __future__ import annotations

from typing import Final

import asyncpg
from sqlalchemy.engine import make_url

from ledger.kernel.database import plain_url

from .unable import Unable

OLDEST: Final = 15
"""The oldest major version of PostgreSQL that is supported."""

_TIMEOUT_SECONDS: Final = 10


async def reach(url: str) -> str:
    """The version of the server at `url`. Raises `Unable`, which repeats no password."""
    parts = make_url(url)
    place = f"PostgreSQL at {parts.host}:{parts.port or 5432}"
    try:
        connection = await asyncpg.connect(plain_url(url), timeout=_TIMEOUT_SECONDS)
    except TimeoutError:
        raise Unable(f"{place} does not answer within {_TIMEOUT_SECONDS} s.") from None
    except OSError as error:
        raise Unable(f"{place} does not answer: {error.strerror or error}.") from None
    except asyncpg.TargetServerAttributeNotMatched:
        raise Unable(f"{place} is a standby, and its URL asks for a primary.") from None
    except asyncpg.PostgresError as error:
        raise Unable(f"{place} does not let {parts.username} in: {error}.") from None
    try:
        version = str(await connection.fetchval("SHOW server_version"))
        major = connection.get_server_version().major
    finally:
        await connection.close()
    if major < OLDEST:
        raise Unable(f"{place} is version {version}; Kopilka needs {OLDEST} or newer.")
    return version
