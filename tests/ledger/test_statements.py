"""What a lane sends to PostgreSQL: bound to its own buckets, and waiting for no other lane."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from struct import iter_unpack, unpack_from
from typing import Any, Final, NamedTuple

import asyncpg
import pytest
from sqlalchemy import text

from ledger import Ledger, changing, counter_store, escrow, lookback, saving, store, transit_saving
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import LANE_SETTINGS, Database
from ledger.kernel.ids import bucket_of, compose
from ledger.kernel.wire import Flight, Row, Statement, Wire
from tests.servers import Urls

from . import proving
from .builders import (
    FAR,
    START,
    a_burn,
    a_capture,
    a_counter,
    a_donation,
    a_freeze,
    a_grant,
    a_merge,
    a_novation,
    a_receipt,
    a_return,
    a_transfer,
    a_void,
    an_adjustment,
    an_arming,
    an_authorization,
    an_earn,
    an_opening,
    an_opening_lot,
    an_unfreeze,
)
from .instances import a_process, code, codes, extend_calendar

OF_BUCKETS = (
    "heads|keys|operations|lines|blocks|wallets|lots|holds|slices|transits|counters|allowances"
    "|dues|returned|flows|stock|stock_at_fence"
)

_COPIED = re.compile(rf"^COPY ({OF_BUCKETS}) \(bucket, ")
_TABLE = re.compile(rf"\b(?:FROM|JOIN|UPDATE|INTO)\s+({OF_BUCKETS})\b")
_BINDING = re.compile(
    r"\bbucket = (?:\w+\.bucket|ANY\(\$\d+|\$\d+)"  # a look-up or a move
    r"|\((?:period, )?bucket,(?![^()]*\)\s*(?:JOIN|WHERE))"  # the columns of an INSERT
)
_BUCKETS_GIVEN = re.compile(
    r"unnest\(\s*\$(\d+)::smallint\[\]|bucket = ANY\(\$(\d+)|bucket = \$(\d+)|VALUES \(\$(\d+)::smallint"
)


class Heard(NamedTuple):
    """What a lane's connection was asked; `copied` are the rows that went with a COPY."""

    wire: Wire
    statement: Statement
    parameters: tuple[bytes, ...] = ()
    copied: bytes = b""


class Listening(Wire):
    """A lane's connection that keeps what it was asked."""

    heard: list[Heard] = []  # noqa: RUF012 - one list for all of a test's connections

    def flight(self) -> Flight:
        return HeardFlight(self)


class HeardFlight(Flight):
    def run(self, statement: Statement, *parameters: bytes) -> int:
        Listening.heard.append(Heard(self._wire, statement, parameters))
        return super().run(statement, *parameters)

    def copy(self, statement: Statement, data: bytes) -> None:
        Listening.heard.append(Heard(self._wire, statement, copied=data))
        super().copy(statement, data)


class OverheardDatabase(Database):
    async def open_wire(self) -> Wire:
        return await Listening.open(self.lane_url, LANE_SETTINGS)


@pytest.fixture
async def overheard(database: Database) -> AsyncIterator[Ledger]:
    """A ledger whose lanes' statements are heard."""
    await extend_calendar(database)
    Listening.heard.clear()
    listening = OverheardDatabase(database.writer, database.reader, database.lanes, database.lane_url)
    ledger = Ledger(listening, DrivenClock(START), lanes=8, connections=4)
    await ledger.start()
    yield ledger
    await ledger.drain()


