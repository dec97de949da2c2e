"""A month that was archived is out of the partitions, and reads, repeats and proves as before."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ledger import Balance, Ledger, Recorded, records, tallies
from ledger.asof import Clock, balance_as_of
from ledger.chain import merkle_root
from ledger.evidence import archive, parquet, sealing
from ledger.evidence.archive import Archived, EarlierMonthFirst, MonthNotArchivable
from ledger.evidence.exporting import inclusion_of
from ledger.evidence.history import StoredBlock
from ledger.evidence.inclusion import header_of
from ledger.evidence.seal import NotGenuine
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.reading import reading
from tests.damage import as_owner_without_triggers
from tests.ledger import proving
from tests.ledger.builders import MEMBER, a_burn, an_earn
from tests.servers import Urls

from .living import BUCKET, KEYS, live

JANUARY = date(2026, 1, 1)
FEBRUARY = date(2026, 2, 1)
AT = datetime(2026, 2, 2, tzinfo=UTC)


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    await live(urls)
    opened = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
    yield opened
    await opened.close()


@pytest.fixture
async def ledger(database: Database) -> AsyncIterator[Ledger]:
    opened = Ledger(database, DrivenClock(AT))
    await opened.start()
    yield opened
    await opened.drain()


@pytest.fixture
async def owner(urls: Urls) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(urls.owner.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
    yield engine
    await engine.dispose()


async def test_an_archived_month_reads_repeats_and_proves_as_before(
    ledger: Ledger, database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    before = await ledger.history(MEMBER)
    stood = await _balance(database, before[1].recorded_at)
    purchase = next(each for each in reversed(before) if each.kind == "earn")

    laid = await _archive(owner, tmp_path / "january")

    after = await ledger.history(MEMBER)
    pages, last = [], None
    while page := await ledger.history(MEMBER, before=last, limit=3):
        pages += page
        last = page[-1].id
    again = await ledger.submit(an_earn(100, key=purchase.key))
    async with reading(database, partner=1) as connection:
        own = await records.operation(connection, purchase.id)
        (by_key,) = await records.operations_by_key(connection, "partner:1", purchase.key)
    async with reading(database, partner=3) as connection:
        others = await records.operation(connection, purchase.id)
    async with database.writer.connect() as connection:
        inclusion = await inclusion_of(connection, purchase.id)
        assert await archive.archived(connection) == [laid]
    assert laid == Archived(month=JANUARY, operations=9, lines=laid.lines, blocks=laid.blocks)
    assert before == after == pages
    assert await ledger.operation(purchase.id) == purchase == own == by_key
    assert await _balance(database, before[1].recorded_at) == stood == before[1].outcome.balance
    assert others is None
    assert (again.operation, again.replayed) == (purchase.id, True)
    assert inclusion is not None
    assert (await ledger.submit(a_burn(3))).refused is None
    await proving.holds(database)


async def test_balances_as_of_any_instant_are_told_as_before_whatever_is_archived(
    ledger: Ledger, database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    await ledger.submit(an_earn(11, occurred_at=datetime(2026, 1, 20, tzinfo=UTC)))
    await ledger.advance(datetime(2026, 2, 20, tzinfo=UTC))
    await ledger.submit(a_burn(2))
    await ledger.advance(datetime(2026, 3, 2, tzinfo=UTC))
    await ledger.submit(an_earn(5))
    await _seal(database)
    days = [(2025, 12, 1), (2026, 1, 20), (2026, 2, 2), (2026, 2, 10), (2026, 2, 25)]
    asked = [(datetime(*day, tzinfo=UTC), clock) for day in days for clock in Clock]
    told = [await _balance(database, *each) for each in asked]
    assert told[0] == told[1] == Balance()
    assert told[2] != told[3]

    for month in (JANUARY, FEBRUARY):
        await _archive(owner, tmp_path / f"{month}", month)

        assert [await _balance(database, *each) for each in asked] == told


async def test_what_was_archived_cannot_be_changed_and_its_partition_not_made_again(
    database: Database, owner: AsyncEngine, urls: Urls, tmp_path: Path
) -> None:
    await _archive(owner, tmp_path / "january")
    writer, boss = await asyncpg.connect(urls.writer), await asyncpg.connect(urls.owner)

    for table in ("operations", "lines", "blocks"):
        for change in (
            f"DELETE FROM archive.{table}_202601",
            f"UPDATE archive.{table}_202601 SET bucket = bucket",
            f"INSERT INTO archive.{table}_202601 SELECT * FROM archive.{table}_202601",
            f"TRUNCATE archive.{table}_202601",
        ):
            for connection in (writer, boss):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(change)
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await writer.execute("SELECT make_partitions('2026-01-01')")
    with pytest.raises(asyncpg.CheckViolationError):  # there is no place for it any more
        await writer.execute("INSERT INTO blocks SELECT * FROM archived_blocks LIMIT 1")
    await writer.close()
    await boss.close()


async def test_only_a_month_that_is_over_sealed_and_there_is_archived(
    ledger: Ledger, database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    with pytest.raises(MonthNotArchivable, match="not over"):
        await _archive(owner, tmp_path / "february", FEBRUARY)
    with pytest.raises(MonthNotArchivable, match="not among the partitions"):
        await _archive(owner, tmp_path / "march", date(2026, 7, 1))
    await _archive(owner, tmp_path / "january")
    await ledger.advance(datetime(2026, 3, 2, tzinfo=UTC))
    with pytest.raises(MonthNotArchivable, match="not sealed"):
        await _archive(owner, tmp_path / "february", FEBRUARY)
    await _seal(database)

    await _archive(owner, tmp_path / "february", FEBRUARY)

    with pytest.raises(MonthNotArchivable, match="archived"):
        await _archive(owner, tmp_path / "again")
    await proving.holds(database)


async def test_a_month_waits_for_earlier_ones_so_that_history_pages_in_order(
    ledger: Ledger, database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    await ledger.advance(datetime(2026, 3, 2, tzinfo=UTC))
    await ledger.submit(an_earn(5))
    await _seal(database)
    before = await ledger.history(MEMBER)

    with pytest.raises(EarlierMonthFirst, match=r"^EARLIER_MONTH_FIRST: 2026-01 is "):
        await _archive(owner, tmp_path / "too soon", FEBRUARY)

    assert not (tmp_path / "too soon").exists()
    for month in (JANUARY, FEBRUARY):
        await _archive(owner, tmp_path / f"{month}", month)
        assert await _paged(ledger) == before


DAMAGES = {
    "UPDATE seals SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1)": "seal",
    "UPDATE seal_keys SET public = set_byte(public, 3, get_byte(public, 3) # 1)": "seal",
    "UPDATE blocks SET period = 2 WHERE bucket = 7 AND height = 4": "root that was sealed",
    "UPDATE blocks SET root = sha256(root) WHERE bucket = 7 AND height = 2": "block 2 of bucket 7",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_month_is_not_laid_away_when_its_blocks_are_not_what_was_sealed(
    database: Database, owner: AsyncEngine, urls: Urls, tmp_path: Path, damage: str
) -> None:
    await as_owner_without_triggers(urls, damage)

    with pytest.raises(MonthNotArchivable, match=f"the proof does not hold: .*{DAMAGES[damage]}"):
        await _archive(owner, tmp_path / "january")

    assert not (tmp_path / "january").exists()


@pytest.mark.parametrize("rows", [1, 2])
async def test_a_month_that_is_written_in_small_pages_is_the_same(
    database: Database, owner: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    await _fold(owner)
    whole = await _exported(owner, tmp_path / "whole")
    monkeypatch.setattr(archive, "_PAGE", rows)

    in_pages = await _exported(owner, tmp_path / "pages")

    assert in_pages.rows == whole.rows
    for table in parquet.TABLES:
        read = [_rows(tmp_path / folder / f"{table}.parquet") for folder in ("whole", "pages")]
        assert read[0] == read[1]


def _rows(file: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


async def test_a_month_that_tallies_lack_is_not_archived_and_is_told_the_same_afterwards(
    database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    stood = await _standing(database, AT)
    async with owner.connect() as connection:
        with pytest.raises(MonthNotArchivable, match="tallies"):
            await archive.check(connection, JANUARY)

    await _archive(owner, tmp_path / "january")

    assert await _standing(database, AT) == stood
    await proving.holds(database)


async def test_tallies_take_up_what_an_older_version_archived_without_them(
    database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    stood = await _standing(database, AT)
    await _archive(owner, tmp_path / "january")
    async with owner.begin() as connection:
        await connection.execute(text("TRUNCATE tallies, tally_marks, tally_late"))

    assert await _fold(owner) == 10

    assert await _standing(database, AT) == stood
    await proving.holds(database)


async def test_a_month_is_over_when_it_is_in_utc_whatever_the_sessions_zone(
    database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    over = date(2026, 3, 1)

    async with owner.connect() as connection:
        for hours in (-12, 0, 12):
            await connection.execute(text(f"SET timezone TO {hours}"))
            for at, is_over in (("2026-02-28 23:59:59Z", False), ("2026-03-01 00:00:00Z", True)):
                await connection.execute(text("ALTER TABLE clock DISABLE TRIGGER USER"))
                await connection.execute(text(f"UPDATE clock SET now = '{at}'"))
                assert await connection.scalar(archive._IS_OVER, {"end": over}) is is_over


async def test_tills_go_on_while_an_archive_waits_for_somebody_who_reads_history(
    ledger: Ledger, database: Database, owner: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_TRIES", 3)
    monkeypatch.setattr(archive, "_PAUSE_SECONDS", 0.5)
    slowest, answered = 0.0, 0
    async with database.writer.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM lines"))

        waiting = asyncio.create_task(_archive(owner, tmp_path / "january"))
        while not waiting.done():
            begun = monotonic()
            assert (await ledger.submit(an_earn(1))).refused is None
            slowest, answered = max(slowest, monotonic() - begun), answered + 1

    with pytest.raises(MonthNotArchivable, match="in use"):
        await waiting
    assert slowest < 2
    assert answered > 10
    await _archive(owner, tmp_path / "again")


async def test_the_writer_cannot_archive(database: Database, urls: Urls, tmp_path: Path) -> None:
    writer = create_async_engine(
        urls.writer.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool
    )

    with pytest.raises(Exception, match=r"must be owner|permission denied"):
        await _archive(writer, tmp_path / "january")

    await writer.dispose()
    await proving.holds(database)


async def test_a_changed_archive_proves_nothing(
    database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    await _archive(owner, tmp_path / "january")
    assert parquet.verify(tmp_path / "january").manifest["tables"]["operations"]["rows"] == 9

    for number, change in enumerate(CHANGES):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(tmp_path / "january", copy)
        change(copy)
        with pytest.raises(NotGenuine):
            parquet.verify(copy)


async def test_what_cannot_be_led_to_its_seal_is_named(
    database: Database, owner: AsyncEngine, tmp_path: Path
) -> None:
    await _archive(owner, tmp_path / "january")
    _without_edges(tmp_path / "january")
    assert parquet.verify(tmp_path / "january").unchecked == ()

    _forge_a_bucket(tmp_path / "january")

    assert parquet.verify(tmp_path / "january").unchecked == (f"bucket {BUCKET} in period 1",)


def _flip(folder: Path) -> None:
    file = folder / "operations.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _rewrite_a_row(folder: Path) -> None:
    """What somebody would do who knows that files have checksums."""
    import pyarrow.parquet as pq

    file = folder / "operations.parquet"
    table = pq.read_table(file)
    points = table.column("points").to_pylist()
    points[0] += 1
    at = table.schema.get_field_index("points")
    pq.write_table(table.set_column(at, table.schema.field(at), [points]), file)
    _manifest(folder, lambda manifest: manifest["tables"]["operations"].update(sha256=parquet._sha256(file)))


def _drop_the_last_block(folder: Path) -> None:
    import pyarrow.parquet as pq

    file = folder / "blocks.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(0, table.num_rows - 1), file)
    _manifest(folder, lambda manifest: manifest["tables"]["blocks"].update(sha256=parquet._sha256(file)))


def _forge_a_bucket(folder: Path) -> None:
    """What somebody would do who knows how blocks are hashed: erase the last, alter the first, hash anew."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = {name: pq.read_table(folder / f"{name}.parquet") for name in parquet.TABLES}
    rows = {name: file.to_pylist() for name, file in files.items()}
    *kept, last = [block for block in rows["blocks"] if block["bucket"] == BUCKET]
    gone = {row["id"] for row in rows["operations"] if row["height"] == last["height"]}
    rows["blocks"].remove(last)
    rows["operations"] = [row for row in rows["operations"] if row["id"] not in gone]
    rows["lines"] = [row for row in rows["lines"] if row["operation"] not in gone]
    rows["lines"][0]["amount"] *= 1000
    previous = kept[0]["previous"]
    for block in kept:
        members = [row for row in rows["operations"] if row["height"] == block["height"]]
        leaves = [
            parquet._leaf(row, iter([each for each in rows["lines"] if each["operation"] == row["id"]]))
            for row in members
        ]
        block |= {"previous": previous, "root": merkle_root(leaves)}
        stored = {**block, "flows": tuple(block["flows"]), "stock": tuple(block["stock"])}
        block["hash"] = previous = header_of(StoredBlock(**stored)).hash()
    for name, changed in rows.items():
        pq.write_table(pa.Table.from_pylist(changed, files[name].schema), folder / f"{name}.parquet")
    _manifest(folder, lambda manifest: _name_files(folder, manifest, previous))


