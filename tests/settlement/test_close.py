from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.exc import DBAPIError

from ledger import Ledger, accounts
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import TREASURY
from ledger.proof import Finding
from ledger.tables import flows
from settlement import issued, periods, proof, store
from settlement.cells import digest
from settlement.close import EarlierPeriodOpen, PeriodNotEnded, advance
from settlement.closing import ClosingDiffers
from settlement.money import settle
from settlement.netting import Mode
from settlement.periods import PeriodUnknown, Stage
from settlement.statements import StatementUnknown
from tests.damage import as_owner_without_triggers
from tests.servers import Urls
from tests.settlement.coalition import (
    ENDS,
    STAFF,
    Coalition,
    found_coalition,
    store_period,
)
from tests.settlement.scenarios import GOLDEN, golden_inputs

EXPECTED: dict[str, Any] = GOLDEN["expected"]


@pytest.fixture
async def stored(coalition: Coalition, database: Database) -> Coalition:
    """The golden flows of both periods, as the ledger stores them."""
    for period in (1, 2):
        await store_period(database, coalition, golden_inputs(), EXPECTED, period)
    return coalition


async def close(database: Database, ledger: Ledger, period: int) -> periods.Period:
    await ledger.advance(ENDS[period])
    return await advance(database, ledger, period, at=ledger.clock.now(), by=STAFF)


async def money(database: Database) -> dict[tuple[int, int], int]:
    """Debits − credits of every money account, (kind, owner), as the ledger's lines have it."""
    total: dict[tuple[int, int], int] = {}
    query = text("SELECT debit, debit_owner, credit, credit_owner, amount FROM lines WHERE unit = 'RUB'")
    async with database.writer.connect() as connection:
        for debit, debit_owner, credit, credit_owner, amount in await connection.execute(query):
            total[debit, debit_owner] = total.get((debit, debit_owner), 0) + amount
            total[credit, credit_owner] = total.get((credit, credit_owner), 0) - amount
    return total


async def journals(database: Database) -> int:
    """How many journals of money were posted; a note moves none."""
    query = text("SELECT count(DISTINCT operation) FROM lines WHERE unit = 'RUB'")
    async with database.writer.connect() as connection:
        return int(await connection.scalar(query) or 0)


async def findings(database: Database) -> list[Finding]:
    """What the invariants find; these flows were stored without lines, so those are not counted."""
    found: list[Finding] = []
    async with database.writer.connect() as connection:
        for invariant in proof.INVARIANTS:
            if invariant.name != "cells_lines":
                found += await invariant.find(connection)
    return found


@pytest.mark.parametrize("last", [1, 2])
async def test_stored_flows_close_to_the_golden_figures(
    stored: Coalition, database: Database, ledger: Ledger, last: int
) -> None:
    for period in range(1, last + 1):
        closed = await close(database, ledger, period)

    expected = EXPECTED[str(last)]
    sheet = closed.sheet
    assert sheet is not None
    assert closed.stage is Stage.PROPOSED
    assert sheet.sum_micro == 0
    owed = {f"{stored.name(i)}->{stored.name(j)}": micro for (i, j), micro in sheet.owed.items()}
    assert owed == expected["gross_cells"]
    charged = {stored.name(line.partner): line.charge_micro for line in sheet.lines}
    assert charged == expected["charge"] | {"O": expected["net_operator"]}
    assert float(sheet.efficiency) == pytest.approx(expected["eff_mult"], abs=0, rel=1e-15)
    assert await findings(database) == []


