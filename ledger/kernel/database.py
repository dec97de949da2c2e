"""Connections to PostgreSQL: engines for the rooms' SQL, a raw pool for the lanes.

Three roles, three URLs. `owner` runs migrations and nothing else. `writer` may INSERT and
SELECT history and move state. `reader` sees partner data through filtered views only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every room's tables, so that migrations can be compared with them."""


LANE_SETTINGS: Final = {
    # Batches look rows up by key whatever the tables' size; a plan that scans is never right.
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
}


READER_SETTINGS: Final = {
    # A table's name means the view of it that is filtered by partner, where there is one.
    "search_path": "filtered, public",
    "default_transaction_read_only": "on",
}


@dataclass(frozen=True, slots=True)
class Database:
    """What a process holds open: one engine a role, and the lanes' own connections."""

    writer: AsyncEngine
    reader: AsyncEngine
    pool: asyncpg.Pool

    @classmethod
    async def open(
        cls, *, writer_url: str, reader_url: str, lane_connections: int = 4, engine_connections: int = 8
    ) -> Database:
        """Connect as writer and reader. URLs are `postgresql://user:password@host:port/name`."""
        pool = await asyncpg.create_pool(
            plain_url(writer_url),
            min_size=1,
            max_size=lane_connections,
            max_inactive_connection_lifetime=0,
            server_settings=LANE_SETTINGS,
            reset=_keep_as_is,
        )
        return cls(
            # A statement that fails is logged, and what it was given may be a person's.
            writer=create_async_engine(
                _async_url(writer_url), pool_size=engine_connections, max_overflow=0, hide_parameters=True
            ),
            reader=create_async_engine(
                _async_url(reader_url),
                pool_size=engine_connections,
                max_overflow=0,
                hide_parameters=True,
                isolation_level="REPEATABLE READ",
                connect_args={"server_settings": READER_SETTINGS},
            ),
            pool=pool,
        )

    async def close(self) -> None:
        """Give every connection back."""
        await self.pool.close()
        await self.writer.dispose()
        await self.reader.dispose()


async def _keep_as_is(_connection: object) -> None:
    """Lanes leave nothing behind on a connection, so giving it back needs no round trip."""


def plain_url(url: str) -> str:
    """The URL as libpq and asyncpg read it, without a driver name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _async_url(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+asyncpg")
