"""Taking over an existing programme: a file, chunk by chunk, with an outcome for each of its rows.

A chunk is three steps, each of which may be done again: people become members, the ledger opens
their balances, the outcomes are kept. A person who arrived before is known by their number, a balance
that was opened before by its key. So whoever is killed anywhere starts again and ends the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Ledger, Open
from ledger.kernel.database import Database
from ledger.kernel.refusals import Refusal
from members import Arrival, MasterKeys, enrol_many, who_is_known
from partners.events import record
from partners.names import name as checked_name

from . import store
from .file import Chunk
from .lots import Issuers, opening
from .rows import Row
from .store import Import, RowOutcome
from .totals import Control, Difference, Totals, differences

MAX_RECORDS: Final = 500
"""Members in one chunk: each takes up to three locks of PostgreSQL while it is enrolled."""

_LONGEST_SOURCE: Final = 40


class ImportOutOfStep(Refusal):
    """Rows come in order, without a gap, and once: the message says which is the next."""

    code = "IMPORT_OUT_OF_STEP"

    def __init__(self, known: Import) -> None:
        what = "the import has ended" if known.ended_at else f"the next row is {known.done + 1}"
        super().__init__(what, field=("firstRow",))


@dataclass(frozen=True, slots=True)
class Checked:
    """What a chunk would come to."""

    rows: tuple[RowOutcome, ...]
    totals: Totals
    control: Control


@dataclass(slots=True)
class Rehearsal:
    """What a dry run remembers from chunk to chunk: who would be there by now."""

    seen: set[bytes] = field(default_factory=set)


async def begin(connection: AsyncConnection, *, source: str, file: str, at: datetime, by: str) -> Import:
    """The import of `file` from the programme `source`; the same one whenever it is asked for again."""
    checked_name(source, field="source", longest=_LONGEST_SOURCE)
    return await store.begin(connection, source=source, file=checked_name(file, field="file"), at=at, by=by)


async def find_import(connection: AsyncConnection, id_: int) -> Import | None:
    """The import of that id."""
    return await store.find_import(connection, id_)


def check_step(known: Import, *, after: int) -> None:
    """Raise `ImportOutOfStep` unless rows past `after` are the next ones."""
    if known.done != after or known.ended_at is not None:
        raise ImportOutOfStep(known)


async def imports(connection: AsyncConnection, *, before: int | None, first: int) -> list[Import]:
    """Imports, newest first."""
    return await store.imports_before(connection, before, first=first)


async def outcomes(
    connection: AsyncConnection, import_: int, *, after: int, first: int, refused_only: bool = False
) -> list[RowOutcome]:
    """What became of the rows past `after`, in the order of the file."""
    return await store.rows_after(connection, import_, after, first=first, refused_only=refused_only)


def differing(known: Import) -> list[Difference]:
    """Where what was taken over so far is not what the file claims to hold."""
    return differences(known.totals, known.control)


async def post_chunk(
    database: Database,
    ledger: Ledger,
    keys: MasterKeys,
    issuers: Issuers,
    source: str,
    chunk: Chunk,
    *,
    at: datetime,
) -> Checked:
    """Make members of a chunk's people and open their balances; what became of each row.

    Nothing is kept of it yet: `keep` does that. Raises the first refusal that may pass (`THROTTLED`,
    `READ_ONLY`): then the chunk is to be posted again, and rows that are done stay as they are.
    """
    readable = [Row.of(one, source, issuers, at=at) for one in chunk.sources]
    people = [read.newcomer for read in readable if read.newcomer is not None]
    async with database.writer.begin() as connection:
        arrivals = iter(await enrol_many(connection, keys, people, at=at))
    arrived = [(read, next(arrivals) if read.newcomer else None) for read in readable]
    commands = [_command(source, read, arrival, at) for read, arrival in arrived]
    answers = iter(await ledger.submit_many([command for command in commands if command is not None]))
    return _checked(
        [
            (read, read.outcome(arrival, next(answers) if command is not None else None))
            for (read, arrival), command in zip(arrived, commands, strict=True)
        ]
    )


async def check_chunk(
    database: Database,
    keys: MasterKeys,
    issuers: Issuers,
    source: str,
    chunk: Chunk,
    rehearsal: Rehearsal,
    *,
    at: datetime,
) -> Checked:
    """What `post_chunk` would come to, writing nothing. Whether a balance was opened before is not asked."""
    readable = [Row.of(one, source, issuers, at=at) for one in chunk.sources]
    people = [read.newcomer for read in readable if read.newcomer is not None]
    async with database.writer.connect() as connection:
        arrivals = iter(await who_is_known(connection, keys, people, seen=rehearsal.seen))
    return _checked([(read, read.outcome(next(arrivals) if read.newcomer else None)) for read in readable])


async def keep(
    connection: AsyncConnection,
    id_: int,
    chunk: Chunk,
    checked: Checked,
    *,
    after: int,
    at: datetime,
    is_last: bool,
) -> Import:
    """Keep what became of a chunk, whose rows follow `after`. Raises `ImportOutOfStep` if they do not."""
    known = await store.lock_import(connection, id_)
    check_step(known, after=after)
    refused = sum(bool(row.code) for row in checked.rows)
    kept = msgspec.structs.replace(
        known,
        done=max(chunk.last, after),
        accepted=known.accepted + len(checked.rows) - refused,
        refused=known.refused + refused,
        totals=known.totals.plus(checked.totals),
        control=checked.control.over(known.control),
    )
    await store.add_rows(connection, id_, checked.rows)
    return await end(connection, kept, at=at) if is_last else await _save(connection, kept)


async def end(connection: AsyncConnection, known: Import, *, at: datetime) -> Import:
    """Say that a file had no more rows. An import that has ended stays as it is."""
    if known.ended_at is not None:
        return known
    ended = await _save(connection, msgspec.structs.replace(known, ended_at=at))
    body = {
        "import": known.id,
        "source": known.source,
        "accepted": known.accepted,
        "refused": known.refused,
        "by": known.begun_by,
    }
    await record(connection, "balances.imported", at=at, body=body)
    return ended


async def _save(connection: AsyncConnection, known: Import) -> Import:
    await store.save_import(connection, known)
    return known


def _command(programme: str, read: Row, arrival: Arrival | Refusal | None, at: datetime) -> Open | None:
    if not isinstance(arrival, Arrival) or not read.lots:
        return None
    return opening(programme, arrival.member, read.lots, at=at)


def _checked(read: Sequence[tuple[Row, RowOutcome]]) -> Checked:
    """Rows that make a difference to the totals: people who were taken over, and claims."""
    totals, control = Totals(), Control()
    points: dict[int, int] = {}
    members = 0
    for one, row in read:
        if one.control is not None:
            control = one.control.over(control)
        elif not row.code:
            members += 1
            for lot in one.lots:
                points[lot.issuer] = points.get(lot.issuer, 0) + lot.points
    totals = Totals(members=members, points=points)
    return Checked(tuple(row for one, row in read if one.control is None), totals, control)
