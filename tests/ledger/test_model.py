"""The engine against the reference model: any commands, any batches, any jumps of the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from ledger import Command, Counter, Ledger, Outcome, fence, windows
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.leaving import hand_over
from ledger.tables import flows_now as flows
from ledger.tables import lots
from tests.model import ModelLedger, ModelLimit
from tests.servers import Urls

from . import proving
from .builders import (
    START,
    a_burn,
    a_capture,
    a_counter,
    a_donation,
    a_grant,
    a_merge,
    a_transfer,
    a_void,
    an_adjustment,
    an_arming,
    an_authorization,
    an_earn,
)

MEMBERS: Final = 4
PARTNERS: Final = (1, 2)
SUCCESSOR: Final = 9
FOLLOWS: Final = ("earn", "burn", "authorize", "transfer", "grant", "adjust", "donate")
"""What a command that names a merged member asks of the survivor; all else stays where the hold is."""

member = st.integers(0, MEMBERS - 1)
partner = st.sampled_from(PARTNERS)
points = st.integers(1, 120)
hours = st.integers(1, 60)
limits = st.none() | st.builds(ModelLimit, ceiling=st.integers(0, 200), is_rolling=st.booleans())


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
    to: int = 0
    limit: ModelLimit | None = None


Script = Sequence[tuple[Sequence[Step], int, int | None]]

steps = st.one_of(
    st.builds(
        Step,
        kind=st.just("earn"),
        member=member,
        partner=partner,
        points=st.integers(0, 120),
        hours=st.sampled_from([0, 0, 1, 24, 30]),
        life=st.integers(31, 90),
        limit=limits,
    ),
    st.builds(Step, kind=st.just("burn"), member=member, partner=partner, points=points, limit=limits),
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
    st.builds(Step, kind=st.just("transfer"), member=member, partner=partner, points=points, to=member),
    st.builds(Step, kind=st.just("merge"), member=member, partner=partner, to=member),
    st.builds(
        Step,
        kind=st.just("adjust"),
        member=member,
        partner=partner,
        points=st.integers(-80, 80).filter(bool),
        life=st.integers(31, 90),
    ),
    st.builds(
        Step, kind=st.just("grant"), member=member, partner=partner, points=points, life=st.integers(31, 90)
    ),
    st.builds(Step, kind=st.just("donate"), member=member, partner=partner, points=points),
    st.builds(Step, kind=st.just("arm"), member=member, partner=partner, hours=st.integers(1, 80)),
)
leavers = st.sampled_from([None, None, None, *PARTNERS])
moments = st.lists(
    st.tuples(st.lists(steps, max_size=6), st.integers(0, 40), leavers), min_size=1, max_size=8
)


@pytest.mark.parametrize("notice_days", [None, 1], ids=["no notices", "notices"])
def test_the_engine_does_what_the_model_does(urls: Urls, notice_days: int | None) -> None:
    with asyncio.Runner() as runner:
        world = runner.run(World.open(urls, notice_days))

        @settings(
            max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
        )
        @given(moments)
        def plays(script: Script) -> None:
            runner.run(world.play(script))

        plays()
        runner.run(world.close())


class World:
    """A real ledger whose members are new in every play, so that one database serves them all."""

    def __init__(self, database: Database, ledger: Ledger, *, has_notices: bool) -> None:
        self.database = database
        self.ledger = ledger
        self.has_notices = has_notices
        self.plays = 0

    @classmethod
    async def open(cls, urls: Urls, notice_days: int | None) -> World:
        database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
        async with database.writer.begin() as connection:
            starts = [datetime(2026 + n // 12, 1 + n % 12, 1, tzinfo=UTC) for n in range(60)]
            await fence.extend(
                connection,
                [(n + 1, *span) for n, span in enumerate(pairwise(starts))],
                "UTC",
                notice_days,
            )
        ledger = Ledger(database, DrivenClock(START))
        await ledger.start()
        return cls(database, ledger, has_notices=notice_days is not None)

    async def close(self) -> None:
        await proving.holds(self.database)
        await self.ledger.drain()
        await self.database.close()

    async def play(self, script: Script) -> None:
        self.plays += 1
        # A play begins at midnight, where the model's hour 0 is, and has partners of its own.
        self.starts_at = await self.ledger.advance(_midnight_after(self.ledger.clock.now()))
        model = ModelLedger(has_notices=self.has_notices)
        holds: dict[int, list[int]] = {m: [] for m in range(MEMBERS)}
        for number, (batch, wait, leaver) in enumerate(script):
            playable = [
                step for step in batch if step.kind not in ("capture", "void") or _hold_of(step, holds)
            ]
            outcomes = await self.ledger.submit_many([self._command(step, holds) for step in playable])
            known = {m: len(own) for m, own in holds.items()}
            await self.ledger.drive_all()
            expected = _model_answers(model, playable, known)
            for step, outcome in zip(playable, outcomes, strict=True):
                assert (step, _answer(outcome)) == (step, expected.pop(0))
                if outcome.kind == "authorize" and outcome.hold is not None:
                    holds[outcome.hold >> 56].append(outcome.hold)
            if leaver is not None:
                await self._novate(leaver, f"{self.plays}:{number}")
                model.novate(leaver, SUCCESSOR)
            model.advance(wait)
            await self.ledger.advance(self._at(model.now))
            for each in range(MEMBERS):
                balance = await self.ledger.balance(self._member(each))
                assert (balance.pending, balance.available, balance.held) == model.balance(each)
        for each in range(MEMBERS):
            assert await self._lots(each) == model.lots(each)
        assert await self._flows() == model.flows

    def _command(self, step: Step, holds: dict[int, list[int]]) -> Command:
        member_id, now = self._member(step.member), self.ledger.clock.now()
        partner_id = self._partner(step.partner)
        common: dict[str, Any] = {"member": member_id, "partner": partner_id, "occurred_at": now}
        expires_at = now + timedelta(hours=step.life)
        match step.kind:
            case "earn":
                available_at = now + timedelta(hours=step.hours) if step.hours else None
                common |= {"expires_at": expires_at, "counters": _counters(step)}
                return an_earn(step.points, available_at=available_at, **common)
            case "burn":
                return a_burn(step.points, counters=_counters(step), **common)
            case "grant":
                return a_grant(step.points, expires_at=expires_at, **common)
            case "adjust":
                return an_adjustment(step.points, obligor=partner_id, expires_at=expires_at, **common)
            case "donate":
                return a_donation(step.points, **common)
            case "authorize":
                return an_authorization(step.points, expires_at=now + timedelta(hours=step.hours), **common)
            case "capture":
                hold = _hold_of(step, holds)
                wanted = None if step.whole else step.points
                return a_capture(hold, wanted, final=step.final, **(common | {"member": 0}))
            case "transfer":
                return a_transfer(step.points, to_member=self._member(step.to), **common)
            case "merge":
                return a_merge(self._member(max(step.member, step.to)), **common)
            case "arm":
                return an_arming(until=now + timedelta(hours=step.hours), notice_days=1, **common)
            case _:
                return a_void(_hold_of(step, holds), **(common | {"member": 0}))

    def _member(self, number: int) -> int:
        return compose(number, self.plays)

    def _partner(self, number: int) -> int:
        return self.plays * 10 + number

    def _at(self, hour: int) -> datetime:
        return self.starts_at + timedelta(hours=hour)

    async def _novate(self, leaver: int, round_: str) -> None:
        """Until a round finds nothing: what a merged member sent off has arrived before."""
        await hand_over(
            self.database,
            self.ledger.submit_many,
            leaver=self._partner(leaver),
            successor=self._partner(SUCCESSOR),
            round_=round_,
            at=self.ledger.clock.now(),
            most=10**9,
        )

    async def _lots(self, number: int) -> list[tuple[int, int, int, int, bool]]:
        query = select(lots).where(
            lots.c.member == self._member(number), lots.c.pending + lots.c.available > 0
        )
        async with self.database.writer.connect() as connection:
            rows = (await connection.execute(query)).all()
        return sorted(
            (
                row.issuer % 10,
                row.obligor % 10,
                int((row.expires_at - self.starts_at) / timedelta(hours=1)),
                row.pending + row.available,
                not self.has_notices or row.armed_at is not None,
            )
            for row in rows
        )

    async def _flows(self) -> dict[tuple[str, int, int, int], int]:
        cell = (flows.c.operation, flows.c.issuer, flows.c.obligor, flows.c.redeemer)
        query = (
            select(*cell, func.sum(flows.c.points)).where(flows.c.issuer // 10 == self.plays).group_by(*cell)
        )
        async with self.database.writer.connect() as connection:
            rows = (await connection.execute(query)).all()
        return {
            (operation, issuer % 10, obligor % 10, redeemer % 10): int(total)
            for operation, issuer, obligor, redeemer, total in rows
        }


def _hold_of(step: Step, holds: dict[int, list[int]]) -> int:
    own = holds[step.member]
    return own[step.hold % len(own)] if own else 0


def _counters(step: Step) -> tuple[Counter, ...]:
    """A step's limit as the engine has it: over a day, or over 24 hours."""
    if step.limit is None:
        return ()
    window = windows.rolling(86_400) if step.limit.is_rolling else windows.DAY
    return (a_counter(step.points, step.limit.ceiling, window=window),)