def _name_files(folder: Path, manifest: Any, hash_: bytes) -> None:
    for name, told in manifest["tables"].items():
        told["sha256"] = parquet._sha256(folder / f"{name}.parquet")
    (span,) = manifest["buckets"]
    span.update(hash=hash_.hex(), blocks=span["blocks"] - 1)


def _without_edges(folder: Path) -> None:
    """As older versions archived."""
    _manifest(folder, lambda manifest: [each.pop("edges") for each in manifest["periods"][0]["buckets"]])


def _remove(folder: Path) -> None:
    (folder / "lines.parquet").unlink()


def _manifest(folder: Path, change: Callable[[Any], Any]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


CHANGES: tuple[Callable[[Path], None], ...] = (
    _flip,
    _rewrite_a_row,
    _drop_the_last_block,
    _remove,
    _forge_a_bucket,
    lambda folder: _manifest(folder, lambda manifest: manifest.update(format="other")),
    lambda folder: _manifest(folder, lambda manifest: manifest["buckets"][0].update(previous="11" * 32)),
    lambda folder: _manifest(folder, lambda manifest: manifest["buckets"][-1].update(hash="11" * 32)),
    lambda folder: _manifest(folder, lambda manifest: manifest["buckets"].pop()),
    lambda folder: _manifest(folder, lambda manifest: manifest["periods"][0]["buckets"][7].update(blocks=1)),
    lambda folder: _manifest(folder, lambda manifest: manifest["periods"][0]["seal"].update(root="11" * 32)),
)


async def _fold(engine: AsyncEngine) -> int:
    async with engine.begin() as connection:
        return await tallies.fold(connection)


async def _standing(database: Database, at: datetime) -> tallies.Standing:
    async with database.writer.connect() as connection:
        return await tallies.programme_as_of(connection, at, Clock.RECORDED)


async def _seal(database: Database) -> None:
    async with database.writer.begin() as connection:
        (span,) = await sealing.due(connection)
        await sealing.seal_period(connection, span, KEYS, at=AT)


async def _paged(ledger: Ledger) -> list[Recorded]:
    """The member's history, by pages of two."""
    pages, last = [], None
    while page := await ledger.history(MEMBER, before=last, limit=2):
        pages += page
        last = page[-1].id
    return pages


async def _balance(database: Database, at: datetime, clock: Clock = Clock.RECORDED) -> Balance:
    async with database.writer.connect() as connection:
        return await balance_as_of(connection, MEMBER, at, clock)


async def _exported(engine: AsyncEngine, to: Path, month: date = JANUARY) -> archive.Exported:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        return await archive.export(connection, month, to)


async def _archive(engine: AsyncEngine, to: Path, month: date = JANUARY) -> Archived:
    await _fold(engine)
    exported = await _exported(engine, to, month)
    return await archive.detach(engine, month, exported, by="account:test", at=AT)
