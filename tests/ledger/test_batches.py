"""A batch is as good as a queue of one: grouping and order across members change no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from ledger import Command, Ledger, Outcome, Returned, lane
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import flows_now as flows
from ledger.tables import lots
from ledger.tables import stock_now as stock
from tests.servers import Urls

from . import proving
from .builders import (
    START,
    a_burn,
    a_capture,
    a_donation,
    a_freeze,
    a_grant,
    a_receipt,
    a_return,
    a_reversal,
    a_void,
    an_adjustment,
    an_authorization,
    an_earn,
    an_item,
    an_unfreeze,
)
from .instances import code, extend_calendar

BUCKETS: Final = (3, 3, 4, 60)
"""Of each member: two share a bucket, two do not."""

RETURNABLE: Final = ("earn", "burn", "authorize", "capture")

member = st.integers(0, len(BUCKETS) - 1)
partner = st.integers(1, 2)
points = st.integers(1, 90)


@dataclass(frozen=True)
class Step:
    """One command before its numbers are known. `key` collides on purpose."""

    kind: str
    member: int
    partner: int
    points: int
    key: int
    hours: int
    hold: int
    final: bool
    receipt: int
    operation: int


steps = st.builds(
    Step,
    kind=st.sampled_from(
        [
            *("earn", "earn", "earn", "burn", "authorize", "capture", "void", "return", "return", "reverse"),
            *("grant", "adjust", "donate", "freeze", "unfreeze", "unfreeze"),
        ]
    ),
    member=member,
    partner=partner,
    points=points,
    key=st.integers(0, 12),
    hours=st.integers(0, 40),
    hold=st.integers(0, 3),
    final=st.booleans(),
    receipt=st.integers(0, 2),
    operation=st.integers(0, 4),
)


@dataclass(frozen=True)
class Round:
    """Steps that two worlds take: in this order one by one, and in another order in groups."""

    steps: tuple[Step, ...]
    turns: tuple[int, ...]
    cuts: tuple[int, ...]
    wait: int

    def groups(self) -> list[list[int]]:
        """The indexes of the steps regrouped: each member's stay in their order."""
        by_member: dict[int, list[int]] = {}
        for index, step in enumerate(self.steps):
            by_member.setdefault(step.member, []).append(index)
        order: list[int] = []
        for turn in self.turns:
            left = [queue for queue in by_member.values() if queue]
            if left:
                order.append(left[turn % len(left)].pop(0))
        order += [index for queue in by_member.values() for index in queue]
        groups: list[list[int]] = []
        for cut in self.cuts:
            groups.append(order[:cut])
            order = order[cut:]
        return [group for group in [*groups, order] if group]


rounds = st.builds(
    Round,
    steps=st.lists(steps, max_size=12).map(tuple),
    turns=st.lists(st.integers(0, 11), min_size=12, max_size=12).map(tuple),
    cuts=st.lists(st.integers(0, 6), max_size=4).map(tuple),
    wait=st.integers(0, 30),
)


