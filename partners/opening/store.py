"""The SQL of imports: one function a question."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from .tables import import_rows, imports
from .totals import Control, Totals


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """A file of balances and how far it has come. `done` is the last row looked at, 0 before the first."""

    id: int
    source: str
    file: str
    begun_at: datetime
    begun_by: str
    ended_at: datetime | None
    done: int
    accepted: int
    refused: int
    totals: Totals
    control: Control


class RowOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the row at a line of the file: taken over, or refused with a code.

    `operation` is the ledger's, None where a member came without points or was refused before it.
    `field` is the path of what is wrong, empty when no single value is to blame.
    """

    row: int
    operation: int | None = None
    points: int = 0
    code: str = ""
    message: str = ""
    field: tuple[str, ...] = ()


async def begin(connection: AsyncConnection, *, source: str, file: str, at: datetime, by: str) -> Import:
    """The import of this file, made now if there was none (by uq_imports_source_file)."""
    fresh = {
        "source": source,
        "file": file,
        "begun_at": at,
        "begun_by": by,
        "done": 0,
        "accepted": 0,
        "refused": 0,
        "totals": msgspec.to_builtins(Totals(), str_keys=True),
        "control": msgspec.to_builtins(Control(), str_keys=True),
    }
    await connection.execute(
        upsert(imports).values(**fresh).on_conflict_do_nothing(constraint="uq_imports_source_file")
    )
    same = select(imports).where(imports.c.source == source, imports.c.file == file)
    return _import((await connection.execute(same)).one())


async def find_import(connection: AsyncConnection, id_: int) -> Import | None:
    """The import of that id."""
    row = (await connection.execute(select(imports).where(imports.c.id == id_))).one_or_none()
    return None if row is None else _import(row)


async def lock_import(connection: AsyncConnection, id_: int) -> Import:
    """The import, in nobody else's hands until the transaction ends."""
    query = select(imports).where(imports.c.id == id_).with_for_update()
    return _import((await connection.execute(query)).one())


async def imports_before(connection: AsyncConnection, before: int | None, *, first: int) -> list[Import]:
    """At most `first` imports, newest first, with ids below `before`."""
    query = select(imports).order_by(imports.c.id.desc()).limit(first)
    if before is not None:
        query = query.where(imports.c.id < before)
    return [_import(row) for row in await connection.execute(query)]


async def save_import(connection: AsyncConnection, known: Import) -> None:
    """Keep how far an import has come."""
    await connection.execute(
        update(imports)
        .where(imports.c.id == known.id)
        .values(
            ended_at=known.ended_at,
            done=known.done,
            accepted=known.accepted,
            refused=known.refused,
            totals=msgspec.to_builtins(known.totals, str_keys=True),
            control=msgspec.to_builtins(known.control, str_keys=True),
        )
    )


async def add_rows(connection: AsyncConnection, id_: int, rows: Sequence[RowOutcome]) -> None:
    """Keep what became of rows."""
    if rows:
        await connection.execute(
            insert(import_rows),
            [{**msgspec.structs.asdict(row), "field": ".".join(row.field), "import": id_} for row in rows],
        )


async def rows_after(
    connection: AsyncConnection, id_: int, after: int, *, first: int, refused_only: bool
) -> list[RowOutcome]:
    """At most `first` outcomes after a row, by the primary key or that of refusals."""
    query = (
        select(import_rows)
        .where(import_rows.c["import"] == id_, import_rows.c.row > after)
        .order_by(import_rows.c.row)
        .limit(first)
    )
    if refused_only:
        query = query.where(import_rows.c.code != "")
    return [_row(row) for row in await connection.execute(query)]


def _import(row: Any) -> Import:
    return Import(
        id=row.id,
        source=row.source,
        file=row.file,
        begun_at=row.begun_at,
        begun_by=row.begun_by,
        ended_at=row.ended_at,
        done=row.done,
        accepted=row.accepted,
        refused=row.refused,
        totals=msgspec.convert(row.totals, Totals, strict=False),
        control=msgspec.convert(row.control, Control, strict=False),
    )


def _row(row: Any) -> RowOutcome:
    return RowOutcome(
        row=row.row,
        operation=row.operation,
        points=row.points,
        code=row.code,
        message=row.message,
        field=tuple(row.field.split(".")) if row.field else (),
    )
