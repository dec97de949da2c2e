"""What the writer and the reader may not do, PostgreSQL itself refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import date

import asyncpg
import pytest
from sqlalchemy import text

from ledger import Ledger
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from tests.ledger import proving
from tests.ledger.builders import MEMBER, START, an_authorization, an_earn
from tests.ledger.instances import extend_calendar
from tests.servers import Urls

HISTORY = ("operations", "lines", "blocks")
MADE_LATER = "202603"
REFUSED = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def lived_in(database: Database) -> Database:
    """A database with history of January and partitions made later, for March."""
    await extend_calendar(database)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    await ledger.submit(an_earn(100))
    await ledger.submit(an_authorization(10))
    await ledger.drain()
    async with database.writer.begin() as connection:
        await connection.execute(text("SELECT make_partitions('2026-03-15')"))
    return database


@pytest.fixture
async def writer(lived_in: Database, urls: Urls) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(urls.writer)
    yield connection
    await connection.close()


@pytest.fixture
async def reader(lived_in: Database, urls: Urls) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(urls.reader)
    yield connection
    await connection.close()


def _history() -> list[str]:
    months = ("", "_202601", f"_{MADE_LATER}")
    return [f"{table}{month}" for table in HISTORY for month in months]


CHANGES = (
    "UPDATE {table} SET bucket = bucket",
    "UPDATE {table} SET recorded_at = now() WHERE false",
    "DELETE FROM {table}",
    "DELETE FROM {table} WHERE false",
    "TRUNCATE {table}",
    "TRUNCATE {table} CASCADE",
    "DROP TABLE {table}",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} DISABLE TRIGGER never_truncated",
    "ALTER TABLE {table} ADD COLUMN mine INTEGER",
    "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "ALTER TABLE {table} RENAME TO other",
    "DROP TRIGGER never_truncated ON {table}",
    "CREATE TRIGGER mine BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE RULE mine AS ON INSERT TO {table} DO INSTEAD NOTHING",
    "CREATE INDEX ON {table} (bucket)",
    "COPY {table} FROM PROGRAM 'true'",
    "COPY {table} TO '/tmp/out'",
    "SELECT 1 FROM {table} FOR UPDATE",
    "DO 'BEGIN LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; END'",
    "MERGE INTO {table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
)  # fmt: skip


async def test_the_writer_cannot_change_history(lived_in: Database, writer: asyncpg.Connection) -> None:
    before = await _contents(lived_in)

    statements = [change.format(table=table) for change in CHANGES for table in _history()]

    assert await _not_refused(writer, statements) == []
    assert await _contents(lived_in) == before


async def test_the_writer_cannot_pass_on_rights_it_does_not_have(writer: asyncpg.Connection) -> None:
    for table in _history():
        with suppress(REFUSED):  # where the writer has some right, PostgreSQL only warns
            await writer.execute(f"GRANT ALL ON {table} TO CURRENT_USER")

    assert await _not_refused(writer, [f"DELETE FROM {table}" for table in _history()]) == []


BEYOND = (
    "ALTER TABLE operations DETACH PARTITION operations_202601",
    "CREATE TABLE mine PARTITION OF operations FOR VALUES FROM ('2040-01-01') TO ('2040-02-01')",
    "INSERT INTO operations_202601 SELECT * FROM operations",
    "INSERT INTO keys SELECT * FROM keys ON CONFLICT (bucket, key) DO UPDATE SET operation = 1",
    "UPDATE keys SET operation = 1",
    "DELETE FROM keys",
    "TRUNCATE keys",
    "UPDATE seals SET root = ''",
    "DELETE FROM seals",
    "TRUNCATE seals CASCADE",
    "UPDATE sealed_buckets SET root = ''",
    "DELETE FROM sealed_buckets",
    "UPDATE seal_keys SET public = ''",
    "DELETE FROM seal_keys",
    "TRUNCATE seal_keys CASCADE",
    "UPDATE findings SET what = ''",
    "DELETE FROM findings",
    "INSERT INTO archives VALUES ('2026-01-01', now(), 'me', 0, 0, 0, '')",
    "UPDATE archives SET operations = 0",
    "DELETE FROM archives",
    "CREATE OR REPLACE VIEW whole.blocks AS SELECT * FROM blocks WHERE false",
    "DROP VIEW archived_lines CASCADE",
    "CREATE TABLE archive.operations_202601 (id INTEGER)",
    "ALTER TABLE operations_202601 SET SCHEMA archive",
    "ALTER TABLE heads DISABLE TRIGGER fence_stands",
    "DROP TRIGGER fence_stands ON heads",
    "CREATE OR REPLACE FUNCTION fence_stands() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "UPDATE calendar SET ends_at = ends_at + interval '1 day'",
    "DELETE FROM calendar",
    "UPDATE stock_at_fence SET points = 0",
    "DELETE FROM stock_at_fence",
    "INSERT INTO heads (bucket, height, operations, period, recorded_at, hash) "
    "VALUES (65, 0, 0, 1, now(), '')",
    "DELETE FROM heads",
    "TRUNCATE heads",
    "DELETE FROM wallets",
    "DELETE FROM lots",
    "DELETE FROM holds",
    "DELETE FROM slices",
    "DELETE FROM flows",
    "DELETE FROM stock",
    "UPDATE clock SET is_driven = false",
    "DELETE FROM clock",
    "UPDATE alembic_version SET version_num = '0000'",
    "SET session_replication_role = replica",
    "SET ROLE kopilka_owner",
    "SET SESSION AUTHORIZATION kopilka_owner",
    "CREATE TABLE mine (id INTEGER)",
    "CREATE TEMP TABLE operations_203501 (id INTEGER)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS void LANGUAGE sql AS 'SELECT'",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "ALTER FUNCTION make_partitions(date) SECURITY INVOKER",
    "DROP FUNCTION make_partitions(date)",
    "CREATE EXTENSION vector",
    "CREATE ROLE mine",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER DATABASE {database} SET search_path = mine",
    "ALTER SYSTEM SET fsync = off",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT pg_reload_conf()",
    "SELECT lo_import('/etc/passwd')",
)


async def test_the_writer_has_only_the_rights_it_was_given(writer: asyncpg.Connection, urls: Urls) -> None:
    assert await _not_refused(writer, [statement.format(database=urls.name) for statement in BEYOND]) == []


async def test_the_clock_never_goes_back_even_for_the_writer(writer: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.RaiseError):
        await writer.execute("UPDATE clock SET now = now - interval '1 second'")


async def test_the_owner_too_is_stopped_by_the_triggers_of_every_partition(
    lived_in: Database, urls: Urls
) -> None:
    owner = await asyncpg.connect(urls.owner)
    for table in _history():
        with pytest.raises(REFUSED):
            await owner.execute(f"TRUNCATE {table}")
    for table in ("operations", "operations_202601", "lines_202601", "blocks_202601"):
        for change in ("DELETE FROM {}", "UPDATE {} SET period = period"):
            with pytest.raises(REFUSED):
                await owner.execute(change.format(table))
    await owner.close()
    await proving.holds(lived_in)


async def test_rows_put_into_a_partition_made_later_are_guarded_too(
    writer: asyncpg.Connection, urls: Urls
) -> None:
    await writer.execute(
        "INSERT INTO blocks (bucket, height, recorded_at, period, first, count, previous, root, hash) "
        "SELECT bucket, 99, '2026-03-20T00:00:00Z', period, first, count, previous, root, hash FROM blocks "
        "LIMIT 1"
    )
    owner = await asyncpg.connect(urls.owner)

    with pytest.raises(REFUSED):
        await owner.execute(f"UPDATE blocks_{MADE_LATER} SET height = 1")
    with pytest.raises(REFUSED):
        await owner.execute(f"DELETE FROM blocks_{MADE_LATER}")
    await owner.close()


@pytest.mark.parametrize("month", ["infinity", "-infinity"])
async def test_partitions_are_made_of_months_only(writer: asyncpg.Connection, month: str) -> None:
    before = await _tables(writer)

    with pytest.raises(asyncpg.PostgresError):
        await writer.execute(f"SELECT make_partitions('{month}')")
    with pytest.raises(asyncpg.PostgresError):
        await writer.execute("SELECT make_partitions(NULL)")
    with pytest.raises(asyncpg.PostgresError):
        await writer.execute("SELECT make_partitions('2026-01-01; DROP TABLE keys')")

    assert await _tables(writer) == before


@pytest.mark.parametrize("month", ["1999-01-01", "2025-11-30", "2026-05-01", "2031-01-01", "4000-12-31"])
async def test_partitions_are_made_around_the_present_only(writer: asyncpg.Connection, month: str) -> None:
    """The clock stands in January 2026, so that December to April may be made."""
    before = await _tables(writer)

    with pytest.raises(asyncpg.InvalidParameterValueError):
        await writer.execute(f"SELECT make_partitions('{month}')")

    assert await _tables(writer) == before


async def test_a_callers_search_path_means_nothing_to_make_partitions(writer: asyncpg.Connection) -> None:
    before = await _tables(writer)
    await writer.execute("SET search_path = pg_temp, mine")

    await writer.execute("SELECT public.make_partitions('2026-04-05')")

    await writer.execute("RESET search_path")
    made = await _tables(writer) - before
    assert made == {"operations_202604", "lines_202604", "blocks_202604"}
    assert not await writer.fetchval(
        "SELECT bool_or(has_table_privilege(current_user, oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')) "
        "FROM pg_class WHERE relname LIKE '%202604%' AND relkind = 'r'"
    )


async def test_making_partitions_twice_or_on_any_day_of_the_month_makes_them_once(
    writer: asyncpg.Connection,
) -> None:
    before = await _tables(writer)

    for day in (1, 15, 28):
        await writer.execute("SELECT make_partitions($1)", date(2025, 12, day))

    assert len(await _tables(writer) - before) == 3


POINTS = ("keys", "heads", "wallets", "lots", "holds", "slices", "flows", "stock")
EVIDENCE = (
    "findings",
    "seals",
    "sealed_buckets",
    "seal_keys",
    "archives",
    *(f"{form}{table}" for form in ("whole.", "archived_") for table in HISTORY),
)


async def test_the_reader_reads_nothing_of_anybodys_points(reader: asyncpg.Connection) -> None:
    tables = (*_history(), *POINTS, *EVIDENCE)

    statements = [read.format(table) for read in ("SELECT FROM {}", "COPY {} TO STDOUT") for table in tables]

    assert await _not_refused(reader, statements) == []


async def test_the_reader_may_write_nowhere(reader: asyncpg.Connection) -> None:
    rights = await reader.fetch(
        "SELECT relname FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') "
        "AND (has_table_privilege(current_user, oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER') "
        "     OR has_any_column_privilege(current_user, oid, 'INSERT, UPDATE'))"
    )
    assert rights == []
    for statement in ("SELECT make_partitions('2026-04-01')", "CREATE TEMP TABLE mine (id INTEGER)"):
        with pytest.raises(REFUSED):
            await reader.execute(statement)


async def test_no_table_of_any_room_is_open_to_everybody(reader: asyncpg.Connection) -> None:
    public = await reader.fetch(
        "SELECT relname FROM pg_class, aclexplode(relacl) AS given "
        "WHERE relnamespace = 'public'::regnamespace AND given.grantee = 0"
    )
    assert public == []


async def test_no_table_of_any_room_lets_the_writer_truncate(writer: asyncpg.Connection) -> None:
    rows = await writer.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
        "AND has_table_privilege(current_user, oid, 'TRUNCATE, TRIGGER, REFERENCES')"
    )
    assert rows == []


async def _not_refused(connection: asyncpg.Connection, statements: Sequence[str]) -> list[str]:
    """The statements that PostgreSQL let through, or stopped for another reason than missing rights."""
    allowed = []
    for statement in statements:
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            continue
        except asyncpg.PostgresError as error:
            allowed.append(f"{statement}: {error}")
        else:
            allowed.append(statement)
    return allowed


async def _tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    return {row[0] for row in rows}


async def _contents(database: Database) -> list[int]:
    connection = await asyncpg.connect(database.lane_url)
    try:
        found = await connection.fetch(
            "SELECT count(*), sum(id % 1000003) FROM operations UNION ALL "
            "SELECT count(*), sum(amount) FROM lines UNION ALL SELECT count(*), sum(height) FROM blocks"
        )
        assert found[0][1] is not None
        assert await connection.fetchval("SELECT count(*) FROM operations WHERE member = $1", MEMBER) == 2
    finally:
        await connection.close()
    return [value for row in found for value in row]
