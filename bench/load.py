"""The mixed load on the ledger: 80 % earn, 20 % burn, everything on, straight through `submit`."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter, process_time
from typing import Final, Protocol

from ledger import Balance, Burn, Command, Earn, Item, Ledger, Outcome, ReceiptKey
from ledger.kernel.ids import member_id

MEMBERS: Final = 100_000
PARTNERS: Final = 50
BURN_SHARE: Final = 0.2
OPENING_POINTS: Final = 10_000
RECEIPT_BYTES: Final = 300
LOT_DAYS: Final = 365


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a load came to."""

    operations: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int

    @property
    def per_second(self) -> float:
        """Operations answered per second."""
        return self.operations / self.seconds


class Load:
    """Makes commands that never repeat, the same for the same seed. Loads of one ledger differ in name."""

    def __init__(self, seed: int | str, *, name: str = "", members: int = MEMBERS) -> None:
        self._random = random.Random(seed)
        self._name = name
        self._members = members
        self._number = 0
        self._expires_at = datetime.now(UTC) + timedelta(days=LOT_DAYS)
        self._receipt = os.urandom(RECEIPT_BYTES)

    def openings(self) -> Iterator[Earn]:
        """One earn for every member, so that every burn has something to burn."""
        for number in range(self._members):
            yield self._earn(member_id(1 + number), 1 + number % PARTNERS, OPENING_POINTS)

    def mixed(self, count: int, *, partners: int = PARTNERS) -> list[Command]:
        """`count` commands of random members at so many partners, picked at random."""
        return [self.any(partners) for _ in range(count)]

    def any(self, partners: int = PARTNERS) -> Command:
        """One more command."""
        member = member_id(1 + self._random.randrange(self._members))
        partner = 1 + self._random.randrange(partners)
        if self._random.random() < BURN_SHARE:
            return self._burn(member, partner, 1 + self._random.randrange(50))
        return self._earn(member, partner, 1 + self._random.randrange(100))

    def _earn(self, member: int, partner: int, points: int) -> Earn:
        self._number += 1
        return Earn(
            principal=f"partner:{partner}",
            key=f"{self._name}earn-{self._number}",
            digest=bytes(32),
            member=member,
            occurred_at=datetime.now(UTC),
            partner=partner,
            outlet=partner,
            terms=partner,
            detail=self._receipt,
            points=points,
            obligor=partner,
            tariff=partner,
            expires_at=self._expires_at,
            receipt=ReceiptKey(outlet=partner, terminal="till 1", number=f"{self._name}{self._number}"),
            items=(
                Item(line=1, quantity_milli=1000, money_micro=100_000_000, points_earned=points // 2),
                Item(line=2, quantity_milli=2500, money_micro=80_000_000, points_earned=points - points // 2),
            ),
        )

    def _burn(self, member: int, partner: int, points: int) -> Burn:
        self._number += 1
        return Burn(
            principal=f"partner:{partner}",
            key=f"{self._name}burn-{self._number}",
            digest=bytes(32),
            member=member,
            occurred_at=datetime.now(UTC),
            partner=partner,
            outlet=partner,
            terms=partner,
            detail=self._receipt,
            points=points,
            token=os.urandom(16),
            receipt=ReceiptKey(outlet=partner, terminal="till 1", number=f"{self._name}{self._number}"),
        )


class Ledgerlike(Protocol):
    """Whatever takes a command and answers it."""

    async def submit(self, command: Command, /) -> Outcome:
        """The answer to one command."""
        ...


class _Nobody:
    """Answers at once, after the caller has waited for a turn of the loop."""

    def __init__(self) -> None:
        self._outcome = Outcome(operation=0, kind="", recorded_at=datetime.now(UTC), balance=Balance())

    async def submit(self, _command: Command) -> Outcome:
        await asyncio.sleep(0)
        return self._outcome


async def fill(
    ledger: Ledger, commands: Iterable[Command], *, at_once: int = 2_048, callers: int = 8
) -> None:
    """Post `commands` in full batches, from several callers. Raises at the first that was not accepted."""
    waiting = iter(commands)

    async def caller() -> None:
        while part := list(itertools.islice(waiting, at_once)):
            for outcome in await ledger.submit_many(part):
                if outcome.refused is not None:
                    raise RuntimeError(f"an operation of the load was refused: {outcome.refused}")

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())


async def callers_alone(commands: Sequence[Command], in_flight: int) -> float:
    """Processor seconds that the load itself takes: the same callers, answered by nobody."""
    started = process_time()
    await run(_Nobody(), commands, in_flight)
    return process_time() - started


async def run(ledger: Ledgerlike, commands: Sequence[Command], in_flight: int) -> Measured:
    """Submit `commands` with `in_flight` callers, each waiting for its answer before the next."""
    waiting = iter(commands)
    latencies: list[float] = []
    refused = 0

    async def caller() -> None:
        nonlocal refused
        for command in waiting:
            started = perf_counter()
            outcome = await ledger.submit(command)
            latencies.append(perf_counter() - started)
            refused += outcome.refused is not None

    started = perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    seconds = perf_counter() - started
    latencies.sort()
    return Measured(
        operations=len(commands),
        seconds=seconds,
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[int(len(latencies) * 0.99)],
        refused=refused,
    )
