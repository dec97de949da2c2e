"""Bringing a database to the version of this code, and saying which version it has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from gateway.reach import reach
from gateway.unable import Unable
from ledger.kernel.database import is_lock_timeout
from ledger.kernel.tables import clock

from .roles import Roles, quoted

_LOCK: Final = 0x6B6F70696C6B61
"""«kopilka» in hexadecimal: the advisory lock that one migration holds at a time."""

_LOCK_TIMEOUT: Final = "10s"
"""How long a migration waits for a table in use before it gives up rather than hold up the tills."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is decided once, when a database is first migrated: whose clock points follow."""

    is_driven: bool
    starts_at: datetime


async def migrate(
    *, owner_url: str, writer_url: str, reader_url: str, installation: Installation | None = None
) -> str:
    """Upgrade the database at `owner_url` and return its version. Safe to run twice, and at once.

    A new database takes its clock from `installation`, wall clock when None; an old one refuses
    another kind. Raises `Unable` when the database is newer, not in UTF8, too old a server, or busy.
    """
    owner = make_url(owner_url)
    roles = Roles(owner=_user(owner_url), writer=_user(writer_url), reader=_user(reader_url))
    for url in (owner_url, writer_url, reader_url):
        await reach(url)
    engine = create_async_engine(owner.set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
            await connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
            await connection.commit()
            await _check_encoding(connection)
            await _close_to_public(connection, roles)
            version = await connection.run_sync(_upgrade, roles)
            await _install_clock(connection, installation)
            await connection.commit()
            return version
    except DBAPIError as error:
        if is_lock_timeout(error):
            raise Unable(
                "The database is busy: a table stayed locked for 10 s; migrate again later."
            ) from None
        raise
    finally:
        await engine.dispose()


async def pending(connection: AsyncConnection) -> list[str]:
    """The versions that `connection`'s database still lacks, oldest first; `Unable` if it is newer."""
    return await connection.run_sync(_pending)


def newest() -> str:
    """The version this code needs."""
    head = _scripts().get_current_head()
    assert head is not None
    return head


async def _check_encoding(connection: AsyncConnection) -> None:
    encoding = await connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise Unable(
            f"The database is encoded in {encoding}, in which not every name and receipt can be written: "
            "make one with ENCODING 'UTF8' TEMPLATE template0."
        )


async def _close_to_public(connection: AsyncConnection, roles: Roles) -> None:
    """Let the roles into the database and nobody else: rights on a database are in no dump of it."""
    database = quoted(str(await connection.scalar(text("SELECT current_database()"))))
    await connection.execute(text(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"))
    for role in (roles.writer, roles.reader):
        await connection.execute(text(f"GRANT CONNECT ON DATABASE {database} TO {quoted(role)}"))


def _upgrade(connection: Connection, roles: Roles) -> str:
    if not _pending(connection):
        return newest()
    config = _config()
    config.attributes.update(connection=connection, roles=roles)
    connection.commit()
    command.upgrade(config, "head")
    return newest()


def _pending(connection: Connection) -> list[str]:
    current = MigrationContext.configure(connection).get_current_revision()
    chain = [script.revision for script in _scripts().walk_revisions()][::-1]
    if current is None:
        return chain
    if current not in chain:
        raise Unable(
            f"The database is of a newer Kopilka (version {current}; this one knows {chain[-1]}): update."
        )
    return chain[chain.index(current) + 1 :]


async def _install_clock(connection: AsyncConnection, installation: Installation | None) -> None:
    found = (await connection.execute(select(clock.c.is_driven))).one_or_none()
    if found is None:
        wanted = installation or Installation(is_driven=False, starts_at=datetime.now(UTC))
        row = {"id": 1, "is_driven": wanted.is_driven, "now": wanted.starts_at}
        await connection.execute(insert(clock).values(row))
    elif installation is not None and found.is_driven != installation.is_driven:
        kind = "driven" if found.is_driven else "wall"
        raise Unable(
            f"This installation was made with a {kind} clock, and keeps it: name another data folder."
        )


def _user(url: str) -> str:
    user = make_url(url).username
    if not user:
        raise Unable("A database URL names no user: postgresql://user:password@host:port/name.")
    return user


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
