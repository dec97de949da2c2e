"""The chain of migrations: it ends where the tables are, and it guards what it makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, Connection, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from gateway.migrations.tables import is_ours, metadata
from gateway.migrations.upgrade import Installation, migrate, newest, pending
from gateway.unable import Unable
from ledger.kernel.database import Database
from ledger.kernel.tables import clock
from tests import servers
from tests.servers import Running, Urls


async def test_migrations_make_exactly_the_tables(urls: Urls) -> None:
    engine = create_async_engine(_async(urls.owner), poolclass=NullPool)

    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)

    assert differences == []


async def test_migrations_make_exactly_the_checks(urls: Urls) -> None:
    """Alembic compares no CHECK and no EXCLUDE."""
    engine = create_async_engine(_async(urls.owner), poolclass=NullPool)
    asked = text(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint "
        "WHERE contype IN ('c', 'x') AND convalidated AND conparentid = 0 AND coninhcount = 0"
    )

    async with engine.connect() as connection:
        made = {(table, name) for table, name in await connection.execute(asked) if table in metadata.tables}

    declared = {
        (table.name, constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint | ExcludeConstraint)
    }
    assert made == declared


async def test_migrating_twice_changes_nothing(urls: Urls) -> None:
    version = await migrate(owner_url=urls.owner, writer_url=urls.writer, reader_url=urls.reader)

    assert version == newest()


async def test_migrating_closes_a_database_that_came_out_of_a_dump(urls: Urls) -> None:
    """Restored into a new database, it is open to everybody, as any new one is."""
    owner = await asyncpg.connect(urls.owner)
    await owner.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {urls.name} TO PUBLIC")
    for role in ("kopilka_writer", "kopilka_reader"):
        await owner.execute(f"REVOKE CONNECT ON DATABASE {urls.name} FROM {role}")

    await migrate(owner_url=urls.owner, writer_url=urls.writer, reader_url=urls.reader)

    rights = await owner.fetch(
        "SELECT coalesce(rolname, 'PUBLIC'), privilege_type FROM pg_database, aclexplode(datacl) "
        "LEFT JOIN pg_roles ON pg_roles.oid = grantee WHERE datname = $1 AND grantee <> grantor",
        urls.name,
    )
    assert set(map(tuple, rights)) == {("kopilka_writer", "CONNECT"), ("kopilka_reader", "CONNECT")}
    await owner.close()


async def test_a_migrated_database_has_nothing_pending(database: Database) -> None:
    async with database.writer.connect() as connection:
        assert await pending(connection) == []


async def test_a_newer_database_is_refused_in_one_sentence(urls: Urls) -> None:
    engine = create_async_engine(_async(urls.owner), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Unable, match=r"newer Kopilka \(version 9999; .*\): update\.$"):
        await migrate(owner_url=urls.owner, writer_url=urls.writer, reader_url=urls.reader)


async def test_an_installation_keeps_its_kind_of_clock(urls: Urls) -> None:
    wall = Installation(is_driven=False, starts_at=datetime.now(UTC))

    with pytest.raises(Unable, match="driven clock, and keeps it"):
        await migrate(owner_url=urls.owner, writer_url=urls.writer, reader_url=urls.reader, installation=wall)


async def test_a_new_database_follows_the_wall_clock_unless_told(run: Running) -> None:
    urls = await servers.empty_database()

    await migrate(owner_url=urls.owner, writer_url=urls.writer, reader_url=urls.reader)

    engine = create_async_engine(_async(urls.reader), poolclass=NullPool)
    async with engine.connect() as connection:
        assert await connection.scalar(select(clock.c.is_driven)) is False
    await servers.drop_database(urls)


async def test_a_database_that_cannot_write_every_name_is_refused_in_one_sentence(run: Running) -> None:
    urls = await servers.empty_database(
        "ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    )

    with pytest.raises(Unable, match=r"encoded in LATIN1, .* ENCODING 'UTF8' TEMPLATE template0\.$"):
        await migrate(owner_url=urls.owner, writer_url=urls.writer, reader_url=urls.reader)

    await servers.drop_database(urls)


async def test_the_writer_moves_programme_time_forward_only(database: Database) -> None:
    hour = timedelta(hours=1)

    async with database.writer.begin() as connection:
        await connection.execute(update(clock).values(now=clock.c.now + hour))

    with pytest.raises(DBAPIError, match="programme time never goes back"):
        async with database.writer.begin() as connection:
            await connection.execute(update(clock).values(now=clock.c.now - hour))


@pytest.mark.parametrize(
    "statement",
    [
        update(clock).values(is_driven=False),
        insert(clock).values(id=2, is_driven=True, now=func.now()),
        text("DELETE FROM clock"),
        text("TRUNCATE clock"),
        text("CREATE TABLE mine (id int)"),
        text("CREATE TEMPORARY TABLE mine (id int)"),
    ],
    ids=str,
)
async def test_the_writer_may_do_nothing_else_to_the_clock(database: Database, statement: object) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.writer.begin() as connection:
            await connection.execute(statement)  # type: ignore[call-overload]  # any executable


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"include_name": is_ours, "compare_type": True})
    return list(compare_metadata(context, metadata))


def _async(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)
