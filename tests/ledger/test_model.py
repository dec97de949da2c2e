"""The engine against the reference model: any commands, any batches, any jumps of the clock."""

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
from tests.model import ModelLedger
from tests.servers import Urls

from . import proving
from .builders import START, a_burn, a_capture, a_void, an_authorization, an_earn

MEMBERS: Final = 3
PARTNERS: Final = (1, 2)

member = st.integers(0, MEMBERS - 1)
partner = st.sampled_from(PARTNERS)
points = st.integers(1, 120)
hours = st.integers(1, 60)


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


steps = st.one_of(
    st.builds(
        Step,
        kind=st.just("earn"),
        member=member,
        partner=partner,
        points=st.integers(0, 120),
        hours=st.sampled_from([0, 0, 1, 24, 30]),
        life=st.integers(31, 90),
    ),
    st.builds(Step, kind=st.just("burn"), member=member, partner=partner, points=points),
    st.builds(Step, kind=st.just("authorize"), member=member, partner=partner, points=points, hours=hours),
    st.builds(
        Step,
        kind=st.just("capture"),
        member=member,
        partner=partner,
        points=points,
        hold=st.integers(0, 5),
        whole=st.booleans(),
        final=st.booleans(),
    ),
    st.builds(Step, kind=st.just("void"), member=member, partner=partner, hold=st.integers(0, 5)),
)
moments = st.lists(st.tuples(st.lists(steps, max_size=6), st.integers(0, 40)), min_size=1, max_size=8)


def test_the_engine_does_what_the_model_does(urls: Urls) -> None:
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
        for batch, wait in script:
            playable = [
                step for step in batch if step.kind not in ("capture", "void") or _hold_of(step, holds)
            ]
            outcomes = await self.ledger.submit_many([self._command(step, holds) for step in playable])
            known = {m: len(own) for m, own in holds.items()}
            for step, outcome in zip(playable, outcomes, strict=True):
                assert _answer(outcome) == _model_answer(model, step, known[step.member])
                if outcome.kind == "authorize" and outcome.hold is not None:
                    holds[step.member].append(outcome.hold)
            model.advance(wait)
            await self.ledger.advance(self._at(model.now))
            for number in range(MEMBERS):
                balance = await self.ledger.balance(self._member(number))
                assert (balance.pending, balance.available, balance.held) == model.balance(number)
        for number in range(MEMBERS):
            assert await self._lots(number) == model.lots(number)
        assert await self._flows() == model.flows

    def _command(self, step: Step, holds: dict[int, list[int]]) -> Command:
        member_id, now = self._member(step.member), self.ledger.clock.now()
        partner_id = self._partner(step.partner)
        common: dict[str, Any] = {"member": member_id, "partner": partner_id, "occurred_at": now}
        match step.kind:
            case "earn":
                available_at = now + timedelta(hours=step.hours) if step.hours else None
                expires_at = now + timedelta(hours=step.life)
                return an_earn(step.points, available_at=available_at, expires_at=expires_at, **common)
            case "burn":
                return a_burn(step.points, **common)
            case "authorize":
                return an_authorization(step.points, expires_at=now + timedelta(hours=step.hours), **common)
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


def _hold_of(step: Step, holds: dict[int, list[int]]) -> int:
    own = holds[step.member]
    return own[step.hold % len(own)] if own else 0


def _midnight_after(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _answer(outcome: Outcome) -> str:
    return "OK" if outcome.refused is None else outcome.refused.code


def _model_answer(model: ModelLedger, step: Step, known: int) -> str:
    """`known` holds existed before the batch; a step can name no other."""
    match step.kind:
        case "earn":
            return model.earn(step.member, step.partner, step.points, step.hours, step.life)
        case "burn":
            return model.burn(step.member, step.partner, step.points)
        case "authorize":
            return model.authorize(step.member, step.partner, step.points, step.hours)
        case "capture":
            number = step.hold % known
            wanted = None if step.whole else step.points
            return model.capture(step.member, number, step.partner, wanted, step.final)
        case _:
            return model.void(step.member, step.hold % known, step.partner)
