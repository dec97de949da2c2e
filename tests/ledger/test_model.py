"""The engine against the reference model: any commands, any batches, any jumps of the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from ledger import (
    Adjust,
    ArmExpiry,
    Authorize,
    Burn,
    Capture,
    Command,
    Counter,
    Donate,
    Earn,
    Freeze,
    Grant,
    Ledger,
    Merge,
    Novate,
    Open,
    Outcome,
    PassFence,
    PostMoney,
    ReturnPurchase,
    Reverse,
    Settle,
    Transfer,
    Unfreeze,
    Void,
    fence,
    lane,
    windows,
)
from ledger.commands import Arrive, Conclude
from ledger.driving import drive
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.leaving import hand_over
from ledger.tables import flows_now as flows
from ledger.tables import lots
from ledger.transit_store import open_transits
from tests.model import ModelFlow, ModelGoods, ModelLimit
from tests.return_model import ReturningLedger
from tests.servers import Urls

from . import proving
from .builders import (
    START,
    a_burn,
    a_capture,
    a_counter,
    a_donation,
    a_freeze,
    a_grant,
    a_merge,
    a_novation,
    a_receipt,
    a_return,
    a_reversal,
    a_transfer,
    a_void,
    an_adjustment,
    an_arming,
    an_authorization,
    an_earn,
    an_item,
    an_opening,
    an_opening_lot,
    an_unfreeze,
)

MEMBERS: Final = 4
PARTNERS: Final = (1, 2)
SUCCESSOR: Final = 9

PLAYED: Final[dict[str, type[Command]]] = {
    "earn": Earn,
    "open": Open,
    "burn": Burn,
    "donate": Donate,
    "grant": Grant,
    "adjust": Adjust,
    "authorize": Authorize,
    "capture": Capture,
    "void": Void,
    "transfer": Transfer,
    "merge": Merge,
    "freeze": Freeze,
    "unfreeze": Unfreeze,
    "arm": ArmExpiry,
    "novate": Novate,
    "return": ReturnPurchase,
    "reverse": Reverse,
}
"""The kinds of steps, and the command that each is for the engine."""

BY_ITSELF: Final = {Arrive, Conclude, Settle, PassFence}
"""What drivers, the sweep and the clock send: they are played too, and no step is one of them."""

OF_SETTLEMENT: Final = {PostMoney}
"""A journal of money moves no points and no wallet."""

FOLLOWS: Final = ("earn", "burn", "authorize", "transfer", "grant", "adjust", "donate", "freeze", "unfreeze")
"""What a command that names a merged member asks of the survivor; all else stays where it was posted."""
OF_A_HOLD: Final = ("capture", "void")
OF_A_PURCHASE: Final = ("return", "reverse")
RETURNABLE: Final = ("earn", "burn", "authorize", "capture", "donate")
"""What a return or a reversal may name; a donation is refused."""


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
    is_shared: bool = False
    receipt: int = 0
    operation: int = 0
    order: str = "money_first"
    version: int = 0

    @property
    def prices(self) -> int:
        """The tariff of what the partner gives, the terms of what is paid with there: one of its two."""
        return self.partner * 10 + self.version

    @property
    def goods(self) -> ModelGoods:
        """What was bought: the same goods for each receipt, at a price that nothing divides evenly."""
        size = 1 + self.receipt % 4
        return ModelGoods(self.receipt, 1_000 * size, 83 * size)

    @property
    def lots(self) -> list[tuple[int, int, int, int, int]]:
        """What an opening brings: (issuer, tariff, points, hours until it is released, and expires)."""
        other = PARTNERS[self.partner % len(PARTNERS)]
        return [
            (self.partner, self.prices, self.points, self.hours, self.life),
            (other, other * 10, self.points + 7, 0, 40),
        ]


@dataclass(frozen=True)
class Moment:
    """Steps that are sent together, under what all members may have in a day; then the clock goes on.

    With them go `repeats` of what was sent in earlier moments. Before the clock goes on all that a `leaver`
    answers for may have become its successor's.
    """

    steps: Sequence[Step]
    wait: int
    leaver: int | None = None
    ceiling: int = 1_000
    repeats: Sequence[int] = ()


Script = Sequence[Moment]

member = st.sampled_from((0, 0, 0, 1, 1, 2, 3))
partner = st.sampled_from((1, 1, 1, 2))
"""Most of a play is about a few, so that steps meet."""
points = st.integers(1, 120)
life = st.integers(31, 90)
releases = st.sampled_from((0, 0, 1, 24, 30))
receipt = st.integers(0, 5)
other = st.sampled_from((0, 1, 1, 2, 3))
number = st.integers(0, 7)
version = st.sampled_from((0, 0, 1))
limits = st.none() | st.builds(
    ModelLimit, ceiling=st.integers(0, 200), window=st.sampled_from(("day", "rolling"))
)
counted = {"limit": limits, "is_shared": st.booleans()}

DRAWN: Final[dict[str, dict[str, st.SearchStrategy[Any]]]] = {
    "earn": {
        "points": st.integers(0, 120),
        "hours": releases,
        "life": life,
        "receipt": receipt,
        **counted,
    },
    "open": {"points": points, "hours": releases, "life": st.sampled_from((0, 31, 40, 90))},
    "burn": {"points": points | st.just(240), "receipt": receipt, **counted},
    "donate": {"points": points},
    "grant": {"points": points, "life": life},
    "adjust": {"points": st.integers(-80, 80).filter(bool), "life": life},
    "authorize": {"points": points, "hours": st.integers(1, 60), "receipt": receipt},
    "capture": {"points": points, "hold": number, "whole": st.booleans(), "final": st.booleans()},
    "void": {"hold": number},
    "transfer": {"points": points, "to": other},
    "merge": {"to": other},
    "freeze": {},
    "unfreeze": {},
    "arm": {"hours": st.integers(1, 80)},
    "novate": {},
    "return": {
        "points": st.integers(1, 4),
        "operation": number,
        "whole": st.booleans(),
        "order": st.sampled_from(("money_first", "points_first", "proportional")),
    },
    "reverse": {"operation": number},
}
"""What is drawn for each kind of step, besides the member and the partner that it is about."""

STEPS: Final = {
    kind: st.builds(Step, kind=st.just(kind), member=member, partner=partner, version=version, **drawn)
    for kind, drawn in DRAWN.items()
}
THEMES: Final = (
    ("burn", "authorize", "capture", "return", "return", "reverse"),
    ("burn", "authorize", "capture", "void", "donate", "arm", "novate"),
    ("burn", "transfer", "transfer", "merge", "return", "freeze", "unfreeze", "novate"),
    ("open", "grant", "adjust", "burn", "return", "reverse", "merge"),
    tuple(PLAYED),
)
"""Kinds that meet: a play is about some of them, and about few others."""

leavers = st.sampled_from((None, None, None, *PARTNERS))
waits = st.sampled_from((0, 0, 0, 1, 5, 13, 20, 40))
repeats = st.lists(st.integers(0, 30), max_size=2)
ceilings = st.just(1_000) | st.integers(0, 2_000)


def scripts_of(*, moments: tuple[int, int], steps: tuple[int, int]) -> st.SearchStrategy[Script]:
    """Scripts of so many moments with so many steps each, least and most; some begin with savings."""

    def of_kinds(kinds: Sequence[str]) -> st.SearchStrategy[Script]:
        drawn = st.one_of([STEPS[kind] for kind in ("earn", *kinds)])
        moment = st.builds(
            Moment,
            steps=st.lists(drawn, min_size=steps[0], max_size=steps[1]),
            wait=waits,
            leaver=leavers,
            ceiling=ceilings,
            repeats=repeats,
        )
        return st.lists(moment, min_size=moments[0], max_size=moments[1])

    others = st.lists(st.sampled_from(sorted(PLAYED)), max_size=2)
    played = st.builds(lambda theme, more: [*theme, *more], st.sampled_from(THEMES), others)
    beginnings = st.sampled_from((SAVINGS, SAVINGS, ()))
    return st.builds(lambda first, rest: [*first, *rest], beginnings, played.flatmap(of_kinds))


SAVINGS: Final = [
    Moment(
        [
            Step(kind="earn", member=number, partner=partner_number, points=120, life=60 + partner_number)
            for number in range(MEMBERS)
            for partner_number in PARTNERS
        ],
        wait=0,
    )
]
"""So that there is something to spend, to return and to owe."""

EVERYTHING: Final = [
    *SAVINGS,
    Moment(
        [
            Step("open", 0, 1, points=30, hours=1, life=90),
            Step("grant", 0, 1, points=9, life=80, version=1),
            Step("adjust", 0, 1, points=-5),
            Step("earn", 0, 1, points=50, life=70, receipt=1, limit=ModelLimit(50, "day"), is_shared=True),
            Step("burn", 1, 1, points=60, receipt=1, version=1),
            Step("donate", 1, 2, points=6),
            Step("authorize", 0, 1, points=20, hours=30),
            Step("authorize", 0, 1, points=40, hours=30),
            Step("transfer", 2, 1, points=70, to=1),
            Step("arm", 0, 1, hours=80),
        ],
        wait=1,
    ),
    Moment(
        [
            Step("capture", 0, 1, points=7, hold=0),
            Step("void", 0, 1, hold=1),
            Step("return", 0, 1, operation=2, points=2),
            Step("reverse", 1, 1, operation=2),
            Step("freeze", 3, 1),
            Step("novate", 1, 1),
            Step("merge", 1, 1, to=2),
        ],
        wait=30,
    ),
    Moment([Step("unfreeze", 3, 1)], wait=40, repeats=(2, 12, 16, 24)),
]
"""Every kind of step once, and accepted; at last some are sent again, one of a merged member's too."""


