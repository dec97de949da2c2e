"""Laying a month away: out of the partitions of history, into tables of its own and into Parquet.

A month is whole when time has passed it, and may go when every period with rows in it is sealed
and everything it moved has been folded, into flows and stock and into tallies. Its tables stay
readable: history that is asked for goes on into them, and the proof counts them. Only the owner of
the tables can do this.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ledger.kernel.database import is_lock_timeout
from ledger.tables import blocks, operations
from ledger.tallies.folding import LAST_MARK

from . import parquet, sealing
from .edges import edges_of, edges_to_file
from .history import WHOLE_HISTORY
from .parquet import BucketSpan
from .seal import to_file
from .seal_keys import public_keys
from .tables import archives
from .views import TABLES, of_archives, partition_of

_PAGE: Final = 5_000
_LOCK_TIMEOUT: Final = "200ms"
"""How long the tills may have to wait at most for a lock that is not got: they queue up behind it."""

_PAUSE_SECONDS: Final = 2.0
"""How long they have the partitions to themselves before the lock is asked for again."""

_TRIES: Final = 20
_KEYS: Final = {"operations": ("id",), "lines": ("operation", "ordinal"), "blocks": ("height",)}

_IS_OVER: Final = text(
    "SELECT (CASE WHEN is_driven THEN clock.now ELSE now() END) "
    # A date would be a midnight of the session's zone first, and then be moved to UTC.
    ">= cast(cast(:end AS date) AS timestamp) AT TIME ZONE 'UTC' FROM clock"
)
_EARLIER: Final = text(
    # The partitions themselves, whatever else bears the name in this transaction.
    "SELECT recorded_at FROM public.operations WHERE recorded_at < :month ORDER BY recorded_at LIMIT 1"
)
_UNTALLIED: Final = f"""
    SELECT EXISTS (SELECT FROM heads h
                   CROSS JOIN LATERAL (SELECT max(o.id) AS last FROM {{}} o WHERE o.bucket = h.bucket) o
                   WHERE o.last > coalesce(({LAST_MARK}), 0))
