"""Connections to PostgreSQL: engines for the rooms' SQL, wires for the lanes.

Three roles, three URLs. `owner` runs migrations and nothing else. `writer` may INSERT and
SELECT history and move state. `reader` sees partner data through filtered views only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg
from sqlalchemy import MetaData, NullPool, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from .wire import ServerRefused, Wire

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


LONGEST_SILENCE: Final = "30s"
"""Whoever holds heads and freezes in mid-batch must not keep their buckets from everybody else."""

_WATCH: Final = {
    # When the server gives up whoever vanished without a word, and with them the locks they held.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
}

LANE_SETTINGS: Final = {
    # Batches look rows up by key whatever the tables' size; a plan that scans is never right.
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_memoize": "off",
    "jit": "off",
    "idle_in_transaction_session_timeout": LONGEST_SILENCE,
    # Whoever waits for a head is answered when it is free, whatever the database or the role is set to.
    "lock_timeout": "0",
    "statement_timeout": "0",
    **_WATCH,
}


LANE_ENGINE_CONNECTIONS: Final = 2
"""Lanes seldom ask anything beside their batches: for the calendar, and for what buckets have not used."""


READER_SETTINGS: Final = {
    # A table's name means the view of it that is filtered by partner, where there is one.
    "search_path": "filtered, public",
    "default_transaction_read_only": "on",
    **_WATCH,
}


@dataclass(frozen=True, slots=True)
class Database:
    """What a process holds open: one engine a role; lanes open wires of their own.

    And they have an engine of their own, `lanes`, also as writer: whoever waits for a lane may hold
    a connection of `writer` meanwhile, so a lane that needed one could wait for whoever waits for it.
    """

    writer: AsyncEngine
    reader: AsyncEngine
    lanes: AsyncEngine
    lane_url: str

    @classmethod
    async def open(cls, *, writer_url: str, reader_url: str, engine_connections: int = 8) -> Database:
        """Connect as writer and reader. URLs are `postgresql://user:password@host:port/name`."""
        return cls(
            writer=_writing(writer_url, engine_connections),
            reader=create_async_engine(
                _async_url(reader_url),
                pool_size=engine_connections,
                max_overflow=0,
                hide_parameters=True,
                isolation_level="REPEATABLE READ",
                connect_args={"server_settings": READER_SETTINGS},
            ),
            lanes=_writing(writer_url, LANE_ENGINE_CONNECTIONS),
            lane_url=plain_url(writer_url),
        )

    async def open_wire(self) -> Wire:
        """A connection of a lane's own, as writer."""
        return await Wire.open(self.lane_url, LANE_SETTINGS)

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[AsyncConnection]:
        """A connection as writer that is of no pool, for who holds one while others are taken.

        Out of a pool, as many of those as it has connections would each wait for the next.
        """
        engine = create_async_engine(
            _async_url(self.lane_url),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"server_settings": _WATCH},
        )
        async with engine.connect() as connection:
            yield connection

    async def close(self) -> None:
        """Give every connection back."""
        await self.writer.dispose()
        await self.reader.dispose()
        await self.lanes.dispose()


def _writing(url: str, connections: int) -> AsyncEngine:
    """An engine as writer: a server gives it up when it has vanished, and it leaves one that is a standby."""
    engine = create_async_engine(
        _async_url(url),
        pool_size=connections,
        max_overflow=0,
        # A statement that fails is logged, and what it was given may be a person's.
        hide_parameters=True,
        connect_args={"server_settings": _WATCH},
    )
    event.listen(engine.sync_engine, "handle_error", _leave_a_standby)
    return engine


_READ_ONLY: Final = "25006"
"""What a standby says to who would write, and it goes on saying so: another may be the primary by now."""

_SERVER_LOST: Final = (
    OSError,  # `WireLost` is one
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    PoolTimeout,
)


def is_server_lost(error: BaseException) -> bool:
    """Whether this is what is said by a server that is gone, going, not back yet, or a standby."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        # SQLAlchemy's driver wraps what asyncpg said.
        return error.connection_invalidated or isinstance(error.orig.__cause__, _SERVER_LOST)
    if isinstance(error, ServerRefused):
        return error.code == _READ_ONLY
    return isinstance(error, _SERVER_LOST)


def is_lock_timeout(error: DBAPIError) -> bool:
    """Whether a lock was waited for longer than `lock_timeout`, in whatever language the server says so."""
    return getattr(error.orig, "sqlstate", None) == "55P03"


def is_over_data(error: Exception) -> bool:
    """Whether this may come of the rows that were read, and not of the server or what it has at hand."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    if state is not None:
        # Values that do not fit where they are put, or pages that are no rows any more.
        return state.startswith("22") or state in {"XX001", "XX002"}
    return not (is_server_lost(error) or isinstance(error, MemoryError))


def _leave_a_standby(context: ExceptionContext) -> None:
    """Let the engine connect anew where it may not write: it looks the address up again."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def plain_url(url: str) -> str:
    """The URL as libpq and asyncpg read it, without a driver name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _async_url(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+asyncpg")
