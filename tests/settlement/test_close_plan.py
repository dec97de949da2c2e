"""What a close reads grows with the cells that are filled, never with the operations behind them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import asyncpg
from sqlalchemy import event

from ledger import Command, Ledger
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from settlement.close import advance
from tests import servers
from tests.conftest import START
from tests.ledger.builders import a_burn, an_earn
from tests.ledger.instances import codes
from tests.servers import Running, Urls
from tests.settlement.coalition import ENDS, STAFF, Coalition, found_coalition
from tests.settlement.scenarios import golden_inputs

Statement = tuple[str, Any]


async def test_a_close_reads_as_many_rows_after_ten_times_the_operations(run: Running) -> None:
    few = await _rows_read_by_a_close(1)
    many = await _rows_read_by_a_close(10)

    assert few == many
    assert few["flows"] > 0
    assert not {name for name in few if name.startswith(("lines", "operations", "lots", "wallets", "keys"))}


async def test_flows_and_stock_as_they_are_now_read_the_blocks_that_are_not_folded(
    database: Database, urls: Urls
) -> None:
    """However many blocks there have been before."""
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("SELECT make_partitions('2026-01-01')")
    await owner.execute(_BLOCKS)
    await owner.execute("UPDATE heads SET height = 5_000, folded = 4_990")
    await owner.execute("ANALYZE blocks_202601; ANALYZE heads")
    await owner.close()

    asked = [(f"SELECT sum(points) FROM {view}", ()) for view in ("flows_now", "stock_now")]
    read = await _rows_of(database, asked)

    assert read["blocks_202601"] == 2 * 4 * 10


_BLOCKS = """
    INSERT INTO blocks
    SELECT bucket, height, '2026-01-02', 1, height, 1, '', '', '', array_fill(1::bigint, '{11}'),
        array_fill(1::bigint, '{6}')
    FROM generate_series(0, 3) AS bucket, generate_series(1, 5_000) AS height
"""


async def _rows_read_by_a_close(times: int) -> Counter[str]:
    """By table: the rows that the plans of a close's statements have taken from it."""
    urls = await servers.fresh_database(START)
    database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
    coalition = await found_coalition(database, golden_inputs())
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    for _ in range(times):
        assert set(codes(await ledger.submit_many(_each_cell_once(coalition)))) == {"OK"}
    await ledger.advance(ENDS[1])
    asked = await _asked_by_a_close(database, ledger)
    read = await _rows_of(database, asked)
    await ledger.drain()
    await database.close()
    await servers.drop_database(urls)
    return read


def _each_cell_once(coalition: Coalition) -> list[Command]:
    """The first lot is large enough for every burn, so that repeats fill no other cell."""
    commands: list[Command] = []
    for bucket in range(0, 64, 8):
        for name in "ABCD":
            partner, member = coalition.partners[name], compose(bucket, 1)
            given: dict[str, Any] = {
                "member": member,
                "partner": partner,
                "terms": coalition.terms[name],
            }
            commands.append(an_earn(1_000, obligor=partner, tariff=coalition.tariffs[name], **given))
            commands.append(a_burn(1, **given))
    return commands


async def _asked_by_a_close(database: Database, ledger: Ledger) -> list[Statement]:
    asked: list[Statement] = []

    def listen(_connection: object, _cursor: object, sql: str, given: Any, *_: object) -> None:
        if sql.lstrip().startswith(("SELECT", "WITH")) and "pg_" not in sql:
            asked.append((sql.removesuffix("FOR UPDATE"), given))

    event.listen(database.writer.sync_engine, "before_cursor_execute", listen)
    await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    event.remove(database.writer.sync_engine, "before_cursor_execute", listen)
    return asked


async def _rows_of(database: Database, asked: list[Statement]) -> Counter[str]:
    read: Counter[str] = Counter()
    async with database.writer.connect() as connection:
        for sql, given in asked:
            explained = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", given)
            told = explained.scalar_one()
            (plan,) = told if isinstance(told, list) else json.loads(told)
            _add(plan["Plan"], read)
    return read


def _add(node: dict[str, Any], read: Counter[str]) -> None:
    """Rows taken from a table, whether or not a filter let them pass."""
    if "Relation Name" in node:
        rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        read[node["Relation Name"]] += round(rows * node["Actual Loops"])
    for below in node.get("Plans", ()):
        _add(below, read)
