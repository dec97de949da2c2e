"""The settlement's SQL: one function per question. Nothing here reads lines or lots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from msgspec import structs
from sqlalchemy import Row, Select, Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.fence import Span
from ledger.kernel.ids import TREASURY
from ledger.tables import operations

from . import tables
from .cells import Cell, Holding, digest
from .closing import Closing
from .prices import Prices
from .sheet import Sheet, SheetLine
from .statements import StatementRow

_PERIOD_LOCK: Final = 0x6B706572
"""The first half of the advisory lock of a period; its ordinal is the second."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage that a period has reached."""

    stage: str
    reached_at: datetime
    reached_by: str
    hash: bytes | None


async def lock_period(connection: AsyncConnection, period: int) -> None:
    """Let one transaction at a time move a period."""
    await connection.execute(select(func.pg_advisory_xact_lock(_PERIOD_LOCK, period)))


async def stages(
    connection: AsyncConnection, among: Collection[int] | None = None
) -> dict[int, tuple[StageRow, ...]]:
    """The stages reached by period, in order; of all periods when `among` is None."""
    table = tables.period_stages
    query = select(table).order_by(table.c.period, table.c.ordinal)
    found: dict[int, list[StageRow]] = defaultdict(list)
    for row in await connection.execute(_of(query, table, among)):
        found[row.period].append(StageRow(row.stage, row.reached_at, row.reached_by, row.hash))
    return {ordinal: tuple(rows) for ordinal, rows in found.items()}


async def add_stage(
    connection: AsyncConnection, period: int, *, stage: str, at: datetime, by: str, hash_: bytes | None
) -> None:
    """Append a stage to a period's history."""
    table = tables.period_stages
    last = await connection.scalar(select(func.max(table.c.ordinal)).where(table.c.period == period))
    row = {"stage": stage, "reached_at": at, "reached_by": by, "hash": hash_}
    await connection.execute(insert(table).values(period=period, ordinal=(last or 0) + 1, **row))


async def kept_in_treasury(connection: AsyncConnection, principal: str) -> list[bytes]:
    """What the treasury's operations of `principal` keep with them, oldest first; by the primary key."""
    table = operations.c
    query = select(table.detail).where(table.bucket == TREASURY, table.principal == principal)
    return list(await connection.scalars(query.where(table.detail != b"").order_by(table.id)))


async def add_cells(connection: AsyncConnection, period: int, cells: Sequence[Cell]) -> None:
    """Freeze a period's cells."""
    await _add(connection, tables.cells, ({"period": period, **asdict(cell)} for cell in cells))


async def cells(connection: AsyncConnection, period: int) -> list[Cell]:
    """The frozen cells of a period, in order."""
    return sorted(Cell(**row) for row in await _rows(connection, tables.cells, period))


async def add_holdings(connection: AsyncConnection, period: int, holdings: Sequence[Holding]) -> None:
    """Freeze what was outstanding at the end of a period."""
    await _add(
        connection, tables.frozen_stock, ({"period": period, **asdict(holding)} for holding in holdings)
    )


async def holdings(connection: AsyncConnection, period: int) -> list[Holding]:
    """What was outstanding at the end of a period, in order."""
    return sorted(Holding(**row) for row in await _rows(connection, tables.frozen_stock, period))


async def closing(connection: AsyncConnection, span: Span, prices: Prices) -> Closing:
    """The frozen figures of a period, to be brought to money at these prices."""
    frozen, outstanding = await cells(connection, span.period), await holdings(connection, span.period)
    return Closing(
        span=span,
        cells=frozen,
        holdings=outstanding,
        opened_with=await holdings(connection, span.period - 1),
        prices=prices,
        hash=digest(span.period, frozen, outstanding),
    )


async def add_sheet(connection: AsyncConnection, period: int, sheet: Sheet, *, at: datetime) -> None:
    """Store a period's sheet with its obligations."""
    values = {"currency": sheet.currency, "mode": str(sheet.mode), "drawn_up_at": at}
    await connection.execute(insert(tables.sheets).values(period=period, **values))
    await _add(connection, tables.sheet_lines, ({"period": period, **asdict(line)} for line in sheet.lines))
    await _add(
        connection,
        tables.obligations,
        (
            {"period": period, "debtor": debtor, "creditor": creditor, "micro": micro}
            for (debtor, creditor), micro in sheet.owed.items()
        ),
    )


async def sheets(connection: AsyncConnection, among: Collection[int] | None = None) -> dict[int, Sheet]:
    """The sheets by period; of all periods when `among` is None."""
    lines: dict[int, list[SheetLine]] = defaultdict(list)
    owed: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for row in await _ordered(connection, tables.sheet_lines, among):
        lines[row.period].append(
            SheetLine(
                partner=row.partner,
                opening_micro=row.opening_micro,
                charge_micro=row.charge_micro,
                payable_micro=row.payable_micro,
            )
        )
    for row in await _ordered(connection, tables.obligations, among):
        owed[row.period][row.debtor, row.creditor] = row.micro
    return {
        row.period: Sheet(
            currency=row.currency, mode=row.mode, owed=owed[row.period], lines=tuple(lines[row.period])
        )
        for row in await _ordered(connection, tables.sheets, among)
    }


async def drawn_up(connection: AsyncConnection) -> dict[int, datetime]:
    """When each period's sheet was drawn up."""
    return {row.period: row.drawn_up_at for row in await _ordered(connection, tables.sheets, None)}


async def add_statements(connection: AsyncConnection, rows: Iterable[StatementRow]) -> None:
    """Store a period's statements."""
    await _add(connection, tables.statements, (structs.asdict(row) for row in rows))


async def statements(
    connection: AsyncConnection,
    *,
    period: int | None = None,
    partner: int | None = None,
    after: int = 0,
    most: int | None = None,
) -> list[StatementRow]:
    """At most `most` statements of periods past `after`, by period and partner; of all when one is None."""
    table = tables.statements
    query = _of(
        select(table).order_by(table.c.period, table.c.partner), table, None if period is None else (period,)
    )
    if partner is not None:
        query = query.where(table.c.partner == partner)
    found = await connection.execute(query.where(table.c.period > after).limit(most))
    return [_statement(row) for row in found]


async def find_statement(connection: AsyncConnection, number: str) -> StatementRow | None:
    """The statement of that number."""
    table = tables.statements
    row = (await connection.execute(select(table).where(table.c.number == number))).one_or_none()
    return _statement(row) if row else None


def _statement(row: Row[Any]) -> StatementRow:
    return StatementRow(
        number=row.number,
        period=row.period,
        partner=row.partner,
        charge_micro=row.charge_micro,
        body=row.body,
        hash=row.hash,
    )


async def _add(connection: AsyncConnection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    many = list(rows)
    if many:
        await connection.execute(insert(table), many)


async def _rows(connection: AsyncConnection, table: Table, period: int) -> list[dict[str, Any]]:
    columns = [column for column in table.c if column.name != "period"]
    found = await connection.execute(select(*columns).where(table.c.period == period))
    return [dict(row) for row in found.mappings()]


async def _ordered(
    connection: AsyncConnection, table: Table, among: Collection[int] | None
) -> list[Row[Any]]:
    query = select(table).order_by(*table.primary_key)
    return list((await connection.execute(_of(query, table, among))).all())


def _of(query: Select[Any], table: Table, among: Collection[int] | None) -> Select[Any]:
    return query if among is None else query.where(table.c.period.in_(among))
