"""The views that name all of history: which there are, what they say, and whether they still do.

A proof reads the schema `whole` before all others, and tills never do. A table hung there under
another's name, or a view that says something else, would show the proof one ledger and the tills another.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Final

from sqlalchemy import Table, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.tables import blocks, lines, operations

from .recount import Flaw
from .tables import archives

TABLES: Final = (operations, lines, blocks)

_HELD: Final = text("""
    SELECT i.type, i.identity
    FROM pg_depend d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = to_regnamespace('whole')
    ORDER BY i.identity
""")
_QUALIFIER: Final = re.compile(r"(?<![\w.])\w+\.(?=\w+(?:,| FROM ))")
"""What versions of PostgreSQL may put before a column; there is one source that it can be of."""

_SAYS: Final = text("SELECT pg_get_viewdef(to_regclass(:view))")


def partition_of(table: Table, month: date) -> str:
    """The name of the table that holds a month of history, wherever it is."""
    return f"{table.name}_{month:%Y%m}"


def of_archives(table: Table, months: Sequence[date]) -> str:
    """What the view of a table's archived `months` says; they stand in order."""
    if not months:
        return f"{_all_of(table, table.name)} WHERE false"
    return " UNION ALL ".join(_all_of(table, f"archive.{partition_of(table, month)}") for month in months)


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """What the schema `whole` holds besides its views, and views that do not say what they should."""
    expected = {("view", f"whole.{table.name}") for table in TABLES}
    held = {(row.type, row.identity) for row in await connection.execute(_HELD)}
    for kind, name in sorted(held - expected):
        yield Flaw(None, f"{kind} {name} hides what is meant from the proof")
    months = list(await connection.scalars(select(archives.c.month).order_by(archives.c.month)))
    for table in TABLES:
        both = f"{_all_of(table, table.name)} UNION ALL {_all_of(table, f'archived_{table.name}')}"
        for view, said in (
            (f"whole.{table.name}", both),
            (f"public.archived_{table.name}", of_archives(table, months)),
        ):
            if await _says(connection, view) != said:
                yield Flaw(None, f"view {view} does not name what was written and nothing else")


def _all_of(table: Table, source: str) -> str:
    return f"SELECT {', '.join(table.columns.keys())} FROM {source}"  # noqa: S608 - names of our own


async def _says(connection: AsyncConnection, view: str) -> str:
    """A view's query in one line, empty if there is none; what names no schema is in `public`."""
    query = await connection.scalar(_SAYS, {"view": view}) or ""
    query = " ".join(query.replace('"', "").replace("public.", "").rstrip(";").split())
    return _QUALIFIER.sub("", query)
