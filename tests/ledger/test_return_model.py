"""Returns against a reference model of their own: any commands, any batches, any jumps of the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from ledger import Command, Ledger, Outcome, fence
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import flows_now as flows
from ledger.tables import lots
from tests.return_model import ModelLedger
from tests.servers import Urls

from . import proving
from .builders import (
    START,
    a_burn,
    a_capture,
    a_receipt,
    a_return,
    a_reversal,
    a_void,
    an_authorization,
    an_earn,
    an_item,
)

MEMBERS: Final = 2
RETURNABLE: Final = ("earn", "burn", "authorize", "capture")
PARTNERS: Final = (1, 2)

member = st.integers(0, MEMBERS - 1)
partner = st.sampled_from(PARTNERS)
often = st.sampled_from((1, 1, 1, 2))
"""Most of a play is about the first partner, so that steps meet."""
points = st.integers(1, 80)
hours = st.integers(1, 60)
receipt = st.integers(0, 5)


@dataclass(frozen=True)
class Step:
    """One thing that happens, in terms that both ledgers understand."""

    kind: str
    member: int
    partner: int
    points: int = 0
    hours: int = 0
    life: int = 0
    hold: int = 0
    whole: bool = False
    final: bool = False
    receipt: int = 0
    operation: int = 0
    order: str = "money_first"

    @property
    def milli(self) -> int:
        """How much a purchase is of: a receipt is always of the same goods."""
        return 1_000 * (1 + self.receipt % 4)

    @property
    def price(self) -> int:
        """What it costs, in units that nothing divides evenly."""
        return 83 * (1 + self.receipt % 4)


steps = st.one_of(
    st.builds(
        Step,
        kind=st.just("earn"),
        member=member,
        partner=often,
        points=st.integers(0, 120),
        hours=st.sampled_from([0, 0, 1, 24, 30]),
        life=st.integers(31, 90),
        receipt=receipt,
    ),
    st.builds(Step, kind=st.just("burn"), member=member, partner=often, points=points, receipt=receipt),
    st.builds(
        Step,
        kind=st.just("authorize"),
        member=member,
        partner=often,
        points=points,
        hours=hours,
        receipt=receipt,
    ),
    st.builds(
        Step,
        kind=st.just("capture"),
        member=member,
        partner=often,
        points=points,
        hold=st.integers(0, 5),
        whole=st.booleans(),
        final=st.booleans(),
    ),
    st.builds(Step, kind=st.just("void"), member=member, partner=often, hold=st.integers(0, 5)),
    st.builds(
        Step,
        kind=st.sampled_from(["return", "return", "reverse"]),
        member=member,
        partner=often,
        points=st.integers(1, 4),
        operation=st.integers(0, 7),
        whole=st.booleans(),
        order=st.sampled_from(["money_first", "points_first", "proportional"]),
    ),
)
moments = st.lists(
    st.tuples(st.lists(steps, max_size=8), st.sampled_from([0, 0, 0, 1, 5, 20, 40])), min_size=1, max_size=8
)
SAVINGS: Final = [
    Step(kind="earn", member=number, partner=partner_number, points=120, life=60 + partner_number)
    for number in range(MEMBERS)
    for partner_number in PARTNERS
]
"""What every play begins with, so that there is something to spend, to return and to owe."""


def test_the_engine_gives_back_what_the_model_does(urls: Urls) -> None:
    with asyncio.Runner() as runner:
        world = runner.run(World.open(urls))

        @settings(
            max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
        )
        @given(moments)
        def plays(script: Sequence[tuple[Sequence[Step], int]]) -> None:
            runner.run(world.play(script))

        plays()
        runner.run(world.close())


class World:
    """A real ledger whose members are new in every play, so that one database serves them all."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.database = database
        self.ledger = ledger
        self.plays = 0

    @classmethod
    async def open(cls, urls: Urls) -> World:
        database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
        async with database.writer.begin() as connection:
            starts = [datetime(2026 + n // 12, 1 + n % 12, 1, tzinfo=UTC) for n in range(60)]
            await fence.extend(
                connection,
                [(n + 1, *span) for n, span in enumerate(pairwise(starts))],
                "UTC",
            )
        ledger = Ledger(database, DrivenClock(START))
        await ledger.start()
        return cls(database, ledger)

    async def close(self) -> None:
        await proving.holds(self.database)
        await self.ledger.drain()
        await self.database.close()

    async def play(self, script: Sequence[tuple[Sequence[Step], int]]) -> None:
        self.plays += 1
        # A play begins at midnight, where the model's hour 0 is, and has partners of its own.
        self.starts_at = await self.ledger.advance(_midnight_after(self.ledger.clock.now()))
        model = ModelLedger()
        holds: dict[int, list[int]] = {m: [] for m in range(MEMBERS)}
        posted: dict[int, list[int]] = {m: [] for m in range(MEMBERS)}
        for batch, wait in [(SAVINGS, 0), *script]:
            playable = [step for step in batch if _names_something(step, holds, posted)]
            outcomes = await self.ledger.submit_many(
                [self._command(step, holds, posted) for step in playable]
            )
            known = {m: (len(holds[m]), len(posted[m])) for m in range(MEMBERS)}
            for step, outcome in zip(playable, outcomes, strict=True):
                assert _answer(outcome) == _model_answer(model, step, *known[step.member])
                if outcome.kind == "authorize" and outcome.hold is not None:
                    holds[step.member].append(outcome.hold)
                if outcome.kind in RETURNABLE and outcome.refused is None:
                    posted[step.member].append(outcome.operation)
            model.advance(wait)
            await self.ledger.advance(self._at(model.now))
            for number in range(MEMBERS):
                balance = await self.ledger.balance(self._member(number))
                figures = (balance.pending, balance.available, balance.held, balance.clawback_due)
                assert figures == model.balance(number)
        for number in range(MEMBERS):
            assert await self._lots(number) == model.lots(number)
        assert await self._flows() == model.flows

    def _command(self, step: Step, holds: dict[int, list[int]], posted: dict[int, list[int]]) -> Command:
        member_id, now = self._member(step.member), self.ledger.clock.now()
        partner_id = self._partner(step.partner)
        common: dict[str, Any] = {"member": member_id, "partner": partner_id, "occurred_at": now}
        match step.kind:
            case "earn":
                available_at = now + timedelta(hours=step.hours) if step.hours else None
                expires_at = now + timedelta(hours=step.life)
                bought = _bought(step, points_earned=step.points)
                return an_earn(
                    step.points, available_at=available_at, expires_at=expires_at, **bought, **common
                )
            case "burn":
                return a_burn(step.points, **_paid_with_points(step), **common)
            case "authorize":
                lapses_at = now + timedelta(hours=step.hours)
                return an_authorization(
                    step.points, expires_at=lapses_at, **_paid_with_points(step), **common
                )
            case "return":
                lines = () if step.whole else ((0, 500 * step.points),)
                operation = _operation_of(step, posted)
                return a_return(operation, *lines, refund_order=step.order, **common)
            case "reverse":
                return a_reversal(_operation_of(step, posted), **common)
            case "capture":
                hold = _hold_of(step, holds)
                wanted = None if step.whole else step.points
                return a_capture(hold, wanted, final=step.final, **(common | {"member": 0}))
            case _:
                return a_void(_hold_of(step, holds), **(common | {"member": 0}))

    def _member(self, number: int) -> int:
        return compose(number, self.plays)

    def _partner(self, number: int) -> int:
        return self.plays * 10 + number

    def _at(self, hour: int) -> datetime:
        return self.starts_at + timedelta(hours=hour)

    async def _lots(self, number: int) -> list[tuple[int, int, int]]:
        query = select(lots).where(
            lots.c.member == self._member(number), lots.c.pending + lots.c.available > 0
        )
        async with self.database.writer.connect() as connection:
            rows = (await connection.execute(query)).all()
        return sorted(
            (
                row.issuer % 10,
                int((row.expires_at - self.starts_at) / timedelta(hours=1)),
                row.pending + row.available,
            )
            for row in rows
        )

    async def _flows(self) -> dict[tuple[str, int, int], int]:
        query = (
            select(flows.c.operation, flows.c.issuer, flows.c.redeemer, func.sum(flows.c.points))
            .where(flows.c.issuer // 10 == self.plays)
            .group_by(flows.c.operation, flows.c.issuer, flows.c.redeemer)
        )
        async with self.database.writer.connect() as connection:
            rows = (await connection.execute(query)).all()
        return {
            (operation, issuer % 10, redeemer % 10): int(total) for operation, issuer, redeemer, total in rows
        }


def _bought(step: Step, **points: int) -> dict[str, Any]:
    item = an_item(pieces=step.milli // 1_000, price=step.price, **points)
    return {"items": (item,), "receipt": a_receipt(str(step.receipt)) if step.receipt else None}


def _paid_with_points(step: Step) -> dict[str, Any]:
    return _bought(step, points_burned=step.points, money_off_micro=_off(step))


def _off(step: Step) -> int:
    return min(step.points, step.price)


def _names_something(step: Step, holds: dict[int, list[int]], posted: dict[int, list[int]]) -> bool:
    """A step can be about nothing else than what was there before its batch."""
    if step.kind in ("capture", "void"):
        return bool(holds[step.member])
    return step.kind not in ("return", "reverse") or bool(posted[step.member])


def _operation_of(step: Step, posted: dict[int, list[int]]) -> int:
    own = posted[step.member]
    return own[step.operation % len(own)]


def _hold_of(step: Step, holds: dict[int, list[int]]) -> int:
    own = holds[step.member]
    return own[step.hold % len(own)] if own else 0


def _midnight_after(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _answer(outcome: Outcome) -> tuple[str, int]:
    """The code, and of a return the money due."""
    if outcome.refused is not None:
        return outcome.refused.code, 0
    return "OK", outcome.returned.money_micro if outcome.returned else 0


def _model_answer(model: ModelLedger, step: Step, holds: int, posted: int) -> tuple[str, int]:
    """So many `holds` and operations `posted` existed before the batch; a step can name no other."""
    goods = {"receipt": step.receipt, "milli": step.milli, "price": step.price}
    match step.kind:
        case "earn":
            code = model.earn(step.member, step.partner, step.points, step.hours, step.life, **goods)
        case "burn":
            code = model.burn(step.member, step.partner, step.points, off=_off(step), **goods)
        case "authorize":
            code = model.authorize(
                step.member, step.partner, step.points, step.hours, off=_off(step), **goods
            )
        case "capture":
            wanted = None if step.whole else step.points
            code = model.capture(step.member, step.hold % holds, step.partner, wanted, step.final)
        case "void":
            code = model.void(step.member, step.hold % holds, step.partner)
        case "return":
            milli = None if step.whole else 500 * step.points
            return model.give_back(step.member, step.operation % posted, step.partner, milli, step.order)
        case _:
            code = model.reverse(step.member, step.operation % posted, step.partner)
    return code, 0
