"""Counters: decided with the command, in windows of programme time, and never moved by what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from ledger import Counter, Ledger, Outcome, invariants, proof, windows
from ledger.counters import MAX_COUNTERS, MOST, Count, Key, count, note
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.kernel.refusals import InvalidInput
from ledger.refusals import LimitExceeded
from ledger.tables import blocks, counters

from . import proving
from .builders import START, a_burn, a_capture, a_counter, an_authorization, an_earn
from .instances import code, codes

UTC_ZONE = ZoneInfo("UTC")
ZONES = [ZoneInfo(name) for name in ("Europe/Berlin", "America/St_Johns", "Europe/Moscow", "Asia/Kathmandu")]

instants = st.integers(0, 42 * 366 * 86_400).map(
    lambda seconds: datetime(1995, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
zones = st.sampled_from(ZONES)
calendars = st.sampled_from([windows.DAY, windows.WEEK, windows.MONTH, windows.YEAR, windows.EVER])
moments = st.lists(st.tuples(st.integers(0, 40 * 86_400), st.integers(1, 500)), min_size=1, max_size=40).map(
    lambda steps: [(timedelta(seconds=gap), amount) for gap, amount in steps]
)


strides = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 500)), min_size=20, max_size=60)


@pytest.fixture(autouse=True)
async def _proof_holds(database: Database) -> AsyncIterator[None]:
    yield
    await proving.holds(database)


async def test_a_ceiling_refuses_and_names_the_counter(ledger: Ledger) -> None:
    first = await ledger.submit(an_earn(60, counters=(a_counter(60, 100),)))

    refused = await ledger.submit(an_earn(41, counters=(a_counter(41, 100),)))

    assert (first.counted[0].total, code(first)) == (60, "OK")
    assert refused.refused is not None
    assert (refused.refused.code, refused.refused.limit) == ("LIMIT_EXCEEDED", "points")
    assert "points" in refused.refused.message
    assert refused.balance.available == 60


async def test_a_ceiling_may_be_reached_exactly(ledger: Ledger) -> None:
    outcomes = [await ledger.submit(an_earn(n, counters=(a_counter(n, 100),))) for n in (60, 40, 1)]

    assert codes(outcomes) == ["OK", "OK", "LIMIT_EXCEEDED"]


async def test_a_refused_command_counts_nowhere(ledger: Ledger) -> None:
    both = (a_counter(50, 100), a_counter(50, 20, name="receipt", window=windows.ONCE))
    refused = await ledger.submit(an_earn(50, counters=both))
    too_much = await ledger.submit(a_burn(500, counters=(a_counter(500),)))

    passed = await ledger.submit(an_earn(100, counters=(a_counter(100, 100),)))

    assert [code(refused), code(too_much), code(passed)] == ["LIMIT_EXCEEDED", "INSUFFICIENT_POINTS", "OK"]
    assert refused.refused is not None
    assert refused.refused.limit == "receipt"


async def test_a_replay_counts_once_and_answers_as_before(ledger: Ledger) -> None:
    command = an_earn(60, key="once", counters=(a_counter(60, 100),))
    first = await ledger.submit(command)
    lowered = an_earn(60, key="once", counters=(a_counter(60, 1),), digest=command.digest)

    again = await ledger.submit(lowered)

    assert (again.replayed, again.operation, again.counted) == (True, first.operation, first.counted)
    assert code(await ledger.submit(an_earn(40, counters=(a_counter(40, 100),)))) == "OK"


async def test_a_refusal_is_replayed_even_when_there_is_room_again(ledger: Ledger) -> None:
    command = an_earn(60, key="late", counters=(a_counter(60, 50),))
    await ledger.submit(command)
    await ledger.advance(START + timedelta(days=2))

    again = await ledger.submit(command)

    assert (again.replayed, code(again)) == (True, "LIMIT_EXCEEDED")


async def test_commands_of_one_batch_share_the_count(ledger: Ledger) -> None:
    outcomes = await ledger.submit_many([an_earn(30, counters=(a_counter(30, 100),)) for _ in range(5)])

    assert codes(outcomes) == ["OK"] * 3 + ["LIMIT_EXCEEDED"] * 2


async def test_a_threshold_stands_in_the_outcome_when_it_is_reached(ledger: Ledger) -> None:
    marks = (50, 100, 1_000)
    outcomes = [
        await ledger.submit(an_earn(n, counters=(a_counter(n, thresholds=marks),))) for n in (49, 1, 60, 1)
    ]

    assert [outcome.counted[0].crossed for outcome in outcomes] == [(), (50,), (100,), ()]


async def test_a_hold_that_is_given_back_was_counted_all_the_same(ledger: Ledger) -> None:
    await ledger.submit(an_earn(200))
    held = await ledger.submit(an_authorization(80, counters=(a_counter(80, 100),)))
    assert held.hold is not None
    await ledger.submit(a_capture(held.hold, 1, final=True))

    assert code(await ledger.submit(a_burn(80, counters=(a_counter(80, 100),)))) == "LIMIT_EXCEEDED"


async def test_a_capture_finds_the_counters_of_the_member_who_holds(ledger: Ledger) -> None:
    await ledger.submit(an_earn(200))
    held = await ledger.submit(an_authorization(80))
    assert held.hold is not None
    each = a_counter(1, 1, name="captures")

    outcomes = [await ledger.submit(a_capture(held.hold, 1, counters=(each,))) for _ in range(2)]

    assert codes(outcomes) == ["OK", "LIMIT_EXCEEDED"]


async def test_a_day_is_the_programmes_day(ledger: Ledger) -> None:
    daily = (a_counter(100, 100),)
    await ledger.submit(an_earn(100, counters=daily))
    await ledger.advance(START + timedelta(hours=23, minutes=59, seconds=59))
    late = await ledger.submit(an_earn(100, counters=daily))
    await ledger.advance(START + timedelta(days=1))

    assert [code(late), code(await ledger.submit(an_earn(100, counters=daily)))] == ["LIMIT_EXCEEDED", "OK"]


async def test_a_wallet_keeps_no_window_that_is_past(ledger: Ledger, database: Database) -> None:
    for day in range(40):
        await ledger.advance(START + timedelta(days=day))
        window = windows.rolling(7 * 86_400)
        await ledger.submit(an_earn(1, counters=(a_counter(1), a_counter(1, window=window))))

    async with database.writer.connect() as connection:
        rows = (await connection.execute(select(counters.c.span, func.length(counters.c.cells)))).all()
    assert {span: size // 16 for span, size in rows} == {"day": 1, "rolling:604800": 8}


async def test_commands_without_counters_keep_none(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many([an_earn(), a_burn()])

    async with database.writer.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(counters)) == 0


@pytest.mark.parametrize(
    "counter",
    [
        a_counter(-1),
        a_counter(2**53 + 1),
        a_counter(1, -1),
        a_counter(1, 2**63),
        a_counter(1, name=""),
        a_counter(1, name="x" * 10_000),
        a_counter(1, window="fortnight"),
        a_counter(1, window=windows.rolling(0)),
        a_counter(1, window=windows.rolling(10**11)),
        a_counter(1, window="rolling:-5"),
        a_counter(1, window="rolling:١٢"),
        a_counter(1, window="rolling:" + "9" * 5_000),
        a_counter(1, is_shared=True),
    ],
    ids=lambda counter: f"{counter.name[:8]}-{counter.increment}-{counter.ceiling}-{counter.window[:16]}",
)
async def test_a_counter_that_makes_no_sense_is_refused(ledger: Ledger, counter: Counter) -> None:
    refused = await ledger.submit(an_earn(10, counters=(counter,)))

    assert (code(refused), refused.balance.available) == ("INVALID_INPUT", 0)


@pytest.mark.parametrize("wrong", [{"window": "fortnight"}, {"ceiling": MOST + 1}])
async def test_a_shared_counter_that_makes_no_sense_is_refused_and_keeps_its_batch_together(
    ledger: Ledger, database: Database, wrong: dict[str, Any]
) -> None:
    counter = msgspec.structs.replace(a_counter(1, 100, is_shared=True), **wrong)

    outcomes = await ledger.submit_many([an_earn(10, counters=(counter,)), an_earn(20)])

    assert codes(outcomes) == ["INVALID_INPUT", "OK"]
    async with database.writer.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(blocks)) == 1


async def test_a_counter_named_twice_or_too_many_are_refused(ledger: Ledger) -> None:
    twice = await ledger.submit(an_earn(10, counters=(a_counter(1), a_counter(1))))
    crowd = tuple(a_counter(1, name=f"n{n}") for n in range(MAX_COUNTERS + 1))
    many = await ledger.submit(an_earn(10, counters=crowd))

    assert codes([twice, many]) == ["INVALID_INPUT"] * 2


def test_a_count_never_overflows() -> None:
    counts = {("points", windows.EVER): Count({0: MOST - 10})}

    with pytest.raises(LimitExceeded):
        count((a_counter(11, window=windows.EVER),), counts, {}, bucket=7, at=START, zone=UTC_ZONE)


def test_a_clock_that_was_set_back_begins_no_window_anew() -> None:
    tomorrow = START + timedelta(days=1)
    counts: dict[Key, Count] = {}

    def counted(at: datetime, increment: int) -> int:
        (each,) = count([a_counter(increment, 100)], counts, {}, bucket=7, at=at, zone=UTC_ZONE)
        note(counts, each)
        return each.total

    assert counted(tomorrow, 60) == 60
    assert counted(START, 30) == 90
    with pytest.raises(LimitExceeded):
        counted(START, 11)
    assert counted(tomorrow, 10) == 100


async def test_the_proof_finds_a_counter_that_was_set_back(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(60, counters=(a_counter(60, 100),)))
    await _execute(database, "UPDATE counters SET cells = overlay(cells PLACING '\\x01' FROM 16)")

    result = await proof.prove(database.writer, invariants.INVARIANTS)
    found = {finding.invariant for finding in result.findings}

    await _execute(database, "UPDATE counters SET cells = overlay(cells PLACING '\\x3c' FROM 16)")
    assert found == {"counters"}


@given(strides, st.integers(1, 40 * 86_400), zones, instants)
def test_a_rolling_count_never_forgets_early_and_a_128th_late_at_most(
    steps: list[tuple[int, int]], seconds: int, zone: ZoneInfo, at: datetime
) -> None:
    """Steps are 512ths of the window, so that many fall close to its beginning."""
    counts: dict[Key, Count] = {}
    window, done = windows.rolling(seconds), []
    whole = timedelta(seconds=seconds)
    for stride, amount in steps:
        at += whole * stride / 512
        (counted,) = count((a_counter(amount, window=window),), counts, {}, bucket=0, at=at, zone=zone)
        note(counts, counted)
        done.append((at, amount))
        must = sum(each for when, each in done if at - when < whole)
        may = sum(each for when, each in done if at - when < whole + whole / 128 + timedelta(milliseconds=1))
        assert must <= counted.total <= may


@given(moments, calendars, zones, instants)
def test_a_calendar_count_is_that_of_its_local_days(
    steps: list[tuple[timedelta, int]], window: str, zone: ZoneInfo, at: datetime
) -> None:
    counts: dict[Key, Count] = {}
    done = []
    for gap, amount in steps:
        at += gap
        (counted,) = count((a_counter(amount, window=window),), counts, {}, bucket=0, at=at, zone=zone)
        note(counts, counted)
        done.append((at.astimezone(zone).date(), amount))
        today = done[-1][0]
        # Where clocks went back over midnight, a day that had begun goes on.
        days = [day for day, _ in done]
        same = [
            each for day, each in done if _name(day, window) == max(_name(known, window) for known in days)
        ]
        assert counted.total == sum(same)
        assert today <= max(days)


@given(instants, zones, calendars)
def test_cells_grow_with_time(at: datetime, zone: ZoneInfo, window: str) -> None:
    """An hour and a half on is never an earlier cell, whatever the clocks do meanwhile."""
    later = windows.cell_of(window, at + timedelta(minutes=90), zone)

    assert later >= windows.cell_of(window, at, zone)


def test_a_window_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput):
        windows.cell_of("fortnight", START, UTC_ZONE)


async def test_counters_of_one_member_are_no_others(ledger: Ledger) -> None:
    members = [compose(7, 1), compose(7, 2), compose(8, 1)]

    outcomes: list[Outcome] = [
        await ledger.submit(an_earn(100, member=member, counters=(a_counter(100, 100),)))
        for member in members
    ]

    assert codes(outcomes) == ["OK"] * 3


def _name(day: date, window: str) -> tuple[int, ...]:
    """A local day as its window names it, in an order that is that of time."""
    year, week, _ = day.isocalendar()
    return {
        windows.DAY: (day.toordinal(),),
        windows.WEEK: (year, week),
        windows.MONTH: (day.year, day.month),
        windows.YEAR: (day.year,),
        windows.EVER: (0,),
    }[window]


async def _execute(database: Database, statement: str) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(text(statement))
