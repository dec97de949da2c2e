"""Bytes changed by chance anywhere in history, for as long as it is told: each is found and its row named."""

from __future__ import annotations

import random
import time
from typing import Any, Final

import pytest
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Integer, LargeBinary, SmallInteger, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import blocks, lines, operations

from .test_recount import _flaws, owner  # noqa: F401 - a fixture

COLUMNS: Final = [(table, column) for table in (operations, lines, blocks) for column in table.columns]


@pytest.mark.soak
async def test_a_byte_changed_by_chance_is_found_and_its_row_named(
    owner: AsyncConnection,  # noqa: F811 - that fixture
    soak_seconds: float,
    chance: random.Random,
) -> None:
    ends_at, found = time.monotonic() + soak_seconds, 0
    while not found or time.monotonic() < ends_at:
        table, column = chance.choice(COLUMNS)
        async with owner.begin_nested() as damage:
            done = await _changed(owner, table, column, chance)
            if done is not None:
                row, changed = done
                named = [flaw.row for flaw in await _flaws(owner) if flaw.bucket == row.bucket]
                assert any(_names(what, table, row) for what in named), (changed, named)
                found += 1
            await damage.rollback()
    print(f"{found} changed bytes found")  # noqa: T201


async def _changed(
    connection: AsyncConnection, table: Table, column: Column[Any], chance: random.Random
) -> tuple[Any, str] | None:
    """A row as it was and the statement that changed a byte of it; None if no row can be so."""
    rows = (await connection.execute(table.select().add_columns(text("tableoid, ctid::text AS place")))).all()
    row = chance.choice(sorted(rows, key=lambda each: (each.tableoid, each.place)))
    value = _another(column, getattr(row, column.name), chance)
    if value is None:
        return None
    there = text(f"tableoid = {row.tableoid} AND ctid = '{row.place}'::tid")
    try:
        async with connection.begin_nested():
            result = await connection.execute(table.update().where(there).values({column: value}))
    except DBAPIError:
        return None  # no table would keep it
    assert result.rowcount == 1
    return row, f"{table.name}.{column.name} of {row}: {value!r}"


def _another(column: Column[Any], value: Any, chance: random.Random) -> Any:
    """The value with one byte changed; None where there is no byte."""
    if value is None or value == "" or value == b"" or value == []:
        return None
    if isinstance(column.type, LargeBinary):
        return _with_a_byte(value, chance)
    if isinstance(column.type, ARRAY):
        at = chance.randrange(len(value))
        return [*value[:at], _number(value[at] or 0, 8, chance), *value[at + 1 :]]
    if isinstance(column.type, DateTime):
        return value.replace(microsecond=value.microsecond ^ 1 << chance.randrange(8))
    if isinstance(column.type, BigInteger | Integer):
        width = (
            2 if isinstance(column.type, SmallInteger) else 8 if isinstance(column.type, BigInteger) else 4
        )
        return _number(value, width, chance)
    at = chance.randrange(len(value))
    return value[:at] + chance.choice([each for each in "aZ09~" if each != value[at]]) + value[at + 1 :]


def _number(value: int, width: int, chance: random.Random) -> int:
    return int.from_bytes(_with_a_byte(value.to_bytes(width, signed=True), chance), signed=True)


def _with_a_byte(value: bytes, chance: random.Random) -> bytes:
    changed = bytearray(value)
    changed[chance.randrange(len(value))] ^= chance.randint(1, 255)
    return bytes(changed)


def _names(what: str, table: Table, row: Any) -> bool:
    """Whether a finding is about the row as it was: itself, or the block that it belongs to."""
    if table is blocks:
        gone = f"height {row.height} ", f"the last block is {row.height - 1}"
        return any(name in what for name in (f"block {row.height}", *gone))
    id_ = row.id if table is operations else row.operation
    return f"{id_}" in what
