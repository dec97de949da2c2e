"""One changed byte anywhere in history is found, and the row and column that hold it are named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Integer, LargeBinary, Table, Text, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ledger import Ledger, invariants
from ledger.evidence import history, pinpoint, sealing
from ledger.evidence.history import StoredBlock
from ledger.evidence.inclusion import header_of
from ledger.evidence.recount import Flaw, Recount
from ledger.evidence.sealing import ChainBroken
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import blocks, heads, lines, operations
from tests.damage import as_owner_without_triggers
from tests.ledger.builders import an_earn
from tests.servers import Urls

from .living import BUCKET, KEYS

FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)

IDENTITY = {"bucket", "id", "operation", "ordinal", "height"}
"""A row whose place is changed is named as missing from one place or as strange in another."""

CHANGED = [
    pytest.param(table, column, id=f"{table.name}.{column.name}")
    for table in (operations, lines, blocks)
    for column in table.columns
]


@pytest.fixture
async def owner(lived_in: Urls) -> AsyncIterator[AsyncConnection]:
    """The owner with the triggers off, in a transaction that is rolled back behind the test."""
    engine = create_async_engine(
        lived_in.owner.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool
    )
    async with engine.connect() as connection:
        for table in ("operations", "lines", "blocks", "seals", "sealed_buckets", "seal_keys"):
            await connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        yield connection
        await connection.rollback()


async def test_history_as_it_was_written_has_no_flaw(owner: AsyncConnection) -> None:
    recount = Recount(owner)

    assert [flaw async for flaw in recount.flaws()] == []
    assert [flaw async for flaw in sealing.flaws(owner, recount.sealable)] == []
    assert (recount.counted.buckets, recount.counted.operations) == (65, 10)


@pytest.mark.parametrize(("table", "column"), CHANGED)
async def test_a_flipped_bit_is_found_and_named(
    owner: AsyncConnection, table: Table, column: Column[object]
) -> None:
    row = await _flip(owner, table, column)

    found = [flaw.row for flaw in await _flaws(owner)]

    assert found
    assert any(row in what for what in found), found
    if column.name not in IDENTITY:
        assert any(f"{column.name} of " in what for what in found), found


async def test_a_changed_byte_is_named_with_what_it_was(owner: AsyncConnection) -> None:
    changed = "UPDATE operations SET detail = set_byte(detail, 4, 255) WHERE detail = 'the receipt'"
    (id_,) = (await owner.execute(text(f"{changed} RETURNING id"))).scalars()

    (flaw,) = await _flaws(owner)

    assert flaw.bucket == BUCKET
    assert flaw.row.startswith(f"detail of operation {id_}: ")
    assert flaw.row.endswith(f" is ff and was {ord('r'):02x}")


GONE = {
    "an operation": (
        "DELETE FROM operations WHERE bucket = 7 AND id = {op}",
        "operation {op} is of block 2 missing",
    ),
    "the operations of a block": (
        "DELETE FROM operations WHERE bucket = 7 AND height = 2",
        "operations {op} to {last} are of block 2 missing",
    ),
    "a line": ("DELETE FROM lines WHERE operation = {op}", "lines of operation {op} are missing"),
    "a block": ("DELETE FROM blocks WHERE bucket = 7 AND height = 2", "height 2 is missing before 3"),
    "the last block": ("DELETE FROM blocks WHERE bucket = 7 AND height = 6", "the last block is 5"),
    "the first block": ("DELETE FROM blocks WHERE bucket = 7 AND height = 1", "height 1 is missing before 2"),
}


@pytest.mark.parametrize("what", GONE)
async def test_a_missing_row_is_named(owner: AsyncConnection, what: str) -> None:
    statement, named = GONE[what]
    names = {"op": compose(BUCKET, 2), "last": compose(BUCKET, 7)}
    assert (await owner.execute(text(statement.format(**names)))).rowcount

    found = [flaw.row for flaw in await _flaws(owner)]

    assert any(named.format(**names) in row for row in found), found


MOVED = {
    "an operation to the next block": (
        "UPDATE operations SET height = 3 WHERE id = {op}",
        "height of operation {op}",
    ),
    "an operation to another id": ("UPDATE operations SET id = {op} + 90 WHERE id = {op}", "operation {op}"),
    "a line to another operation": (
        "UPDATE lines SET operation = {op} + 1, ordinal = 5 WHERE operation = {op}",
        "operation {next}",
    ),
    "a line added": (
        "INSERT INTO lines SELECT bucket, operation, 1, recorded_at, 20, 1, 21, 1,"
        " 5, 'RUB', period, 0, 0, 0, 0, 0, origin_period, 0 FROM lines WHERE operation = {op}",
        "line 1 of operation {op} was added",
    ),
    "a block's period and its hash": (
        "UPDATE blocks SET period = 2, hash = sha256(hash) WHERE bucket = 7 AND height = 2",
        "block 2",
    ),
}


@pytest.mark.parametrize("what", MOVED)
async def test_a_row_moved_or_added_is_named(owner: AsyncConnection, what: str) -> None:
    statement, named = MOVED[what]
    names = {"op": compose(BUCKET, 2), "next": compose(BUCKET, 3)}
    assert (await owner.execute(text(statement.format(**names)))).rowcount

    found = [flaw.row for flaw in await _flaws(owner)]

    assert any(named.format(**names) in row for row in found), found


async def test_a_link_that_was_rewritten_with_all_behind_it_is_named(owner: AsyncConnection) -> None:
    """Each block has its own hash again, and the next one links to it, up to the head: one link is wrong."""
    await _link_anew(owner, 2, bytes(32))

    recount = Recount(owner)
    found = [flaw.row async for flaw in recount.flaws()]

    assert found == ["block 2 does not link to the block before it"]
    assert [flaw.bucket async for flaw in sealing.flaws(owner, recount.sealable)] == [BUCKET]
    (seal,) = await sealing.all_seals(owner)
    assert [each async for each in sealing.problems(owner, seal)] == [
        f"block 2 of bucket {BUCKET} does not follow the one before it"
    ]


async def _link_anew(connection: AsyncConnection, height: int, previous: bytes) -> None:
    """Let a block of bucket 7 link to `previous`, and those behind it to what each is then."""
    query = select(blocks).where(blocks.c.bucket == BUCKET, blocks.c.height >= height)
    for row in (await connection.execute(query.order_by(blocks.c.height))).all():
        block = msgspec.structs.replace(StoredBlock.of(row), previous=previous)
        linked = {"previous": previous, "hash": header_of(block).hash()}
        place = blocks.update().where(blocks.c.bucket == BUCKET, blocks.c.height == row.height)
        await connection.execute(place.values(linked))
        previous = linked["hash"]
    await connection.execute(heads.update().where(heads.c.bucket == BUCKET).values(hash=previous))


SMALL = (1, 2, 3)
"""Pages that end within a block, at its end, and behind it."""


@pytest.mark.parametrize("size", SMALL)
async def test_history_read_in_small_pages_is_the_same(
    owner: AsyncConnection, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    _read_in_pages_of(monkeypatch, size)
    recount = Recount(owner)
    (seal,) = await sealing.all_seals(owner)

    assert [flaw async for flaw in recount.flaws()] == []
    assert [flaw async for flaw in sealing.flaws(owner, recount.sealable)] == []
    assert [each async for each in sealing.problems(owner, seal)] == []
    assert (recount.counted.blocks, recount.counted.operations) == (64 + 6, 10)


async def test_what_is_found_in_small_pages_is_the_same(
    owner: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pinpoint, "MOST_TRIED", 0)  # that search takes long, and no page makes it another
    whole = await _found_of_each(owner)

    for size in SMALL:
        with monkeypatch.context() as reading:
            _read_in_pages_of(reading, size)
            assert await _found_of_each(owner) == whole


async def _found_of_each(connection: AsyncConnection) -> dict[str, list[Flaw]]:
    """What a recount of bucket 7 finds of each damage, which is undone before the next."""
    found = {}
    for what, (statement, _) in (GONE | MOVED).items():
        async with connection.begin_nested() as damage:
            await connection.execute(text(statement.format(op=compose(BUCKET, 2))))
            found[what] = [flaw async for flaw in Recount(connection).flaws([BUCKET])]
            await damage.rollback()
    return found


def _read_in_pages_of(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    for query in ("_FIRST_OPERATIONS", "_MORE_OPERATIONS"):
        asked = getattr(history, query)
        assert f"LIMIT {history.PAGE}" in asked
        monkeypatch.setattr(history, query, asked.replace(f"LIMIT {history.PAGE}", f"LIMIT {rows}"))
    monkeypatch.setattr(history, "PAGE", rows)
    monkeypatch.setattr(sealing, "_BLOCKS_AT_ONCE", rows)


async def test_a_seal_that_is_gone_is_missed_by_the_next(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await _seal_months(ledger, database, 3)

    for table in ("sealed_buckets", "seals"):
        await as_owner_without_triggers(urls, f"DELETE FROM {table} WHERE period = 2")

    async with database.writer.connect() as connection:
        found = [flaw.row for flaw in await _flaws(connection)]
        assert found == ["the seal of period 3 does not name the one before it"]
        assert await sealing.due(connection) == []  # nobody signs what is in its place


async def _seal_months(ledger: Ledger, database: Database, months: int) -> None:
    """An earn in each month, and a seal of each."""
    for month in range(1, months + 1):
        at = datetime(2026, month, 3, tzinfo=UTC)
        await ledger.advance(at)
        await ledger.submit(an_earn(10, occurred_at=at))
    await ledger.advance(datetime(2026, months + 1, 1, tzinfo=UTC))
    async with database.writer.begin() as connection:
        for span in await sealing.due(connection):
            await sealing.seal_period(connection, span, KEYS, at=span.ends_at)


SEALED = {
    "root": "UPDATE seals SET root = set_byte(root, 0, get_byte(root, 0) # 1)",
    "signature": "UPDATE seals SET signature = set_byte(signature, 9, get_byte(signature, 9) # 1)",
    "blocks": "UPDATE seals SET blocks = blocks + 1",
    "previous": "UPDATE seals SET previous = set_byte(previous, 0, 1)",
    "sealed_at": "UPDATE seals SET sealed_at = sealed_at + interval '1 microsecond'",
    "public key": "UPDATE seal_keys SET public = set_byte(public, 3, get_byte(public, 3) # 1)",
    "bucket": "UPDATE sealed_buckets SET operations = operations + 1 WHERE bucket = 7",
    "bucket's root": "UPDATE sealed_buckets SET root = sha256(root) WHERE bucket = 9",
    "no figure": "UPDATE seals SET blocks = -1",
    "no bucket's figure": "UPDATE sealed_buckets SET operations = -1 WHERE bucket = 9",
    "bucket gone": "DELETE FROM sealed_buckets WHERE bucket = 9",
}


@pytest.mark.parametrize("what", SEALED)
async def test_a_changed_seal_is_found(owner: AsyncConnection, what: str) -> None:
    assert (await owner.execute(text(SEALED[what]))).rowcount

    found = [flaw.row for flaw in await _flaws(owner)]

    assert any("period 1" in row for row in found), found


@pytest.mark.parametrize(("days", "named"), [(6, []), (8, ["period 2"])])
async def test_a_period_that_stays_without_a_seal_is_found(
    owner: AsyncConnection, days: int, named: list[str]
) -> None:
    await owner.execute(text("UPDATE clock SET is_driven = false"))
    await owner.execute(text("UPDATE heads SET period = 3"))
    await owner.execute(text("DELETE FROM calendar WHERE period > 2"))
    spans = "starts_at = now() - interval '60 days', ends_at = now() - make_interval(days => :days)"
    await owner.execute(text(f"UPDATE calendar SET {spans} WHERE period = 2"), {"days": days})
    unsealed = next(each for each in invariants.INVARIANTS if each.name == "unsealed")

    found = await unsealed.find(owner)

    assert [finding.row[:8] for finding in found] == named


async def test_history_written_anew_by_the_owner_is_not_what_was_sealed(owner: AsyncConnection) -> None:
    """A chain that hangs together again, as only the owner could make it, contradicts the seal."""
    await owner.execute(text("DELETE FROM lines WHERE bucket = 7"))
    await owner.execute(text("DELETE FROM operations WHERE bucket = 7"))
    await owner.execute(text("DELETE FROM blocks WHERE bucket = 7"))
    await owner.execute(
        text(
            "UPDATE heads SET height = 0, operations = 0, hash = decode(repeat('00', 32), 'hex') "
            "WHERE bucket = 7"
        )
    )

    (flaw,) = await _flaws(owner)

    assert flaw == Flaw(7, "what bucket 7 wrote in period 1 is not what was sealed")


async def _flaws(connection: AsyncConnection) -> list[Flaw]:
    recount = Recount(connection)
    found = [flaw async for flaw in recount.flaws()]
    return found + [flaw async for flaw in sealing.flaws(connection, recount.sealable)]


async def _flip(connection: AsyncConnection, table: Table, column: Column[object]) -> str:
    """Flip one bit in a row of block 2 of bucket 7; what the row is called."""
    name = f'"{column.name}"'
    if isinstance(column.type, Text):
        flipped, present = f"overlay({name} PLACING chr(ascii({name}) # 1) FROM 1 FOR 1)", f"{name} <> ''"
    elif isinstance(column.type, LargeBinary):
        flipped, present = f"set_byte({name}, 0, get_byte({name}, 0) # 4)", f"length({name}) > 0"
    elif isinstance(column.type, ARRAY):
        flipped, present = (
            f"array_append({name}[1:1], {name}[2] # 32) || {name}[3:cardinality({name})]",
            f"cardinality({name}) > 2",
        )
    elif isinstance(column.type, DateTime):
        flipped, present = f"{name} + interval '128 microseconds'", "true"
    elif isinstance(column.type, BigInteger | Integer):
        flipped, present = f"{name} # {1024 if column.name in IDENTITY else 2}", "true"
    else:
        flipped, present = f"({name} # 8::smallint)::smallint", "true"
    of_block = "height = 2"
    if table is lines:
        of_block = "operation IN (SELECT id FROM operations WHERE bucket = 7 AND height = 2)"
    called = {"operations": "'operation ' || id", "lines": "'operation ' || operation", "blocks": "''"}
    ids = {"operations": "id", "lines": "operation, ordinal", "blocks": "height"}[table.name]
    where = f"bucket = 7 AND {of_block} AND {present}"
    which = f"SELECT tableoid, ctid::text, {called[table.name]} FROM {table.name} WHERE {where}"
    (place,) = (await connection.execute(text(f"{which} ORDER BY {ids} LIMIT 1"))).all()
    there = f"tableoid = {place[0]} AND ctid = '{place[1]}'::tid"
    result = await connection.execute(text(f"UPDATE {table.name} SET {name} = {flipped} WHERE {there}"))
    assert result.rowcount == 1
    return str(place[2]) or ("2" if column.name in IDENTITY else "block 2")


@pytest.mark.parametrize("change", ["count = count + 1", "flows[1] = flows[1] + 1", "root = sha256(root)"])
async def test_a_block_that_was_changed_is_not_sealed(
    ledger: Ledger, database: Database, urls: Urls, change: str
) -> None:
    await ledger.submit(an_earn(10))
    await ledger.advance(FEBRUARY)
    await as_owner_without_triggers(urls, f"UPDATE blocks SET {change} WHERE bucket = 7 AND height = 1")

    async with database.writer.begin() as connection:
        (span,) = await sealing.due(connection)
        with pytest.raises(ChainBroken, match="block 1 of bucket 7"):
            await sealing.seal_period(connection, span, KEYS, at=FEBRUARY)
