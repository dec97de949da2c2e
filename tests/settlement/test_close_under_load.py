"""Months are closed under a load of all that is sent: each operation is in one period, in its cells, once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text, update

from ledger import Command, Ledger
from ledger.accounts import FLOW_IN_SQL, FLOW_OF
from ledger.kernel.clock import Clock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.kernel.tables import clock
from settlement.close import advance
from settlement.periods import Stage
from tests.ledger.builders import (
    a_burn,
    a_capture,
    a_donation,
    a_freeze,
    a_grant,
    a_merge,
    a_novation,
    a_return,
    a_reversal,
    a_transfer,
    a_void,
    an_adjustment,
    an_authorization,
    an_earn,
    an_item,
    an_opening,
    an_opening_lot,
    an_unfreeze,
)
from tests.ledger.instances import a_process
from tests.servers import Urls
from tests.settlement.coalition import STAFF, Coalition, found_coalition
from tests.settlement.scenarios import golden_inputs
from tests.settlement.test_close_of_traffic import MEMBERS, findings

MONTHS = 6
"""Closed one after the other; a seventh takes what is late."""

HALF_A_DAY = timedelta(hours=12)
"""So far into the next month the clock goes: what is sent meanwhile falls before and after the fence."""

_BY_CELLS = text("""
    SELECT period, operation, issuer, obligor, redeemer, tariff, terms, origin_period, points, count
    FROM cells
""")
_BY_LINES = text(f"""
    SELECT period, {FLOW_IN_SQL}, issuer, obligor, redeemer, tariff, terms, origin_period,
           sum(amount)::bigint, count(*)
    FROM lines WHERE unit = 'PTS' AND {FLOW_IN_SQL} IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
""")
_ELSEWHERE = text("""
    SELECT o.id FROM operations o LEFT JOIN lines l ON l.bucket = o.bucket AND l.operation = o.id
    JOIN calendar c ON c.period = o.period
    WHERE o.recorded_at < c.starts_at OR o.recorded_at >= c.ends_at OR l.period <> o.period