"""  # noqa: S608 - constants
_UNFOLDED: Final = "SELECT EXISTS (SELECT FROM {} b JOIN heads h USING (bucket) WHERE b.height > h.folded)"


class MonthNotArchivable(Exception):
    """A month that is not over, not sealed, or not there; the message says which."""


class EarlierMonthFirst(MonthNotArchivable):
    """Months go in order: a page of history goes on in the archives where the partitions have no more."""

    code = "EARLIER_MONTH_FIRST"

    def __init__(self, earlier: datetime) -> None:
        super().__init__(f"{self.code}: {earlier:%Y-%m} is to be archived before it")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: rows of each table, and the SHA-256 of the manifest."""

    rows: dict[str, int]
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A month that was archived, and how much of it there was."""

    month: date
    operations: int
    lines: int
    blocks: int


async def periods_in(connection: AsyncConnection, month: date) -> list[int]:
    """The periods with blocks in a month that is still in the partitions, in order."""
    await _check_there(connection, month)
    periods = f"SELECT DISTINCT period FROM {partition_of(blocks, month)} ORDER BY 1"  # noqa: S608
    return list(await connection.scalars(text(periods)))


async def check(connection: AsyncConnection, month: date) -> list[int]:
    """The periods with rows in `month`. Raises `MonthNotArchivable` unless it may be archived."""
    periods = await periods_in(connection, month)
    if not periods:
        raise MonthNotArchivable(f"nothing was written in {month:%Y-%m}")
    if not await connection.scalar(_IS_OVER, {"end": _after(month)}):
        raise MonthNotArchivable(f"{month:%Y-%m} is not over")
    earlier = await connection.scalar(_EARLIER, {"month": datetime(month.year, month.month, 1, tzinfo=UTC)})
    if earlier is not None:
        raise EarlierMonthFirst(earlier)
    for period in periods:
        seal = await sealing.find(connection, period)
        if seal is None:
            raise MonthNotArchivable(f"period {period}, which lies in {month:%Y-%m}, is not sealed")
        async for problem in sealing.problems(connection, seal):
            raise MonthNotArchivable(f"the proof does not hold: {problem}")
    if await connection.scalar(text(_UNFOLDED.format(partition_of(blocks, month)))):
        raise MonthNotArchivable(f"what {month:%Y-%m} moved is not folded yet: try after the next period")
    if await connection.scalar(text(_UNTALLIED.format(partition_of(operations, month)))):
        raise MonthNotArchivable(f"tallies have not taken up {month:%Y-%m} yet: let the worker run a while")
    return periods


async def export(connection: AsyncConnection, month: date, to: Path) -> Exported:
    """Write a month that `check` allows to Parquet in the new folder `to`.

    In one snapshot; what was written is read back, recounted from the files alone, and compared.
    """
    await connection.execute(WHOLE_HISTORY)
    periods = await check(connection, month)
    _make(to)
    spans = await _spans(connection, month)
    tables = {
        table.name: await parquet.write_table(
            to, table, _pages(connection, table, month, [span.bucket for span in spans])
        )
        for table in TABLES
    }
    keys = await public_keys(connection)
    sealed = []
    for period in periods:
        seal = await sealing.find(connection, period)
        assert seal is not None, "checked above"
        buckets = [
            {
                "bucket": bucket.bucket,
                "first_height": bucket.first_height,
                "blocks": bucket.blocks,
                "operations": bucket.operations,
                "root": bucket.root.hex(),
                "edges": edges_to_file(await edges_of(connection, bucket, month)),
            }
            for bucket in await sealing.buckets_of(connection, period)
        ]
        sealed.append({"seal": to_file(seal, keys[seal.key_id]), "buckets": buckets})
    manifest = {
        "format": parquet.FORMAT,
        "month": f"{month:%Y-%m}",
        "tables": tables,
        "buckets": [
            {
                "bucket": span.bucket,
                "first_height": span.first_height,
                "blocks": span.blocks,
                "previous": span.previous.hex(),
                "hash": span.hash.hex(),
            }
            for span in spans
        ],
        "periods": sealed,
    }
    written = json.dumps(manifest, indent=1).encode()
    (to / parquet.MANIFEST).write_bytes(written)
    parquet.verify(to)
    rows = {name: told["rows"] for name, told in tables.items()}
    return Exported(rows=rows, digest=sha256(written).digest())


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=False)


async def detach(owner: AsyncEngine, month: date, exported: Exported, *, by: str, at: datetime) -> Archived:
    """Take a month that was exported out of the partitions, in one transaction.

    Partitions are detached under a lock that is waited for a moment at a time, with a pause between, so
    that tills go on beside whoever reads history for long. Not CONCURRENTLY: the month would be in neither
    place for a moment, and a proof at that moment would find it missing. Raises
    `MonthNotArchivable` if the lock is not got.
    """
    for _ in range(_TRIES):
        try:
            async with owner.begin() as connection:
                return await _move(connection, month, exported, by=by, at=at)
        except DBAPIError as error:
            if not is_lock_timeout(error):
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
    raise MonthNotArchivable("history is in use by something long, such as a proof: try again")


async def archived(connection: AsyncConnection) -> list[Archived]:
    """The months that were archived, in order."""
    query = select(archives.c.month, archives.c.operations, archives.c.lines, archives.c.blocks)
    return [Archived(**row._asdict()) for row in await connection.execute(query.order_by(archives.c.month))]


async def digest_of(connection: AsyncConnection, month: date) -> bytes | None:
    """The SHA-256 of the manifest that an archived month was written with; None if it is not archived."""
    digest: bytes | None = await connection.scalar(select(archives.c.digest).where(archives.c.month == month))
    return digest


async def _move(
    connection: AsyncConnection, month: date, exported: Exported, *, by: str, at: datetime
) -> Archived:
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
    await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('make_partitions'))"))
    await _check_there(connection, month)
    for table in TABLES:
        name = partition_of(table, month)
        await connection.execute(text(f"ALTER TABLE {table.name} DETACH PARTITION {name}"))
        await connection.execute(text(f"ALTER TABLE {name} SET SCHEMA archive"))
        # The triggers that came from the parent went with it.
        await connection.execute(
            text(
                f"CREATE TRIGGER never_changed BEFORE INSERT OR UPDATE OR DELETE ON archive.{name} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
        )
    laid = Archived(month=month, **exported.rows)
    row = {**asdict(laid), "archived_at": at, "archived_by": by, "digest": exported.digest}
    await connection.execute(insert(archives).values(row))
    months = [each.month for each in await archived(connection)]
    for table in TABLES:
        view = f"CREATE OR REPLACE VIEW archived_{table.name} AS {of_archives(table, months)}"
        await connection.execute(text(view))
    return laid


async def _check_there(connection: AsyncConnection, month: date) -> None:
    if month.day != 1:
        raise MonthNotArchivable("a month begins on its first day")
    found = await connection.scalar(
        text("SELECT to_regclass(:name)"), {"name": f"public.{partition_of(blocks, month)}"}
    )
    if found is None:
        raise MonthNotArchivable(f"{month:%Y-%m} is not among the partitions: it is archived, or never was")


async def _spans(connection: AsyncConnection, month: date) -> list[BucketSpan]:
    """Where each bucket's blocks begin and end in the month; heights have no gap, as the seals say."""
    spans = []
    ends = text(
        f"SELECT bucket, min(height) AS first, max(height) AS last FROM {partition_of(blocks, month)} "  # noqa: S608
        "GROUP BY bucket ORDER BY bucket"
    )
    for row in (await connection.execute(ends)).all():
        hashes = select(blocks.c.height, blocks.c.previous, blocks.c.hash).where(
            blocks.c.bucket == row.bucket, blocks.c.height.in_([row.first, row.last])
        )
        known = {each.height: each for each in await connection.execute(hashes)}
        previous, hash_ = bytes(known[row.first].previous), bytes(known[row.last].hash)
        spans.append(BucketSpan(row.bucket, row.first, row.last - row.first + 1, previous, hash_))
    return spans


async def _pages(
    connection: AsyncConnection, table: Table, month: date, buckets: Sequence[int]
) -> AsyncIterator[Sequence[Any]]:
    """The month's rows by bucket and id, a page at a time, by the primary key."""
    key = _KEYS[table.name]
    named = ", ".join(f'"{column.name}"' for column in table.columns)
    source = f"SELECT {named} FROM {partition_of(table, month)} WHERE bucket = :bucket"  # noqa: S608
    order = f" ORDER BY {', '.join(key)} LIMIT {_PAGE}"
    indexes = [table.columns.keys().index(column) for column in key]
    for bucket in buckets:
        last: tuple[Any, ...] | None = None
        while True:
            after = "" if last is None else f" AND ({', '.join(key)}) > ({', '.join(f':{c}' for c in key)})"
            values = {"bucket": bucket} | ({} if last is None else dict(zip(key, last, strict=True)))
            page = (await connection.execute(text(source + after + order), values)).all()
            if page:
                yield [tuple(row) for row in page]
            if len(page) < _PAGE:
                break
            last = tuple(page[-1][index] for index in indexes)


def _after(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)
