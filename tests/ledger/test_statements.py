"""What a lane sends to PostgreSQL: bound to its own buckets, and waiting for no other lane."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from struct import iter_unpack
from typing import Any

import asyncpg
import pytest

from ledger import Ledger, changing, counter_store, escrow, lookback, saving, store, transit_saving
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import LANE_SETTINGS, Database
from ledger.kernel.ids import bucket_of, compose
from ledger.kernel.wire import Flight, Statement, Wire
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

_TABLE = re.compile(rf"\b(?:FROM|JOIN|UPDATE|INTO)\s+({OF_BUCKETS})\b")
_BINDING = re.compile(
    r"\bbucket = (?:\w+\.bucket|ANY\(\$\d+|\$\d+)"  # a look-up or a move
    r"|\((?:period, )?bucket,(?![^()]*\)\s*(?:JOIN|WHERE))"  # the columns of an INSERT
)
_BUCKETS_GIVEN = re.compile(
    r"unnest\(\s*\$(\d+)::smallint\[\]|bucket = ANY\(\$(\d+)|bucket = \$(\d+)|VALUES \(\$(\d+)::smallint"
)


class Listening(Wire):
    """A lane's connection that keeps what it was asked."""

    heard: list[tuple[Statement, tuple[bytes, ...]]] = []  # noqa: RUF012 - one list for all of a test's connections

    def flight(self) -> Flight:
        return HeardFlight(self)


class HeardFlight(Flight):
    def run(self, statement: Statement, *parameters: bytes) -> int:
        Listening.heard.append((statement, parameters))
        return super().run(statement, *parameters)


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
    about_buckets = [(said.sql, args) for said, args in Listening.heard if _TABLE.search(said.sql)]

    assert len({query for query, _ in about_buckets}) >= 30
    for query, args in about_buckets:
        assert len(_BINDING.findall(query)) >= len(_TABLE.findall(query)), query
        given = _given(query, args)
        assert given, query
        assert given <= set(range(2, 64, 8)), query


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
        said.sql: args
        for said, args in Listening.heard
        if _TABLE.search(said.sql) and said.sql.lstrip().startswith("SELECT")
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


async def test_a_batch_under_way_takes_row_locks_of_its_own_buckets_only(
    overheard: Ledger, database: Database, urls: Urls
) -> None:
    """A batch of lane 0 that has written everything but cannot commit leaves every other row free."""
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

    locked = [given[0].decode() for said, given in Listening.heard if said.name == b"lock_pool"]
    assert locked == ["a", "b"]