async def test_every_statement_is_bound_to_the_buckets_of_its_lane(overheard: Ledger) -> None:
    own = [compose(bucket, 1) for bucket in (2, 10, 58)]
    await overheard.submit_many([an_earn(100, member=member) for member in own])
    held = await overheard.submit_many([an_authorization(20, member=member) for member in own])
    holds = [outcome.hold for outcome in held if outcome.hold is not None]
    await overheard.submit_many([a_capture(holds[0], 5), a_void(holds[1]), a_burn(9, member=own[2])])
    await overheard.submit_many([an_earn(7, member=member, key=f"again-{member}") for member in own])
    await overheard.submit_many([an_earn(7, member=member, key=f"again-{member}") for member in own])
    await overheard.advance(datetime(2026, 1, 31, tzinfo=UTC))  # holds lapse
    bought = await overheard.submit_many(
        [an_earn(9, member=member, receipt=a_receipt(), occurred_at=START) for member in own]
    )
    await overheard.submit_many([a_burn(110, member=member) for member in own])
    await overheard.submit_many(
        [a_return(each.operation, member=each.operation >> 56 << 56 | 1) for each in bought]
    )
    await overheard.submit_many([an_earn(4, member=member) for member in own])  # recovers what is due
    await overheard.submit_many([an_earn(500, member=member) for member in own])
    opened = an_opening(an_opening_lot(30), member=compose(2, 2))
    merged = [an_opening(an_opening_lot(30), member=compose(10, number)) for number in (2, 3)]
    outcomes = await overheard.submit_many([opened, *merged])
    outcomes += await overheard.submit_many(
        [
            a_grant(5, member=own[0]),
            a_donation(6, member=own[1]),
            an_adjustment(-7, member=own[2]),
            an_adjustment(8, member=own[2], key="more"),
            a_novation(1, 2, member=own[0]),
            an_earn(
                3, member=own[1], counters=(a_counter(3), a_counter(3, 1_000, name="all", is_shared=True))
            ),
            an_arming(until=FAR, notice_days=7, member=own[2]),
        ]
    )
    sent, _ = await overheard.transfer(a_transfer(9, member=own[0], to_member=own[2]))
    outcomes += [sent, await overheard.submit(a_merge(merged[1].member, member=merged[0].member))]
    await overheard.drive_all()
    outcomes += await overheard.submit_many([a_freeze(member=own[1]), an_unfreeze(member=own[1])])

    assert set(codes(outcomes)) == {"OK"}
    about_buckets = [(heard, locked) for heard, locked in _with_locked() if _is_about_buckets(heard)]
    assert len({heard.statement.sql for heard, _ in about_buckets}) >= 38
    assert {table for heard, _ in about_buckets for table in _COPIED.findall(heard.statement.sql)} == {
        *saving._COPY
    }
    for heard, locked in about_buckets:
        query = heard.statement.sql
        assert heard.copied or len(_BINDING.findall(query)) >= len(_TABLE.findall(query)), query
        given = _copied(heard.copied) if heard.copied else _given(query, heard.parameters)
        assert given, query
        assert given <= locked <= set(range(2, 64, 8)), query
    # Where a batch has one bucket, that is equality.
    assert len({heard.statement.sql for heard, locked in about_buckets if len(locked) == 1}) >= 15


_COPY_HEADER: Final = 19
"""Bytes before the first row of a binary COPY: its signature, flags, and the length of nothing."""

_VALUES: dict[str, Any] = {
    "smallint": 99,
    "int": 1,
    "bigint": compose(5, 1),
    "timestamptz": START,
    "text": "x",
    "bytea": b"x",
    "boolean": False,
    "tid": (0, 0),
}
_STATEMENTS = {
    statement.name.decode(): statement
    for module in (saving, changing, transit_saving, escrow, counter_store, lookback, store)
    for statement in vars(module).values()
    if isinstance(statement, Statement)
}
_UPDATES = [name for name, said in _STATEMENTS.items() if re.search(r"\bUPDATE \w+ \w+\s+SET\b", said.sql)]


@pytest.mark.parametrize("name", sorted({*_UPDATES} - {"move_wallets"}))  # that one tells which it found
async def test_an_update_of_state_fails_when_a_row_is_not_there(
    ledger: Ledger, urls: Urls, name: str
) -> None:
    statement = _STATEMENTS[name]
    types = dict(re.findall(r"\$(\d+)::(\w+)\[\]", statement.sql))
    values = [[_VALUES[types[str(number)]]] for number in range(1, len(types) + 1)]
    writer = await asyncpg.connect(urls.writer)

    with pytest.raises(asyncpg.DivisionByZeroError):
        await writer.fetch(statement.sql, *values)

    await writer.close()


async def test_no_statement_of_the_posting_path_scans_a_table(overheard: Ledger, database: Database) -> None:
    posted = await overheard.submit_many([an_earn(100, receipt=a_receipt()), a_burn(10), an_authorization(5)])
    await overheard.submit(a_return(posted[0].operation))
    await overheard.submit(an_earn(1))
    reads = {
        heard.statement.sql: heard.parameters
        for heard in Listening.heard
        if _TABLE.search(heard.statement.sql) and heard.statement.sql.lstrip().startswith("SELECT")
    }

    assert reads
    wire = await database.open_wire()
    for number, (query, args) in enumerate(reads.items()):
        flight = wire.flight()
        flight.run(Statement(f"plan_{number}", f"EXPLAIN {query}"), *args)
        (rows,) = await flight.land()
        plan = "\n".join(row[0].decode() for row in rows)
        assert not re.search(rf"Seq Scan on (?:{OF_BUCKETS})\b", plan), plan
    wire.close()


