"""Closing what tills really did: earns, holds and burns through the ledger, in two months and under load."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

from ledger import Burn, Command, Earn, Ledger, Open, OpeningLot, invariants
from ledger import proof as ledger_proof
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.proof import Finding
from settlement import issued, periods, proof
from settlement.close import advance
from settlement.periods import Stage
from tests.settlement.coalition import ENDS, OPENED, STAFF, Coalition, found_coalition
from tests.settlement.scenarios import golden_inputs

MEMBERS = [compose(number % 64, number) for number in range(1, 61)]
_keys = count()


@pytest.fixture
async def coalition(database: Database) -> Coalition:
    return await found_coalition(database, golden_inputs(), vat_ppm=200_000)


def traffic(coalition: Coalition, at: datetime, size: int, *, seed: int) -> list[Command]:
    """Earns, some pending for a fortnight, and burns at any partner; some receipts arrive a month late."""
    chance = random.Random(seed)
    return [_operation(coalition, at, chance) for _ in range(size)]


def _operation(coalition: Coalition, at: datetime, chance: random.Random) -> Command:
    name = chance.choice("ABCD")
    key = f"{next(_keys)}"
    member = chance.choice(MEMBERS)
    late = chance.random() < 0.1 and at > OPENED + timedelta(days=31)
    occurred_at = at - timedelta(days=31) if late else at
    common: dict[str, Any] = {
        "principal": f"partner:{coalition.partners[name]}",
        "key": key,
        "digest": sha256(key.encode()).digest(),
        "member": member,
        "occurred_at": occurred_at,
        "partner": coalition.partners[name],
        "terms": coalition.terms[name],
    }
    if chance.random() < 0.5:
        return Burn(points=chance.randint(1, 40), **common)
    pending = chance.random() < 0.5
    return Earn(
        points=chance.randint(0, 100),
        obligor=coalition.partners[name],
        tariff=coalition.tariffs[name],
        expires_at=at + timedelta(days=chance.choice([20, 400])),
        available_at=at + timedelta(days=14) if pending else None,
        **common,
    )


async def findings(database: Database) -> tuple[Finding, ...]:
    """Of every invariant, points and money."""
    everything = (*invariants.INVARIANTS, *proof.INVARIANTS)
    return (await ledger_proof.prove(database.writer, everything)).findings


async def test_two_months_of_traffic_close_and_prove(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    for day in range(0, 58, 4):
        at = OPENED + timedelta(days=day)
        await ledger.advance(at)
        await ledger.submit_many(traffic(coalition, at, 60, seed=day))
    await ledger.advance(ENDS[2])

    for period in (1, 2):
        closed = await advance(database, ledger, period, at=ENDS[2], by=STAFF)

        assert closed.stage is Stage.PROPOSED
        assert closed.sheet is not None
        assert closed.sheet.gross_micro > 0
        assert closed.sheet.sum_micro == 0
        assert await findings(database) == ()

    async with database.writer.connect() as connection:
        late = [
            entry for statement in await issued.statements(connection, period=2) for entry in statement.late
        ]
    assert late
    assert {entry.origin_period for entry in late} == {1}


async def test_a_month_that_opened_with_balances_closes_and_proves(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    """Funded at issue and at redemption, pending and available; tills go on as with any points."""
    for number, member in enumerate(MEMBERS):
        name = "ABCD"[number % 4]
        lots = [
            OpeningLot(
                points=100 + number,
                issuer=coalition.partners[name],
                obligor=coalition.partners[name],
                tariff=coalition.tariffs[name],
                earned_at=OPENED - timedelta(days=200),
                expires_at=OPENED + timedelta(days=20 + number),
                available_at=available_at,
            )
            for available_at in (None, OPENED + timedelta(days=1 + number))
        ]
        opening = Open(
            principal="opening:old",
            key=str(member),
            digest=bytes(32),
            member=member,
            occurred_at=OPENED,
            partner=0,
            lots=tuple(lots),
        )
        assert (await ledger.submit(opening)).refused is None
    await ledger.submit_many(traffic(coalition, OPENED, 200, seed=1))
    await ledger.advance(ENDS[2])

    for period in (1, 2):
        closed = await advance(database, ledger, period, at=ENDS[2], by=STAFF)

        assert closed.sheet is not None
        assert closed.sheet.sum_micro == 0
        assert await findings(database) == ()
    async with database.writer.connect() as connection:
        brought = {
            statement.partner: statement.points.brought
            for statement in await issued.statements(connection, period=1)
        }
    assert sum(brought.values()) == sum(100 + number for number in range(len(MEMBERS)))


async def test_a_close_under_load_leaves_no_orphan_and_no_double(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    last_second = ENDS[1] - timedelta(seconds=1)
    await ledger.advance(last_second)

    async def load() -> None:
        for seed in range(20):
            await ledger.submit_many(traffic(coalition, last_second, 40, seed=seed))

    async def finish() -> periods.Period:
        await asyncio.sleep(0.02)
        await ledger.advance(ENDS[1])
        return await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    _, _, _, closed = await asyncio.gather(load(), load(), load(), finish())
    await ledger.advance(ENDS[2])
    await advance(database, ledger, 2, at=ENDS[2], by=STAFF)

    assert closed.stage is Stage.PROPOSED
    assert await findings(database) == ()
    async with database.writer.connect() as connection:
        in_cells = await connection.scalar(text("SELECT sum(count) FROM cells"))
        in_lines = await connection.scalar(text("SELECT count(*) FROM lines WHERE unit = 'PTS'"))
        no_flow = await connection.scalar(
            text("SELECT count(*) FROM lines WHERE unit = 'PTS' AND credit = 4")
        )
    assert in_cells == in_lines - no_flow
