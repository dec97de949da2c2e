"""Closing while points change hands: a partner leaves as in the golden example; a fence falls on the way."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any

from sqlalchemy import text

from ledger import Authorize, Earn, Ledger, Transfer, invariants
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.proof import Finding
from partners import begin_novation, drive_novation, suspend_partner
from settlement import issued, periods, proof
from settlement.close import advance
from tests.settlement.coalition import ENDS, OPENED, STAFF, Coalition, store_period
from tests.settlement.scenarios import GOLDEN, golden_inputs

MEMBER, FRIEND = compose(7, 1), compose(40, 1)
HOUR = timedelta(hours=1)
LATER = datetime.fromisoformat("2027-06-30T00:00:00+00:00")
_keys = count()


def _common(coalition: Coalition, name: str, at: datetime) -> dict[str, Any]:
    key = f"{next(_keys)}"
    return {
        "principal": "test",
        "key": key,
        "digest": sha256(key.encode()).digest(),
        "member": MEMBER,
        "occurred_at": at,
        "partner": coalition.partners[name],
        "terms": coalition.terms[name],
    }


def an_earn(coalition: Coalition, name: str, points: int, at: datetime, **given: Any) -> Earn:
    common = _common(coalition, name, at)
    prices = {"obligor": coalition.partners[name], "tariff": coalition.tariffs[name], "expires_at": LATER}
    return Earn(**{**common, **prices, "points": points, **given})


def a_transfer(coalition: Coalition, points: int, at: datetime) -> Transfer:
    return Transfer(**_common(coalition, "A", at), points=points, to_member=FRIEND)


async def findings(database: Database, *, without: str = "") -> list[Finding]:
    found: list[Finding] = []
    async with database.writer.connect() as connection:
        for invariant in (*proof.INVARIANTS, *(() if without else invariants.INVARIANTS)):
            if invariant.name != without:
                found += await invariant.find(connection)
    return found


async def close(database: Database, ledger: Ledger, period: int) -> periods.Period:
    await ledger.advance(ENDS[period])
    return await advance(database, ledger, period, at=ledger.clock.now(), by=STAFF)


async def test_a_partner_that_leaves_gives_the_golden_figures(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    """What C's members still have is earned, held, sent and novated for real; the rest is stored."""
    inputs, expected = golden_inputs(), deepcopy(GOLDEN["expected"])
    left = {"1": 25_232, "2": 20_000}
    assert sum(left.values()) == expected["2"]["pre_novation"]["C"]
    for ordinal, points in left.items():
        inputs["periods"][ordinal]["earn"]["C"] -= points
    inputs["periods"]["2"]["novate"] = None
    expected["1"]["cohorts"]["C"]["1"] -= left["1"]
    expected["2"]["cohorts"]["O"] = {"1": expected["2"]["pre_novation"]["O"]}
    for period in (1, 2):
        await store_period(database, coalition, inputs, expected, period)
    await ledger.submit(an_earn(coalition, "C", left["1"], OPENED))
    await close(database, ledger, 1)
    at = ENDS[2] - HOUR
    await ledger.advance(at)
    await ledger.submit_many(
        [
            an_earn(coalition, "C", left["2"], at),
            an_earn(coalition, "C", 777, at, available_at=ENDS[2] + HOUR),
            Authorize(**_common(coalition, "A", at), points=5_000, expires_at=ENDS[2] + HOUR),
        ]
    )
    await ledger.transfer(a_transfer(coalition, 1_234, at))
    async with database.writer.begin() as connection:
        leaver = coalition.partners["C"]
        await suspend_partner(connection, leaver, reason="it leaves", at=at, by=STAFF)
        begun = await begin_novation(connection, leaver, successor=0, reason="it leaves", at=at, by=STAFF)

    await drive_novation(database, ledger, begun.id, at=at)
    novation = await drive_novation(database, ledger, begun.id, at=at)
    closed = await close(database, ledger, 2)

    golden = GOLDEN["expected"]["2"]
    assert novation.done_at == at
    sheet = closed.sheet
    assert sheet is not None
    owed = {f"{coalition.name(i)}->{coalition.name(j)}": micro for (i, j), micro in sheet.owed.items()}
    assert owed == golden["gross_cells"]
    charged = {coalition.name(line.partner): line.charge_micro for line in sheet.lines}
    assert charged == golden["charge"] | {"O": golden["net_operator"]}
    async with database.writer.connect() as connection:
        statement = await issued.find(connection, f"0002-{leaver:04d}")
        query = text("SELECT operation, points FROM cells WHERE operation LIKE 'novate%' ORDER BY 1")
        assert [tuple(row) for row in await connection.execute(query)] == [
            ("novate_in", 45_232),
            ("novate_out", 45_232),
        ]
    assert statement.points.novated == -45_232
    assert statement.points.closing == 0
    assert await findings(database, without="cells_lines") == []


async def test_a_period_closes_with_points_on_their_way(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    """B funds at issue: the reserve is held for points that are in no bucket when the fence falls."""
    at = ENDS[1] - HOUR
    await ledger.submit(an_earn(coalition, "B", 1_000, OPENED))
    await ledger.advance(at)
    await ledger.submit(a_transfer(coalition, 400, at))
    await _jump(database, ledger, ENDS[1])
    first = await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    on_the_way = await findings(database)
    await ledger.drive_all()
    after = await findings(database)
    second = await close(database, ledger, 2)

    assert (first.sheet is not None, second.sheet is not None) == (True, True)
    assert (on_the_way, after, await findings(database)) == ([], [], [])
    async with database.writer.connect() as connection:
        rows = [
            (await issued.find(connection, f"000{period}-{coalition.partners['B']:04d}")).points
            for period in (1, 2)
        ]
    assert [(row.opening, row.issued, row.transferred, row.closing) for row in rows] == [
        (0, 1_000, -400, 600),
        (600, 0, 400, 1_000),
    ]


async def _jump(database: Database, ledger: Ledger, to: datetime) -> None:
    """Move the clock as time does: nobody drives what is on its way at that very moment."""
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE clock SET now = :to"), {"to": to})
    clock = ledger.clock
    assert isinstance(clock, DrivenClock)
    clock.see(to)