async def test_a_lane_that_waits_holds_up_no_other_though_one_partner_is_in_all_traffic(
    overheard: Ledger, database: Database, urls: Urls
) -> None:
    # The partner's flows, stock and partitions exist, and then lane 0 cannot go on.
    members = [compose(bucket, 1) for bucket in range(64)]
    await overheard.submit_many([an_earn(100, member=member) for member in members])
    holder = await asyncpg.connect(urls.writer)
    blocking = holder.transaction()
    await blocking.start()
    await holder.execute("SELECT 1 FROM heads WHERE bucket = 0 FOR UPDATE")

    stuck, free = members[::8], [member for member in members if bucket_of(member) % 8]
    waiting = [asyncio.create_task(overheard.submit(a_burn(10, member=member))) for member in stuck]
    async with a_process(urls) as other, asyncio.timeout(10):
        outcomes = await overheard.submit_many([a_burn(10, member=member) for member in free])
        outcomes += await other.submit_many([an_earn(5, member=member) for member in free])
        blocked = await _waiting_for_locks(urls)

    assert set(codes(outcomes)) == {"OK"}
    assert blocked == 1
    assert not any(task.done() for task in waiting)
    await blocking.commit()
    await holder.close()
    assert {code(outcome) for outcome in await asyncio.gather(*waiting)} == {"OK"}
    await proving.holds(database)


class HeldFlight(Flight):
    """A flight that writes everything and does not commit before it may."""

    commits = False

    def run(self, statement: Statement, *parameters: bytes) -> int:
        self.commits = statement is store.COMMIT
        return len(self.statements) if self.commits else super().run(statement, *parameters)

    async def land(self) -> list[list[Row]]:
        results = await super().land()
        if not self.commits:
            return results
        HoldingDatabase.written.release()
        await HoldingDatabase.may_commit.wait()
        flight = Flight(self._wire)
        flight.run(store.COMMIT)
        return results + await flight.land()


class Holding(Wire):
    def flight(self) -> Flight:
        return HeldFlight(self)


class HoldingDatabase(Database):
    written: asyncio.Semaphore
    may_commit: asyncio.Event

    async def open_wire(self) -> Wire:
        return await Holding.open(self.lane_url, LANE_SETTINGS)


async def test_batches_of_all_lanes_are_written_at_once_with_locks_that_no_two_of_them_want(
    database: Database, urls: Urls
) -> None:
    """One partner in all of them, a period that ends, and nobody commits: each has what it needs."""
    await extend_calendar(database)
    HoldingDatabase.written, HoldingDatabase.may_commit = asyncio.Semaphore(0), asyncio.Event()
    HoldingDatabase.may_commit.set()
    holding = HoldingDatabase(database.writer, database.reader, database.lanes, database.lane_url)
    ledger = Ledger(holding, DrivenClock(START), lanes=8, connections=8)
    await ledger.start()
    members = [compose(bucket, 1) for bucket in range(64)]
    await ledger.submit_many([an_earn(100, member=member) for member in members])
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE clock SET now = '2026-02-01'"))
    await ledger.submit(an_earn(1, member=members[0]))  # somebody makes the partitions of the month to come
    HoldingDatabase.written, HoldingDatabase.may_commit = asyncio.Semaphore(0), asyncio.Event()

    posted = asyncio.create_task(
        ledger.submit_many(
            [command for member in members for command in (a_burn(9, member=member), an_earn(member=member))]
        )
    )
    async with asyncio.timeout(20):
        for _ in range(8):
            await HoldingDatabase.written.acquire()
        locks = await _locks(urls)
    HoldingDatabase.may_commit.set()

    assert set(codes(await posted)) == {"OK"}
    assert len({lock["pid"] for lock in locks}) == 8
    assert {"heads", "keys", "flows", "stock", "stock_at_fence"} <= {lock["relation"] for lock in locks}
    for lock in locks:
        assert lock["granted"], lock
        assert lock["locktype"] in _OWN_ALONE or lock["mode"] in _SHARED, lock
    await ledger.drain()
    await proving.holds(database)