def test_any_grouping_and_order_across_members_gives_the_same_answers(
    urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Or else one key that collides makes most of what follows look first, and the other way is hardly tried.
    monkeypatch.setattr(lane, "CAREFUL_BATCHES", 1)
    with asyncio.Runner() as runner:
        bench = runner.run(Bench.open(urls))

        @settings(
            max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
        )
        @given(st.lists(rounds, min_size=1, max_size=4))
        def plays(script: Sequence[Round]) -> None:
            runner.run(bench.play(script))

        plays()
        runner.run(bench.close())


class World:
    """Members and partners that nobody else uses, so that worlds can share a database."""

    def __init__(self, ledger: Ledger, number: int) -> None:
        self.ledger = ledger
        self.number = number
        self.holds: dict[int, list[int]] = {}
        self.posted: dict[int, list[int]] = {}

    def commands(self, of_round: Round) -> list[Command]:
        """Built before any is posted: a hold of this round is not known yet."""
        return [self._command(step) for step in of_round.steps]

    def note(self, of_round: Round, outcomes: Sequence[Outcome]) -> None:
        """Remember the holds made, member by member."""
        for step, outcome in zip(of_round.steps, outcomes, strict=True):
            if outcome.kind == "authorize" and outcome.hold is not None and not outcome.replayed:
                self.holds.setdefault(step.member, []).append(outcome.hold)
            if outcome.kind in RETURNABLE and outcome.refused is None and not outcome.replayed:
                self.posted.setdefault(step.member, []).append(outcome.operation)

    def _command(self, step: Step) -> Command:
        now = self.ledger.clock.now()
        common: dict[str, Any] = {
            # A key or receipt is known within a bucket: given to two members there it would tie their order.
            "key": f"{self.number}-{step.member}-{step.key}",
            "partner": self._partner(step.partner),
            "occurred_at": now,
            "digest": repr((step.kind, step.partner, step.points, step.receipt, step.operation)).encode(),
        }
        member_id = self._member(step.member)
        goods: dict[str, Any] = {
            "receipt": a_receipt(f"{step.member}-{step.receipt}") if step.receipt else None
        }
        own = self.holds.get(step.member, [])
        hold = own[step.hold % len(own)] if own else compose(BUCKETS[step.member], 1 << 50)
        match step.kind:
            case "earn":
                pending = now + timedelta(hours=step.hours) if step.hours > 20 else None
                goods["items"] = (an_item(pieces=3, price=100, points_earned=step.points),)
                return an_earn(
                    step.points,
                    member=member_id,
                    available_at=pending,
                    expires_at=self._far(now, step),
                    **goods,
                    **common,
                )
            case "burn":
                return a_burn(step.points, member=member_id, **goods, **common)
            case "authorize":
                until = now + timedelta(hours=1 + step.hours)
                return an_authorization(step.points, member=member_id, expires_at=until, **goods, **common)
            case "return":
                lines = () if step.final else ((0, 500),)
                return a_return(self._operation(step), *lines, member=member_id, **common)
            case "reverse":
                return a_reversal(self._operation(step), member=member_id, **common)
            case "grant":
                return a_grant(step.points, member=member_id, expires_at=self._far(now, step), **common)
            case "adjust":
                # At the cost of the partner, as what it gives is.
                mine = {"obligor": common["partner"], "tariff": common["partner"]}
                points = step.points if step.final else -step.points
                given = {"member": member_id, "expires_at": self._far(now, step), **mine, **common}
                return an_adjustment(points, **given)
            case "donate":
                return a_donation(step.points, member=member_id, **common)
            case "freeze":
                return a_freeze(member=member_id, **common)
            case "unfreeze":
                return an_unfreeze(member=member_id, **common)
            case "capture":
                return a_capture(hold, step.points, final=step.final, **common)
            case _:
                return a_void(hold, **common)

    def _far(self, now: datetime, step: Step) -> datetime:
        return now + timedelta(hours=41 + step.hours)

    def _operation(self, step: Step) -> int:
        own = self.posted.get(step.member, [])
        return own[step.operation % len(own)] if own else compose(BUCKETS[step.member], 1 << 50)

    def _member(self, number: int) -> int:
        return compose(BUCKETS[number], self.number * 10 + number)

    def _partner(self, number: int) -> int:
        return self.number * 10 + number

    def answers(self, outcomes: Sequence[Outcome]) -> list[Any]:
        """Outcomes without the numbers that differ between worlds."""
        return [
            (
                outcome.kind,
                code(outcome),
                outcome.replayed,
                outcome.points,
                outcome.balance,
                outcome.hold_left,
                outcome.hold_expires_at,
                outcome.available_at,
                outcome.expires_at,
                [(taken.points, taken.issuer % 10, taken.tariff % 10) for taken in outcome.slices],
                outcome.returned and _effects(outcome.returned),
            )
            for outcome in outcomes
        ]

    async def state(self, database: Database) -> list[Any]:
        """Lots, flows and stock, in numbers that mean the same in every world."""
        members = {self._member(number): number for number in range(len(BUCKETS))}
        async with database.writer.connect() as connection:
            own_lots = await connection.execute(select(lots).where(lots.c.member.in_(members)))
            own_flows = await connection.execute(select(flows).where(flows.c.issuer // 10 == self.number))
            own_stock = await connection.execute(select(stock).where(stock.c.issuer // 10 == self.number))
            return [
                sorted(
                    (
                        members[row.member], row.issuer % 10, row.expires_at, row.pending, row.available,
                        row.earned, str(row.armed_at), row.parent is None,
                    )
                    for row in own_lots
                ),
                sorted(
                    (
                        row.bucket, row.period, row.issuer % 10, row.obligor % 10, row.redeemer % 10,
                        row.operation, row.tariff % 10, row.terms % 10, row.origin_period, row.points,
                        row.count,
                    )
                    for row in own_flows
                ),
                sorted(
                    (row.bucket, row.issuer % 10, row.issue_month, row.expiry_month, row.points)
                    for row in own_stock
                    if row.points
                ),
            ]  # fmt: skip


def _effects(returned: Returned) -> list[Any]:
    """What a return did, without ids."""
    lots_back = [(lot.points, lot.expires_at) for lot in returned.lots]
    return [returned.lines, returned.cancelled, returned.taken, returned.due, lots_back]


class Bench:
    """A ledger of one lane, so that what is submitted together is decided together."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.database = database
        self.ledger = ledger
        self.worlds = 0

    @classmethod
    async def open(cls, urls: Urls) -> Bench:
        database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
        await extend_calendar(database)
        ledger = Ledger(database, DrivenClock(START), lanes=1)
        await ledger.start()
        return cls(database, ledger)

    async def close(self) -> None:
        await proving.holds(self.database)
        await self.ledger.drain()
        await self.database.close()

    async def play(self, script: Sequence[Round]) -> None:
        serial, grouped = self._world(), self._world()
        for of_round in script:
            one_by_one = [await self.ledger.submit(command) for command in serial.commands(of_round)]
            in_groups = await self._post(of_round.groups(), grouped.commands(of_round))
            serial.note(of_round, one_by_one)
            grouped.note(of_round, in_groups)
            assert serial.answers(one_by_one) == grouped.answers(in_groups)
            await self.ledger.advance(self.ledger.clock.now() + timedelta(hours=of_round.wait))
        assert await serial.state(self.database) == await grouped.state(self.database)

    async def _post(self, groups: Sequence[Sequence[int]], commands: Sequence[Command]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        for group in groups:
            answered = await self.ledger.submit_many([commands[index] for index in group])
            outcomes.update(zip(group, answered, strict=True))
        return [outcomes[index] for index in range(len(commands))]

    def _world(self) -> World:
        self.worlds += 1
        return World(self.ledger, self.worlds)