CROSSINGS: Final = [
    *SAVINGS,
    Moment(
        [
            Step("earn", 0, 1, points=50, life=90),
            Step("freeze", 3, 1),
            Step("burn", 3, 1, points=10),
            Step("transfer", 2, 1, points=130, to=3),
            Step("novate", 2, 1),
            Step("earn", 0, 1, points=101, life=90, is_shared=True),
            Step("earn", 1, 1, points=60, life=90, is_shared=True),
            Step("earn", 2, 1, points=41, life=90, is_shared=True),
            Step("earn", 0, 1, points=40, hours=24, life=90, is_shared=True),
        ],
        wait=1,
        ceiling=100,
    ),
    Moment(
        [
            Step("return", 0, 1, operation=2, points=1),
            Step("return", 0, 1, operation=3, points=1),
            Step("burn", 1, 2, points=240),
            Step("return", 1, 1, operation=0, whole=True),
            Step("grant", 1, 2, points=30, life=40),
        ],
        wait=1,
    ),
    Moment(
        [
            Step("authorize", 0, 1, points=110, hours=10),
            Step("merge", 0, 1, to=2),
            Step("merge", 1, 1, to=2),
        ],
        wait=1,
    ),
    Moment([Step("return", 0, 1, operation=3, whole=True), Step("burn", 0, 2, points=20)], wait=20),
    Moment([Step("reverse", 1, 2, operation=3), Step("adjust", 0, 1, points=90, life=50)], wait=60, leaver=2),
]
"""What crosses: claws with lots that expire sooner, debts and pending points with merges, the frozen with
points under way that are novated meanwhile, a shared ceiling with those who ask too much."""