def _midnight_after(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _answer(outcome: Outcome) -> str:
    return "OK" if outcome.refused is None else outcome.refused.code


def _model_answers(model: ModelLedger, playable: Sequence[Step], known: dict[int, int]) -> list[str]:
    """The model's answers in order; what is asked of a merged member is asked of the survivor at the end."""
    answers: dict[int, str] = {}
    waiting = list(enumerate(playable))
    while waiting:
        moved = []
        for index, step in waiting:
            if step.kind in FOLLOWS and step.member in model.survivors:
                moved.append((index, replace(step, member=model.survivors[step.member])))
            else:
                answers[index] = _model_answer(model, step, known[step.member])
        waiting = moved
    model.arrive()
    return [answers[index] for index in range(len(playable))]


def _model_answer(model: ModelLedger, step: Step, known: int) -> str:
    """`known` holds existed before the batch; a step can name no other."""
    match step.kind:
        case "earn":
            return model.earn(step.member, step.partner, step.points, step.hours, step.life, step.limit)
        case "burn" | "donate":
            return model.burn(step.member, step.partner, step.points, step.limit)
        case "grant":
            model.give(step.member, step.partner, 0, step.points, step.life)
            return "OK"
        case "adjust":
            return model.adjust(step.member, step.partner, step.points, step.life)
        case "authorize":
            return model.authorize(step.member, step.partner, step.points, step.hours)
        case "capture":
            number = step.hold % known
            wanted = None if step.whole else step.points
            return model.capture(step.member, number, step.partner, wanted, step.final)
        case "transfer":
            return model.transfer(step.member, step.to, step.points)
        case "merge":
            return model.merge(step.member, max(step.member, step.to))
        case "arm":
            return model.arm(step.member, model.now + step.hours, 24)
        case _:
            return model.void(step.member, step.hold % known, step.partner)
