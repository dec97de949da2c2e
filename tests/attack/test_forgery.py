"""The writer may add to history, so what it adds outside the ledger's own blocks is found and named."""

from __future__ import annotations

import asyncpg
import pytest

from ledger import Ledger, invariants, proof
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from tests.ledger import proving
from tests.ledger.builders import MEMBER, START, a_burn, an_earn
from tests.ledger.instances import extend_calendar
from tests.servers import Urls

BUCKET = MEMBER >> 56

MONEY = {"unit": "'RUB'", "debit": "20", "credit": "21"}
"""A forged line of money moves no wallet and no flow: only the chain can give it away."""

FORGERIES = {
    "an operation after the last block": ("operations", {"id": "id + 9", "key": "'forged'"}),
    "an operation of the last id at another instant": (
        "operations",
        {"recorded_at": "recorded_at + interval '1 second'", "points": "points + 1"},
    ),
    "an operation of the first id at an earlier instant": (
        "operations",
        {"recorded_at": "recorded_at - interval '0.1 second'", "points": "points + 1"},
    ),
    "an operation in a bucket that nobody has": (
        "operations",
        {"bucket": "99", "id": "id + (92::bigint << 56)"},
    ),
    "one more line of an operation": ("lines", {"ordinal": "ordinal + 50", **MONEY}),
    "the same line again at another instant": (
        "lines",
        {"recorded_at": "recorded_at + interval '1 second'", **MONEY},
    ),
    "a line of an operation that is not there": ("lines", {"operation": "operation + 9", **MONEY}),
    "a line of points of an operation that is not there": ("lines", {"operation": "operation + 9"}),
    "a line in a bucket that nobody has": ("lines", {"bucket": "99", **MONEY}),
    "a block after the last": ("blocks", {"height": "height + 2"}),
    "a block far after the last": ("blocks", {"height": "height + 5"}),
    "the same block again at another instant": (
        "blocks",
        {"recorded_at": "recorded_at + interval '1 second'"},
    ),
    "a block in a bucket that nobody has": ("blocks", {"bucket": "99"}),
    "a key of an operation that is not there": (
        "keys",
        {"key": "'\\x00'::bytea", "operation": "operation + 9"},
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_was_added_by_hand_is_found(database: Database, urls: Urls, forgery: str) -> None:
    await extend_calendar(database)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    await ledger.submit(an_earn(100))
    await ledger.submit(a_burn(30))
    await ledger.drain()
    await proving.holds(database)
    table, changed = FORGERIES[forgery]

    await _add_by_hand(urls, table, changed)

    result = await proof.prove(database.writer, invariants.INVARIANTS)
    assert not result.is_ok
    assert {finding.bucket for finding in result.findings} & {BUCKET, 99}


async def _add_by_hand(urls: Urls, table: str, changed: dict[str, str]) -> None:
    """As the writer: copy the table's first row with some columns changed."""
    writer = await asyncpg.connect(urls.writer)
    await writer.execute("SELECT make_partitions('2025-12-31')")
    columns = [row[0] for row in await writer.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0", table
    )]  # fmt: skip
    values = ", ".join(changed.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    status = await writer.execute(
        f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} ORDER BY 1, 2 LIMIT 1"
    )
    await writer.close()
    assert status == "INSERT 0 1"