def test_the_machine_plays_every_command_there_is() -> None:
    commands = {each for each in Command.__subclasses__() if each.__module__ == Command.__module__}

    assert commands == {*PLAYED.values(), *BY_ITSELF, *OF_SETTLEMENT}
    assert DRAWN.keys() == PLAYED.keys()


def test_every_command_is_accepted_at_least_once(urls: Urls) -> None:
    with asyncio.Runner() as runner:
        world = runner.run(World.open(urls, None))

        runner.run(world.play(EVERYTHING))
        runner.run(world.close())

    assert world.accepted == PLAYED.keys()


@pytest.mark.parametrize("notice_days", [None, 1], ids=["no notices", "notices"])
def test_the_engine_does_what_the_model_does(
    urls: Urls, notice_days: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Or else one key that collides makes most of what follows look first, and the other way is hardly tried.
    monkeypatch.setattr(lane, "CAREFUL_BATCHES", 1)
    with asyncio.Runner() as runner:
        world = runner.run(World.open(urls, notice_days, lanes=1 if notice_days is None else MEMBERS))

        @settings(
            max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
        )
        @given(scripts_of(moments=(2, 8), steps=(3, 9)))
        @example(EVERYTHING)
        @example(CROSSINGS)
        def plays(script: Script) -> None:
            runner.run(world.play(script))

        plays()
        runner.run(world.close())


class World:
    """A real ledger whose members are new in every play, so that one database serves them all."""

    def __init__(self, database: Database, ledger: Ledger, *, lanes: int, has_notices: bool) -> None:
        self.database = database
        self.ledger = ledger
        self.lanes = lanes
        self.has_notices = has_notices
        self.plays = 0
        self.accepted: set[str] = set()

    @classmethod
    async def open(cls, urls: Urls, notice_days: int | None, *, lanes: int = 1) -> World:
        database = await Database.open(writer_url=urls.writer, reader_url=urls.reader)
        async with database.writer.begin() as connection:
            starts = [datetime(2026 + n // 12, 1 + n % 12, 1, tzinfo=UTC) for n in range(60)]
            await fence.extend(
                connection,
                [(n + 1, *span) for n, span in enumerate(pairwise(starts))],
                "UTC",
                notice_days,
            )
        ledger = Ledger(database, DrivenClock(START), lanes=lanes)
        await ledger.start()
        return cls(database, ledger, lanes=lanes, has_notices=notice_days is not None)

    async def close(self) -> None:
        await proving.holds(self.database)
        await self.ledger.drain()
        await self.database.close()

    async def play(self, script: Script) -> None:
        self.plays += 1
        # A play begins at midnight, where the model's hour 0 is, and has partners of its own.
        self.starts_at = await self.ledger.advance(_midnight_after(self.ledger.clock.now()))
        model = ReturningLedger(has_notices=self.has_notices)
        self.holds: dict[int, list[int]] = {m: [] for m in range(MEMBERS)}
        self.posted: dict[int, list[int]] = {m: [] for m in range(MEMBERS)}
        answered: list[tuple[Command, Outcome]] = []
        for number, moment in enumerate(script):
            playable = [self._alone(step) for step in moment.steps if self._names_something(step)]
            commands = [self._command(step, moment.ceiling) for step in playable]
            again = [answered[each % len(answered)] for each in moment.repeats if answered]
            outcomes = await self.ledger.submit_many([*commands, *(command for command, _ in again)])
            repeated = outcomes[len(commands) :]
            assert repeated == [msgspec.structs.replace(first, replayed=True) for _, first in again]
            outcomes = outcomes[: len(commands)]
            # What is retryable was not stored: to repeat it is to ask anew.
            answered += [each for each in zip(commands, outcomes, strict=True) if each[1].operation]
            await self._drive()
            expected = self._model_answers(model, playable, moment.ceiling)
            assert list(zip(playable, map(_answer, outcomes), strict=True)) == list(
                zip(playable, expected, strict=True)
            )
            self._remember(playable, outcomes)
            if moment.leaver is not None:
                await self._hand_over(moment.leaver, f"{self.plays}:{number}")
                for each in range(MEMBERS):
                    model.novate(each, moment.leaver, SUCCESSOR)
            model.advance(moment.wait)
            await self.ledger.advance(self.starts_at + timedelta(hours=model.now))
            for each in range(MEMBERS):
                balance = await self.ledger.balance(self._member(each))
                figures = (balance.pending, balance.available, balance.held, balance.clawback_due)
                assert figures == model.balance(each)
        for each in range(MEMBERS):
            assert await self._lots(each) == model.lots(each)
        assert await self._flows() == model.flows

    def _alone(self, step: Step) -> Step:
        """What members share is given in the order of a lane, which the model has for all of them."""
        return step if self.lanes == 1 else replace(step, is_shared=False)

    def _command(self, step: Step, ceiling: int) -> Command:
        now, partner_id = self.ledger.clock.now(), self._partner(step.partner)
        expires_at = now + timedelta(hours=step.life)
        later = now + timedelta(hours=step.hours)
        common: dict[str, Any] = {
            "member": self._member(step.member),
            "partner": partner_id,
            "occurred_at": now,
            "terms": self._prices(step.prices),
        }
        gives: dict[str, Any] = {"tariff": self._prices(step.prices)}
        counters = self._counters(step, ceiling)
        match step.kind:
            case "earn":
                common |= {"available_at": later if step.hours else None, "expires_at": expires_at, **gives}
                return an_earn(step.points, counters=counters, **_bought(step, "points_earned"), **common)
            case "open":
                return an_opening(*(self._opening_lot(*lot) for lot in step.lots), **common)
            case "burn":
                return a_burn(step.points, counters=counters, **_paid_with_points(step), **common)
            case "donate":
                return a_donation(step.points, **common)
            case "grant":
                return a_grant(step.points, expires_at=expires_at, **gives, **common)
            case "adjust":
                return an_adjustment(
                    step.points, obligor=partner_id, expires_at=expires_at, **gives, **common
                )
            case "authorize":
                return an_authorization(step.points, expires_at=later, **_paid_with_points(step), **common)
            case "capture":
                wanted = None if step.whole else step.points
                return a_capture(self._hold_of(step), wanted, final=step.final, **(common | {"member": 0}))
            case "void":
                return a_void(self._hold_of(step), **(common | {"member": 0}))
            case "transfer":
                return a_transfer(step.points, to_member=self._member(step.to), **common)
            case "merge":
                return a_merge(self._member(max(step.member, step.to)), **common)
            case "freeze":
                return a_freeze(**common)
            case "unfreeze":
                return an_unfreeze(**common)
            case "arm":
                return an_arming(until=later, notice_days=1, **common)
            case "novate":
                return a_novation(partner_id, self._partner(SUCCESSOR), **gives, **common)
            case "return":
                lines = () if step.whole else ((0, 500 * step.points),)
                return a_return(self._operation_of(step), *lines, refund_order=step.order, **common)
            case _:
                return a_reversal(self._operation_of(step), **common)

    def _counters(self, step: Step, ceiling: int) -> tuple[Counter, ...]:
        """A step's limits as the engine has them: the member's over a day or 24 hours, and everybody's."""
        counters = []
        if step.limit is not None:
            window = windows.rolling(86_400) if step.limit.window == "rolling" else windows.DAY
            counters.append(a_counter(step.points, step.limit.ceiling, window=window))
        if step.is_shared:
            counters.append(a_counter(step.points, ceiling, name=f"all/{self.plays}", is_shared=True))
        return tuple(counters)

    def _opening_lot(self, issuer: int, tariff: int, points: int, hours: int, life: int) -> Any:
        now = self.ledger.clock.now()
        return an_opening_lot(
            points,
            partner=self._partner(issuer),
            tariff=self._prices(tariff),
            available_at=now + timedelta(hours=hours) if hours else None,
            expires_at=now + timedelta(hours=life),
        )

    def _member(self, number: int) -> int:
        return compose(number, self.plays)

    def _partner(self, number: int) -> int:
        return self.plays * 10 + number

    def _prices(self, number: int) -> int:
        """A tariff or an agreement's version."""
        return self.plays * 100 + number

    def _hold_of(self, step: Step) -> int:
        own = self.holds[step.member]
        return own[step.hold % len(own)]

    def _operation_of(self, step: Step) -> int:
        own = self.posted[step.member]
        return own[step.operation % len(own)]

    def _names_something(self, step: Step) -> bool:
        """A step can be about nothing else than what was there before its batch."""
        if step.kind in OF_A_HOLD:
            return bool(self.holds[step.member])
        return step.kind not in OF_A_PURCHASE or bool(self.posted[step.member])

    def _remember(self, playable: Sequence[Step], outcomes: Sequence[Outcome]) -> None:
        """Number what later steps may name as the model does: in the order in which it was posted."""
        for step, outcome in zip(playable, outcomes, strict=True):
            if outcome.refused is None:
                self.accepted.add(step.kind)
                if step.kind in RETURNABLE:
                    self.posted[outcome.operation >> 56].append(outcome.operation)
                if step.kind == "authorize":
                    self.holds[outcome.operation >> 56].append(outcome.operation)
        for own in (*self.posted.values(), *self.holds.values()):
            own.sort()

    def _model_answers(
        self, model: ReturningLedger, playable: Sequence[Step], ceiling: int
    ) -> list[tuple[str, int]]:
        """The model's in order; what is asked of a merged member is asked of the survivor at the end."""
        answers: dict[int, tuple[str, int]] = {}
        waiting = list(enumerate(playable))
        while waiting:
            moved = []
            for index, step in waiting:
                if (
                    step.kind in FOLLOWS
                    and step.member in model.survivors
                    and not model.is_posted(step.member, step.kind, step.partner, step.receipt)
                ):
                    moved.append((index, replace(step, member=model.survivors[step.member])))
                else:
                    answers[index] = self._model_answer(model, step, ceiling)
            waiting = moved
        model.arrive()
        return [answers[index] for index in range(len(playable))]

    def _model_answer(self, model: ReturningLedger, step: Step, ceiling: int) -> tuple[str, int]:
        """Its code, and of a return the money due."""
        if step.kind == "return":
            operation = step.operation % len(self.posted[step.member])
            milli = None if step.whole else 500 * step.points
            return model.give_back(step.member, operation, step.partner, milli, step.order)
        return self._model_code(model, step, ceiling), 0

    def _model_code(self, model: ReturningLedger, step: Step, ceiling: int) -> str:
        limits = [*([step.limit] if step.limit else ()), *([ModelLimit(ceiling, "shared")] * step.is_shared)]
        match step.kind:
            case "earn":
                given = (step.prices, step.points, step.hours, step.life)
                return model.earn(step.member, step.partner, *given, limits, step.goods)
            case "open":
                return model.open(step.member, step.lots)
            case "burn" | "donate":
                goods = step.goods if step.kind == "burn" else ModelGoods()
                asked = (step.prices, step.points)
                return model.burn(step.member, step.partner, *asked, limits, goods, step.kind)
            case "grant":
                return model.grant(step.member, step.partner, step.prices, step.points, step.life)
            case "adjust":
                return model.adjust(step.member, step.partner, step.prices, step.points, step.life)
            case "authorize":
                asked = (step.prices, step.points)
                return model.authorize(step.member, step.partner, *asked, step.hours, step.goods)
            case "capture":
                hold = step.hold % len(self.holds[step.member])
                wanted = None if step.whole else step.points
                return model.capture(step.member, hold, step.partner, wanted, step.final)
            case "void":
                return model.void(step.member, step.hold % len(self.holds[step.member]), step.partner)
            case "transfer":
                return model.transfer(step.member, step.to, step.points)
            case "merge":
                return model.merge(step.member, max(step.member, step.to))
            case "freeze" | "unfreeze":
                return model.freeze(step.member, is_frozen=step.kind == "freeze")
            case "arm":
                return model.arm(step.member, model.now + step.hours, 24)
            case "novate":
                return model.novate(step.member, step.partner, SUCCESSOR, step.prices)
            case _:
                return model.reverse(
                    step.member, step.operation % len(self.posted[step.member]), step.partner
                )

    async def _drive(self) -> None:
        """Take what is under way to its end, and what that sets off, until nothing is."""
        while True:
            async with self.database.writer.connect() as connection:
                waiting = await open_transits(connection, after=-1, limit=1_000)
            if not waiting:
                return
            await drive(self.ledger.submit_many, waiting)

    async def _hand_over(self, leaver: int, round_: str) -> None:
        """In one round: what was under way has arrived before."""
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

    async def _flows(self) -> dict[tuple[str, int, int, int, int, int], ModelFlow]:
        cell = (
            *(flows.c.operation, flows.c.issuer, flows.c.obligor, flows.c.redeemer),
            *(flows.c.tariff, flows.c.terms),
        )
        query = select(*cell, func.sum(flows.c.points), func.sum(flows.c.count))
        query = query.where(flows.c.issuer // 10 == self.plays).group_by(*cell)
        async with self.database.writer.connect() as connection:
            rows = (await connection.execute(query)).all()
        return {
            (operation, issuer % 10, obligor % 10, redeemer % 10, tariff % 100, terms % 100): ModelFlow(
                int(points), int(count)
            )
            for operation, issuer, obligor, redeemer, tariff, terms, points, count in rows
        }


def _bought(step: Step, points: str, money_off: int = 0) -> dict[str, Any]:
    """The goods of a step as the engine has them; `points` names what the points did for them."""
    goods = step.goods
    given = {points: step.points, "money_off_micro": money_off}
    item = an_item(pieces=goods.milli // 1_000, price=goods.price, **given)
    return {"items": (item,), "receipt": a_receipt(str(goods.receipt)) if goods.receipt else None}


def _paid_with_points(step: Step) -> dict[str, Any]:
    return _bought(step, "points_burned", min(step.points, step.goods.price))


def _midnight_after(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _answer(outcome: Outcome) -> tuple[str, int]:
    """The code, and of a return the money due."""
    if outcome.refused is not None:
        return outcome.refused.code, 0
    return "OK", outcome.returned.money_micro if outcome.returned else 0
