"""The connection that pipelines: one round trip, rows of one width, and nothing after an error."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ledger.kernel.database import Database
from ledger.kernel.packing import bigints, byteas, integer, smallints
from ledger.kernel.wire import ServerRefused, Statement, Wire, WireLost
from tests.servers import Urls

BEGIN = Statement("begin", "BEGIN")
COMMIT = Statement("commit", "COMMIT")
MAKE = Statement("make", "CREATE TEMPORARY TABLE seen (number bigint PRIMARY KEY, name text) ON COMMIT DROP")
COPY = Statement("copy", "COPY seen (number, name) FROM STDIN (FORMAT binary)")
COUNT = Statement("count", "SELECT count(*) FROM seen", "q")
NUMBERS = Statement("numbers", "SELECT n, n * 2 FROM generate_series(1, $1::int) n", "i i")
PAIRS = Statement("pairs", "SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])")
FAILS = Statement("fails", "SELECT 1 / $1::int", "i")


@pytest.fixture
async def wire(urls: Urls) -> AsyncIterator[Wire]:
    wire = await Wire.open(urls.owner, {})  # who may make the tables of these tests
    yield wire
    wire.close()


def _copied(*numbers: int) -> bytes:
    rows = (b"\0\2\0\0\0\x08" + number.to_bytes(8) + b"\0\0\0\1x" for number in numbers)
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"".join(rows) + b"\xff\xff"


async def test_a_flight_brings_the_rows_of_each_statement_in_order(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(BEGIN)
    flight.run(MAKE)
    flight.copy(COPY, _copied(1, 2, 3))
    flight.run(COUNT)
    flight.run(NUMBERS, integer(4))
    flight.run(COMMIT)

    assert await flight.land() == [[], [], [], [(3,)], [(1, 2), (2, 4), (3, 6), (4, 8)], []]


async def test_more_rows_than_one_read_holds_come_whole(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(NUMBERS, integer(300_000))

    (rows,) = await flight.land()

    assert rows == [(number, number * 2) for number in range(1, 300_001)]


async def test_rows_without_a_layout_come_as_bytes_and_none(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(PAIRS, smallints([1, 2]), bigints([7]), byteas([b"x", b""]))

    (rows,) = await flight.land()

    assert rows == [(b"\0\1", b"\0\0\0\0\0\0\0\7", b"x"), (b"\0\2", None, b"")]


async def test_a_null_where_rows_have_one_width_is_told_apart(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(Statement("null", "SELECT NULL::int, 1", "i i"))

    with pytest.raises(TypeError, match="bytes"):
        await flight.land()


async def test_nothing_behind_an_error_is_run_and_the_connection_goes_on(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(BEGIN)
    flight.run(MAKE)
    flight.run(FAILS, integer(0))
    flight.copy(COPY, _copied(1))
    flight.run(COMMIT)

    with pytest.raises(ServerRefused) as refused:
        await flight.land()

    assert refused.value.code == "22012"
    await _go_on(wire)


async def test_a_copy_that_breaks_a_constraint_says_which_and_no_value(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(BEGIN)
    flight.run(MAKE)
    flight.copy(COPY, _copied(5, 5))
    flight.run(COMMIT)

    with pytest.raises(ServerRefused) as refused:
        await flight.land()

    assert (refused.value.code, refused.value.constraint) == ("23505", "seen_pkey")
    assert "(5)" not in str(refused.value)


async def test_a_session_that_is_ended_by_the_server_is_lost(wire: Wire, urls: Urls) -> None:
    pid = await _pid(wire)
    waiting = wire.flight()
    waiting.run(Statement("sleep", "SELECT pg_sleep(30)"))
    landing = asyncio.create_task(waiting.land())
    await asyncio.sleep(0.1)
    other = await asyncpg.connect(urls.owner)

    await other.execute("SELECT pg_terminate_backend($1)", pid)

    with pytest.raises(WireLost):
        await landing
    assert wire.is_lost
    with pytest.raises(WireLost):
        await wire.flight().land()
    await other.close()


async def test_a_flight_that_never_left_has_prepared_nothing(wire: Wire) -> None:
    wire.flight().run(NUMBERS, integer(1))  # whoever made it failed before sending it

    flight = wire.flight()
    flight.run(NUMBERS, integer(2))
    flight.run(NUMBERS, integer(1))

    assert await flight.land() == [[(1, 2), (2, 4)], [(1, 2)]]


async def test_a_flight_that_is_given_up_closes_its_connection(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(Statement("sleep", "SELECT pg_sleep(30)"))
    landing = asyncio.create_task(flight.land())
    await asyncio.sleep(0.05)

    landing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await landing
    assert wire.is_lost


async def test_a_flight_that_has_departed_is_worked_on_before_the_rest_is_there(
    wire: Wire, urls: Urls
) -> None:
    other = await asyncpg.connect(urls.owner)
    pid = await _pid(wire)
    flight = wire.flight()
    flight.run(BEGIN)
    flight.run(MAKE)
    flight.copy(COPY, _copied(1, 2))
    flight.depart()

    writes = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND mode = 'RowExclusiveLock'"
    for _ in range(2_000):
        if await other.fetchval(writes, pid):
            break  # nobody waits for it to land, and yet it copies
        await asyncio.sleep(0.01)
    else:
        pytest.fail("what has departed was not begun")
    flight.run(COUNT)
    flight.run(COMMIT)

    assert await flight.land() == [[], [], [], [(2,)], []]
    assert wire.departed is None
    await other.close()


async def test_an_error_of_what_has_departed_stops_the_rest_of_the_flight(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(BEGIN)
    flight.run(FAILS, integer(0))
    flight.depart()
    await asyncio.sleep(0.1)
    assert wire.departed is flight
    flight.run(MAKE)

    with pytest.raises(ServerRefused) as refused:
        await flight.land()

    assert refused.value.code == "22012"
    await _go_on(wire)


async def test_more_than_a_socket_takes_at_once_arrives_whole(wire: Wire) -> None:
    flight = wire.flight()
    flight.run(BEGIN)
    flight.run(MAKE)
    flight.copy(COPY, _copied(*range(600_000)))  # 14 MB
    flight.run(COUNT)
    flight.run(COMMIT)

    assert (await flight.land())[3] == [(600_000,)]


async def _go_on(wire: Wire) -> None:
    """Roll back, and use a statement again that the failed flight had prepared."""
    flight = wire.flight()
    flight.run(Statement("rollback", "ROLLBACK"))
    flight.run(FAILS, integer(1))
    assert await flight.land() == [[], [(1,)]]


async def _pid(wire: Wire) -> int:
    flight = wire.flight()
    flight.run(Statement("pid", "SELECT pg_backend_pid()", "i"))
    (((pid,),),) = await flight.land()
    assert isinstance(pid, int)
    return pid


async def test_a_server_that_vanishes_without_a_word_is_noticed(database: Database) -> None:
    lane = await database.open_wire()
    opened = lane._opened.transport.get_extra_info("socket")

    watched = [opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    watched += [
        opened.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    ]

    assert watched == [1, 10, 5, 4, 30_000]
    lane.close()