_OWN_ALONE: Final = {"virtualxid", "transactionid"}
"""Kinds of locks on the transaction itself."""

_SHARED: Final = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
"""What reading and writing rows takes of a table: none of them keeps another from any of them."""


async def test_a_batch_under_way_takes_row_locks_of_its_own_buckets_only(
    overheard: Ledger, database: Database, urls: Urls
) -> None:
    """While somebody else has every row of lane 0's buckets locked, all other buckets' are written."""
    members = [compose(bucket, 1) for bucket in range(64)]
    await overheard.submit_many([an_earn(100, member=member) for member in members])
    writer = await asyncpg.connect(urls.writer)
    held = writer.transaction()
    await held.start()
    for table in ("heads", "wallets", "lots", "flows", "stock"):
        await writer.execute(f"SELECT 1 FROM {table} WHERE bucket % 8 = 0 FOR UPDATE")

    async with asyncio.timeout(10):
        outcomes = await overheard.submit_many(
            [a_burn(10, member=member) for member in members if bucket_of(member) % 8]
        )

    assert set(codes(outcomes)) == {"OK"}
    await held.rollback()
    await writer.close()
    await proving.holds(database)


def _with_locked() -> Iterator[tuple[Heard, set[int]]]:
    """What was asked, each with the buckets whose heads its transaction has locked."""
    locked: dict[Wire, set[int]] = {}
    for heard in Listening.heard:
        if heard.statement is store.BEGIN:
            locked[heard.wire] = set()
        elif heard.statement is store.LOCK_HEADS:
            assert not locked[heard.wire], "heads are locked once"
            locked[heard.wire] = _smallints(heard.parameters[0])
        yield heard, locked[heard.wire]


def _is_about_buckets(heard: Heard) -> bool:
    return bool(heard.copied or _TABLE.search(heard.statement.sql))


def _copied(data: bytes) -> set[int]:
    """The buckets of a binary COPY's rows: the first column of each; columns stand after their length."""
    found, at = set(), _COPY_HEADER
    while (columns := unpack_from(">h", data, at)[0]) >= 0:
        size, bucket = unpack_from(">ih", data, at + 2)
        assert size == 2, "the first column is no smallint"
        found.add(bucket)
        at += 2
        for _ in range(columns):
            at += 4 + max(unpack_from(">i", data, at)[0], 0)
    assert at + 2 == len(data)
    return found


def _given(query: str, args: tuple[bytes, ...]) -> set[int]:
    """The buckets that a statement's parameters name."""
    found: set[int] = set()
    for match in _BUCKETS_GIVEN.finditer(query):
        value = args[int(next(number for number in match.groups() if number)) - 1]
        found |= {int.from_bytes(value)} if len(value) == 2 else _smallints(value)
    return found


def _smallints(packed: bytes) -> set[int]:
    """The elements of an array in binary format: behind its header, each after its length."""
    return {bucket for (bucket,) in iter_unpack(">4xh", packed[20:])}


async def _locks(urls: Urls) -> list[asyncpg.Record]:
    """The locks of all transactions under way that are not this one's."""
    admin = await asyncpg.connect(urls.owner)
    found = await admin.fetch(
        "SELECT l.pid, locktype, mode, granted, c.relname AS relation "
        "FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN pg_class c ON c.oid = l.relation "
        "WHERE a.datname = current_database() AND l.pid <> pg_backend_pid()"
    )
    await admin.close()
    return found


async def _waiting_for_locks(urls: Urls) -> int:
    admin = await asyncpg.connect(urls.owner)
    count: int = await admin.fetchval(
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted "
        "AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
    )
    await admin.close()
    return count


async def test_pools_are_locked_in_the_order_of_their_names(database: Database) -> None:
    await extend_calendar(database)
    Listening.heard.clear()
    listening = OverheardDatabase(database.writer, database.reader, database.lanes, database.lane_url)
    ledger = Ledger(listening, DrivenClock(START), lanes=1)
    await ledger.start()
    await ledger.submit_many(
        [
            an_earn(1, member=compose(bucket, 1), counters=(a_counter(1, 9, name=name, is_shared=True),))
            for bucket, name in ((1, "b"), (2, "a"))
        ]
    )
    await ledger.drain()

    locked = [
        heard.parameters[0].decode() for heard in Listening.heard if heard.statement.name == b"lock_pool"
    ]
    assert locked == ["a", "b"]