async def test_the_postings_hold_the_golden_reserves_and_income(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    for period in (1, 2):
        await close(database, ledger, period)

    total = await money(database)
    expected = EXPECTED["2"]
    by_kind = {kind: -sum(m for (k, _), m in total.items() if k == kind) for kind in (21, 24, 25, 26)}
    assert by_kind == {21: sum(expected["reserve_close"].values())} | {
        kind: expected["income"][name] for kind, name in ((24, "fee"), (25, "margin"), (26, "breakage"))
    }
    charged = {name: EXPECTED["1"]["charge"][name] + EXPECTED["2"]["charge"][name] for name in "ABCD"}
    assert {name: total[settle(stored.partners[name])] for name in "ABCD"} == charged


@pytest.mark.parametrize("name", ["A", "B", "C", "D"])
async def test_a_statement_sums_to_its_line_and_rolls_its_points_forward(
    stored: Coalition, database: Database, ledger: Ledger, name: str
) -> None:
    for period in (1, 2):
        await close(database, ledger, period)

    async with database.writer.connect() as connection:
        statement = await issued.find(connection, f"0002-{stored.partners[name]:04d}")
    expected = EXPECTED["2"]
    entries = [*statement.entries, *statement.late]
    assert sum(entry.micro for entry in entries) == statement.charge_micro == expected["charge"][name]
    assert statement.due_micro == statement.opening_micro + statement.charge_micro
    assert statement.due_micro == statement.payable_micro + statement.carried_micro
    assert statement.points.opening == expected["opening_points"][name]
    assert statement.points.closing == expected["closing_points"][name]
    assert sum(age.points for age in statement.ageing) == expected["closing_points"][name]
    for entry in entries:
        if entry.price_micro is not None:
            assert abs(entry.micro) in (0, abs(entry.points * entry.price_micro))


async def test_late_items_stand_apart_with_their_origin(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    for period in (1, 2):
        await close(database, ledger, period)

    async with database.writer.connect() as connection:
        statement = await issued.find(connection, f"0002-{stored.partners['D']:04d}")
    (late,) = statement.late
    assert (late.origin_period, late.points, late.micro) == (1, 1234, -1234 * 927500)
    assert late.obligor == stored.partners["A"]


async def test_statements_are_found_by_period_and_partner(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    for period in (1, 2):
        await close(database, ledger, period)

    async with database.writer.connect() as connection:
        of_period = await issued.statements(connection, period=2)
        of_partner = await issued.statements(connection, partner=stored.partners["B"])
        with pytest.raises(StatementUnknown):
            await issued.find(connection, "0009-0001")
    assert [statement.partner_name for statement in of_period] == ["A", "B", "C", "D"]
    assert [statement.period for statement in of_partner] == [1, 2]


async def test_vat_is_charged_on_the_fee_once_per_partner(
    database: Database, driven_clock: DrivenClock
) -> None:
    coalition = await found_coalition(database, golden_inputs(), vat_ppm=200_000)
    await store_period(database, coalition, golden_inputs(), EXPECTED, 1)
    opened = Ledger(database, driven_clock)
    await opened.start()

    await close(database, opened, 1)

    async with database.writer.connect() as connection:
        statement = await issued.find(connection, f"0001-{coalition.partners['A']:04d}")
    assert statement.fee_micro == 392652487
    assert statement.vat_micro == 78530497
    rates = {entry.purpose: entry.rate_ppm for entry in (*statement.entries, *statement.late)}
    assert (rates["fee"], rates["vat"], rates["redemption"]) == (15_000, 200_000, None)
    assert await findings(database) == []
    await opened.drain()


async def test_a_period_is_not_closed_before_its_end(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    early = ENDS[1] - timedelta(microseconds=1)

    with pytest.raises(PeriodNotEnded):
        await advance(database, ledger, 1, at=early, by=STAFF)

    async with database.writer.connect() as connection:
        assert (await periods.period(connection, 1)).stage is Stage.OPEN


async def test_a_period_is_not_closed_before_the_one_before_it(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    await ledger.advance(ENDS[2])

    with pytest.raises(EarlierPeriodOpen):
        await advance(database, ledger, 2, at=ENDS[2], by=STAFF)


@pytest.mark.parametrize("period", [0, -1, 99, 2**31])
async def test_a_period_outside_the_calendar_is_refused(
    coalition: Coalition, database: Database, ledger: Ledger, period: int
) -> None:
    with pytest.raises(PeriodUnknown):
        await advance(database, ledger, period, at=ENDS[2], by=STAFF)


async def test_the_periods_that_have_begun_are_shown_page_by_page(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    await close(database, ledger, 1)

    async with database.writer.connect() as connection:
        shown = await periods.periods(connection, at=ENDS[2])
        pages = [await periods.periods(connection, at=ENDS[2], after=n, most=1) for n in range(4)]
    assert pages == [*([period] for period in shown), []]
    assert [(period.ordinal, period.stage) for period in shown] == [
        (1, Stage.PROPOSED),
        (2, Stage.OPEN),
        (3, Stage.OPEN),
    ]


async def test_closing_twice_changes_nothing(stored: Coalition, database: Database, ledger: Ledger) -> None:
    first = await close(database, ledger, 1)

    again = await advance(database, ledger, 1, at=ENDS[2], by="staff:someone-else")

    assert again == first
    assert await journals(database) == 1


async def test_two_closings_at_once_do_the_work_once(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    await ledger.advance(ENDS[1])

    closed = await asyncio.gather(*(advance(database, ledger, 1, at=ENDS[1], by=STAFF) for _ in range(4)))

    assert all(period == closed[0] for period in closed)
    assert [reached.stage for reached in closed[0].history] == [
        Stage.CUT_OFF,
        Stage.FROZEN,
        Stage.RECONCILING,
        Stage.PROPOSED,
    ]
    assert await findings(database) == []


class Killed(BaseException):
    """The process is gone: nothing may catch it."""


async def _close_for_ever(database: Database, ledger: Ledger) -> None:
    while True:
        await advance(database, ledger, 1, at=ENDS[1], by=STAFF)


@pytest.mark.parametrize("statement", range(1, 60, 5))
async def test_a_close_killed_anywhere_goes_on_where_it_was(
    stored: Coalition, database: Database, ledger: Ledger, statement: int
) -> None:
    await ledger.advance(ENDS[1])
    left = statement

    def kill(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    engine = database.writer.sync_engine
    event.listen(engine, "before_cursor_execute", kill)
    with pytest.raises(Killed):
        await _close_for_ever(database, ledger)
    event.remove(engine, "before_cursor_execute", kill)

    closed = await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    assert closed.sheet is not None
    charged = {stored.name(line.partner): line.charge_micro for line in closed.sheet.lines[1:]}
    assert charged == EXPECTED["1"]["charge"]
    assert await journals(database) == 1
    assert await findings(database) == []


async def test_a_close_reads_cells_and_never_lines_or_lots(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    await ledger.advance(ENDS[1])
    asked: list[str] = []

    def listen(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        asked.append(sql)

    event.listen(database.writer.sync_engine, "before_cursor_execute", listen)
    await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    assert any(" flows" in sql for sql in asked)
    history = ("FROM lines", "FROM lots", "FROM operations", "FROM wallets", "FROM slices")
    assert [sql for sql in asked if any(table in sql for table in history)] == []


async def test_points_that_do_not_roll_forward_stop_the_close(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE flows SET points = points + 1 WHERE operation = 'expire'"))

    with pytest.raises(ClosingDiffers, match="period 1: obligor 1 rolls forward to 73222 points and 73223"):
        await close(database, ledger, 1)

    assert await journals(database) == 0


async def test_a_changed_flow_is_named_by_the_proof(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    await close(database, ledger, 1)
    async with database.writer.begin() as connection:
        await connection.execute(
            text("UPDATE flows SET points = points + 7 WHERE operation = 'expire' AND obligor = 1")
        )

    (found,) = [finding for finding in await findings(database) if finding.invariant == "cells"]

    assert "expire of issuer 1, obligor 1" in found.row
    assert "differs by -7" in found.row


def _one(change: str, table: str, where: str) -> str:
    """The change of a single row."""
    row = f"SELECT tableoid, ctid FROM {table} WHERE {where} ORDER BY tableoid, ctid LIMIT 1"
    return f"UPDATE {table} SET {change} WHERE (tableoid, ctid) = ({row})"


def _line(side: str, account: int) -> str:
    return f"bucket = {TREASURY} AND {side} = {account}"


@pytest.mark.parametrize(
    ("damage", "invariant", "row", "bucket"),
    [
        ("UPDATE period_stages SET hash = sha256(hash) WHERE period = 1", "cells_hash", "period 1 is", None),
        ("UPDATE cells SET count = count + 1 WHERE period = 2", "cells_hash", "period 2 is", None),
        ("DELETE FROM frozen_stock WHERE period = 2", "cells_hash", "period 2 is", None),
        (
            _one("points = points + 3", "frozen_stock", "period = 1 AND obligor = 2"),
            "frozen_stock",
            "period 1: issuer 2, obligor 2, tariff 2 differs by 3",
            None,
        ),
        (
            _one("points = points + 3", "stock_at_fence", "period = 2 AND obligor = 1"),
            "frozen_stock",
            "period 2: issuer 1, obligor 1, tariff 1 differs by -3",
            None,
        ),
        (
            _one("points = points + 5", "cells", "period = 2 AND obligor = 1 AND operation = 'release'"),
            "points_roll_forward",
            "period 2, obligor 1: differs by 5",
            None,
        ),
        (
            _one("points = points + 5", "frozen_stock", "period = 1 AND obligor = 1"),
            "points_roll_forward",
            "period 2, obligor 1: differs by 5",
            None,
        ),
        (
            _one("amount = amount + 7", "lines", _line("credit", accounts.RESERVE)),
            "reserves",
            "differs by 7 micro",
            TREASURY,
        ),
        (
            _one("amount = amount + 7", "lines", _line("debit", accounts.RESERVE)),
            "reserves",
            "differs by -7 micro",
            TREASURY,
        ),
        (
            _one("amount = amount + 9", "lines", _line("debit", accounts.SETTLE)),
            "settle",
            "differs by 9 micro",
            TREASURY,
        ),
        (
            _one("charge_micro = charge_micro + 9", "sheet_lines", "period = 1 AND partner = 3"),
            "settle",
            "partner 3: differs by -9 micro",
            TREASURY,
        ),
        (
            _one("amount = amount + 1", "lines", _line("debit", accounts.MONEY_IN_TRANSIT)),
            "money_in_transit",
            "money in transit: 1 RUB",
            TREASURY,
        ),
    ],
)
async def test_damage_to_closed_periods_is_found_and_named(
    stored: Coalition,
    database: Database,
    ledger: Ledger,
    urls: Urls,
    damage: str,
    invariant: str,
    row: str,
    bucket: int | None,
) -> None:
    for period in (1, 2):
        await close(database, ledger, period)
    assert await findings(database) == []

    await as_owner_without_triggers(urls, damage)

    found = [each for each in await findings(database) if each.invariant == invariant]
    assert {each.bucket for each in found} == {bucket}
    assert any(row in each.row for each in found), found


async def test_an_empty_period_closes_to_nothing(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    closed = await close(database, ledger, 1)

    assert closed.sheet is not None
    assert [line.charge_micro for line in closed.sheet.lines] == [0] * 5
    assert closed.sheet.efficiency == 0
    assert closed.hash == digest(1, [], [])
    assert await journals(database) == 0


@pytest.mark.parametrize("change", ["UPDATE {} SET period = 9", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_writer_cannot_change_a_closed_period(
    stored: Coalition, database: Database, ledger: Ledger, change: str
) -> None:
    await close(database, ledger, 1)

    for table in (
        "period_stages",
        "cells",
        "frozen_stock",
        "obligations",
        "sheets",
        "sheet_lines",
        "statements",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with database.writer.begin() as connection:
                await connection.execute(text(change.format(table)))


async def test_modes_move_less_money_the_more_they_net(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    await close(database, ledger, 1)

    async with database.writer.connect() as connection:
        sheet = (await store.sheets(connection, [1]))[1]
    moved = {mode: sheet.moved_micro(mode) for mode in Mode}
    assert moved == {
        Mode.GROSS: EXPECTED["1"]["gross"],
        Mode.BILATERAL: EXPECTED["1"]["bilateral"],
        Mode.MULTILATERAL: EXPECTED["1"]["multilateral"],
    }


async def test_a_flow_written_after_the_cut_off_is_not_in_the_cells(
    stored: Coalition, database: Database, ledger: Ledger
) -> None:
    closed = await close(database, ledger, 1)
    async with database.writer.begin() as connection:
        cell = {"issuer": 1, "obligor": 1, "redeemer": 0, "tariff": stored.tariffs["A"], "terms": 0}
        await connection.execute(
            insert(flows).values(
                bucket=1, period=2, operation="adjust", origin_period=1, points=1, count=1, hash=0, **cell
            )
        )

    async with database.writer.connect() as connection:
        again = await periods.period(connection, 1)

    assert again == closed