""")
"""Operations that are not in the period in which they were recorded, or whose lines are in another."""

_KEYS = text("SELECT key FROM operations WHERE key LIKE 'key-%'")


SENT: Final = {
    "earn": 12,
    "burn": 8,
    "authorize": 4,
    "capture": 2,
    "void": 1,
    "return": 3,
    "reverse": 2,
    "transfer": 2,
    "donate": 1,
    "grant": 1,
    "adjust": 2,
    "open": 1,
    "novate": 1,
    "merge": 0.2,
    "freeze": 0.4,
    "unfreeze": 2,
}
"""The kinds of commands, and how often each is sent."""


@dataclass(frozen=True, slots=True)
class Posted:
    """An operation that was accepted: at the partner of this name, for this member."""

    name: str
    member: int
    operation: int


@pytest.fixture
async def coalition(database: Database) -> Coalition:
    return await found_coalition(database, golden_inputs(), vat_ppm=200_000)


@pytest.mark.soak
async def test_months_closed_under_load_lose_nothing_and_count_nothing_twice(
    coalition: Coalition,
    database: Database,
    ledger: Ledger,
    urls: Urls,
    soak_seconds: float,
    chance: random.Random,
) -> None:
    sent: Counter[str] = Counter()
    is_over = asyncio.Event()

    async def trade(till: Till) -> None:
        while not is_over.is_set():
            sent.update(await till.turn())
            await asyncio.sleep(0.02)

    async with a_process(urls) as other, asyncio.TaskGroup() as trading:
        tills = [Till(coalition, own, ledger.clock, chance) for own in (ledger, other, ledger, other)]
        for till in tills:
            trading.create_task(trade(till))
        for month in range(1, MONTHS + 1):
            await asyncio.sleep(soak_seconds / MONTHS)
            # By turns the clock is driven, which moves every fence, or goes on as the wall's does: then
            # batches pass their own fences, and the closings those of the buckets that are idle.
            if month % 2:
                await ledger.advance(_ends(month) + HALF_A_DAY)
            else:
                await _let_time_go_on(database, _ends(month) + HALF_A_DAY)
            closings = (advance(database, own, month, at=_ends(month), by=STAFF) for own in (ledger, other))
            for closed in await asyncio.gather(*closings):
                assert closed.stage is Stage.PROPOSED
        is_over.set()
    await ledger.drive_all()
    await ledger.advance(_ends(MONTHS + 1))
    await advance(database, ledger, MONTHS + 1, at=_ends(MONTHS + 1), by=STAFF)

    async with database.writer.connect() as connection:
        by_cells = {tuple(row) for row in await connection.execute(_BY_CELLS)}
        by_lines = {tuple(row) for row in await connection.execute(_BY_LINES)}
        late = await connection.scalar(text("SELECT count(*) FROM cells WHERE origin_period < period"))
        elsewhere = list(await connection.scalars(_ELSEWHERE))
        stored = Counter(await connection.scalars(_KEYS))
    assert by_cells == by_lines
    assert elsewhere == []
    assert {row[0] for row in by_cells} == set(range(1, MONTHS + 2))
    assert {row[1] for row in by_cells} == set(FLOW_OF.values())
    assert late
    assert stored == sent
    assert set().union(*(till.accepted for till in tills)) == SENT.keys()
    assert await findings(database) == ()


async def _let_time_go_on(database: Database, to: datetime) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(update(clock).values(now=to))


class Till:
    """Whoever sends commands: partners, members and staff in one, on one process's ledger."""

    def __init__(self, coalition: Coalition, ledger: Ledger, clock: Clock, chance: random.Random) -> None:
        self.accepted: set[str] = set()
        self._coalition = coalition
        self._ledger = ledger
        self._clock = clock
        self._chance = chance
        self._posted: list[Posted] = []
        self._holds: list[Posted] = []

    async def turn(self) -> list[str]:
        """Send some commands at once and take their transfers to their ends; the keys of what is stored,
        refusals among them."""
        kinds = self._chance.choices([*SENT], [*SENT.values()], k=16)
        names = self._chance.choices("ABCD", k=len(kinds))
        commands = [self._command(kind, name) for kind, name in zip(kinds, names, strict=True)]
        outcomes = await self._ledger.submit_many(commands)
        for kind, name, command, outcome in zip(kinds, names, commands, outcomes, strict=True):
            if outcome.refused is not None:
                continue
            self.accepted.add(kind)
            posted = Posted(name, command.member, outcome.operation)
            if kind in {"earn", "burn", "authorize"}:
                self._posted.append(posted)
            if kind == "authorize":
                self._holds.append(posted)
            if kind == "transfer":
                await self._ledger.drive(outcome.operation)
        return [command.key for command, outcome in zip(commands, outcomes, strict=True) if outcome.operation]

    def _command(self, kind: str, name: str) -> Command:
        """Of what came before, the latest is mostly named; one in ten happened a month ago."""
        chance, coalition, now = self._chance, self._coalition, self._clock.now()
        other = chance.choice(MEMBERS)
        points = chance.randint(1, 40)
        paid = an_item(pieces=3, price=50_000, points_burned=points, money_off_micro=points * 1_000)
        # What falls due by itself does so at a few instants, or the clock would stop at thousands.
        tomorrow = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        soon = (now.replace(day=1, hour=6) + timedelta(days=32)).replace(day=1)
        expires_at = soon + timedelta(days=chance.choice([45, 80, 400]))
        available_at = soon if chance.random() < 0.5 else None
        given: dict[str, Any] = {
            "member": chance.choice(MEMBERS),
            "occurred_at": now - timedelta(days=31) if chance.random() < 0.1 else now,
        }

        def of(name: str, member: int | None = None) -> dict[str, Any]:
            at = {"partner": coalition.partners[name], "terms": coalition.terms[name], **given}
            return at if member is None else at | {"member": member}

        def at_cost_of(name: str) -> dict[str, Any]:
            return {"obligor": coalition.partners[name], "tariff": coalition.tariffs[name]}

        match kind:
            case "earn":
                earned = {"available_at": available_at, "expires_at": expires_at, **at_cost_of(name)}
                goods = an_item(pieces=3, price=7_000, points_earned=2 * points)
                return an_earn(2 * points, items=(goods,), **earned, **of(name))
            case "burn":
                return a_burn(points, items=(paid,), **of(name))
            case "authorize":
                return an_authorization(points, items=(paid,), expires_at=tomorrow, **of(name))
            case "capture":
                made = self._one_of(self._holds)
                return a_capture(made.operation, None if points > 20 else points, **of(made.name, 0))
            case "void":
                made = self._one_of(self._holds)
                return a_void(made.operation, **of(made.name, 0))
            case "return":
                made = self._one_of(self._posted)
                lines = () if points > 20 else ((0, 500),)
                return a_return(made.operation, *lines, **of(made.name, made.member))
            case "reverse":
                made = self._one_of(self._posted)
                return a_reversal(made.operation, **of(made.name, made.member))
            case "transfer":
                return a_transfer(points, to_member=other, **given)
            case "donate":
                return a_donation(points, **of("D"))
            case "grant":
                return a_grant(points, expires_at=expires_at, **at_cost_of("O"), **of(name))
            case "adjust":
                by = points if points > 20 else -points
                return an_adjustment(by, expires_at=expires_at, **at_cost_of(name), **of(name))
            case "novate":
                return a_novation(coalition.partners[name], 0, **given | {"tariff": coalition.tariffs[name]})
            case "open":
                lots = [
                    an_opening_lot(
                        points,
                        issuer=coalition.partners[name],
                        expires_at=expires_at,
                        available_at=at,
                        **at_cost_of(name),
                    )
                    for at in (None, soon)
                ]
                return an_opening(*lots, **given)
            case "merge":
                # Into the later one, so that nobody survives itself: `members` sees to that elsewhere.
                merged, survivor = sorted((given["member"], other))
                return a_merge(survivor, **given | {"member": merged})
            case "freeze":
                return a_freeze(**given)
            case "unfreeze":
                return an_unfreeze(**given)
            case _:
                raise AssertionError(kind)

    def _one_of(self, made: list[Posted]) -> Posted:
        """Mostly what was made lately; what nobody made when there is nothing yet."""
        near = made[-20:] if self._chance.random() < 0.8 else made
        return self._chance.choice(near) if near else Posted("A", MEMBERS[0], compose(0, 1 << 50))


def _ends(month: int) -> datetime:
    return datetime(2026, month + 1, 1, tzinfo=UTC)
