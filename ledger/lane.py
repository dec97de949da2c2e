"""Lanes: a queue for a group of buckets, and the connections that drain them.

A free connection takes the lane whose oldest command has waited longest, drains up to a
limit, and posts that as one batch. So batches grow under load and shrink to one when idle,
and no bucket is ever written by two connections of one process at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from time import monotonic
from typing import Final

import structlog

from .allowances import Short
from .batch import CalendarOutrun, run
from .commands import Command
from .draft import Answer, Fault
from .escrow import Pools
from .fence import Calendar
from .kernel.database import is_server_lost
from .kernel.ids import BUCKETS, MEMBER_BUCKETS, TREASURY
from .kernel.refusals import Throttled
from .kernel.wire import ServerRefused, Wire
from .loading import Misjudged
from .soonest import Appetite

log = structlog.get_logger()

RETRY_SECONDS: Final = 0.5
"""How long a lane waits before it tries again, when the server was lost or a deadlock met."""


CAREFUL_BATCHES: Final = 64
"""How many batches of a lane look first, after one that met a repeat or the like: they come together."""

DEADLOCK: Final = "40P01"


class LedgerFault(Exception):
    """A command failed by our own mistake; nothing of it was posted."""


_UNANSWERED: Final = Fault(LedgerFault("given up before it was answered"))


class Ticket:
    """Where the answers to commands submitted together are gathered."""

    __slots__ = ("answers", "done", "left", "since")

    def __init__(self, size: int) -> None:
        self.since = monotonic()
        self.answers: list[Answer] = [_UNANSWERED] * size
        self.left = size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, index: int, answer: Answer) -> None:
        """Take one answer; the last one wakes whoever waits."""
        self.answers[index] = answer
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


Waiting = tuple[Command, Ticket, int]
"""A command in a queue, and where its answer goes."""


class Lane:
    """The commands that wait for one group of buckets."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: deque[Waiting] = deque()
        self.is_taken = False
        self.careful_batches = 0
        self.appetite = Appetite()


class Connection:
    """A wire that is opened when it is needed, and again when it was lost."""

    def __init__(self, open_wire: Callable[[], Awaitable[Wire]]) -> None:
        self._open_wire = open_wire
        self._wire: Wire | None = None

    async def wire(self) -> Wire:
        """The wire. Raises what opening one may raise."""
        if self._wire is None or self._wire.is_lost:
            self._wire = await self._open_wire()
        return self._wire

    def close(self) -> None:
        """End the session, if there is one."""
        if self._wire is not None:
            self._wire.close()


class Lanes:
    """All lanes of this process and the connections that drain them."""

    def __init__(
        self,
        open_wire: Callable[[], Awaitable[Wire]],
        *,
        pools: Pools,
        now: Callable[[], datetime],
        read_calendar: Callable[[], Awaitable[Calendar | None]],
        clock_is_driven: bool,
        lanes: int,
        connections: int,
        batch_limit: int,
        queue_limit: int,
    ) -> None:
        self._open_wire = open_wire
        self._pools = pools
        self._now = now
        self._read_calendar = read_calendar
        self._clock_is_driven = clock_is_driven
        self._lanes = [Lane(number) for number in range(lanes + 1)]
        self._lane_of = [bucket % lanes for bucket in range(MEMBER_BUCKETS)]
        self._lane_of += [lanes] * (BUCKETS - TREASURY)
        self._connections = connections
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._queued = 0
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._months: set[date] = set()
        self._sleeping: deque[asyncio.Future[None]] = deque()
        self._drainers: list[asyncio.Task[None]] = []
        self._is_open = False
        self.calendar: Calendar | None = None

    def start(self) -> None:
        """Begin to drain."""
        self._is_open = True
        self._drainers = [asyncio.create_task(self._drain()) for _ in range(self._connections)]

    async def stop(self, *, seconds: float) -> None:
        """Accept nothing more, answer everything accepted, then return.

        What takes longer than `seconds`, with a server that is away, is answered by a fault: whether it
        was posted its key tells whoever repeats it.
        """
        self._is_open = False
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            log.error("lane.given_up", commands=self._unanswered)
        for drainer in self._drainers:
            drainer.cancel()
        await asyncio.gather(*self._drainers, return_exceptions=True)
        self._drainers = []
        for lane in self._lanes:
            left = self._take(lane, len(lane.queue))
            self._answer(left, [_UNANSWERED] * len(left))

    async def submit(self, commands: Sequence[Command]) -> list[Answer]:
        """The answers to `commands`, in order. Order is kept within a bucket.

        Raises `Throttled` when the queue has no room for all of them: nothing was taken then.
        """
        if not commands:
            return []
        ticket = self.accept(commands)
        await ticket.done
        return ticket.answers

    def accept(self, commands: Sequence[Command]) -> Ticket:
        """Queue `commands` (at least one) and tell where their answers will be. Raises as `submit`."""
        if not self._is_open:
            raise Throttled("shutting down")
        if self._queued + len(commands) > self._queue_limit:
            raise Throttled("too many operations at once")
        ticket = Ticket(len(commands))
        self._queued += len(commands)
        self._unanswered += len(commands)
        self._idle.clear()
        for index, command in enumerate(commands):
            lane = self._lanes[self._lane_of[command.bucket]]
            lane.queue.append((command, ticket, index))
            if not lane.is_taken and self._sleeping:
                self._wake_one()
        return ticket

    def _wake_one(self) -> None:
        """Let a connection that has nothing to do look for work. A busy one looks by itself."""
        while self._sleeping:
            sleeper = self._sleeping.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return

    async def _drain(self) -> None:
        connection = Connection(self._open_wire)
        try:
            while True:
                lane = self._longest_waiting()
                if lane is None:
                    await self._sleep()
                    continue
                lane.is_taken = True
                try:
                    await self._post(lane, connection)
                finally:
                    lane.is_taken = False
        finally:
            connection.close()

    async def _sleep(self) -> None:
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append(sleeper)
        await sleeper

    def _longest_waiting(self) -> Lane | None:
        waiting = [lane for lane in self._lanes if lane.queue and not lane.is_taken]
        return min(waiting, key=lambda lane: lane.queue[0][1].since, default=None)

    async def _post(self, lane: Lane, connection: Connection) -> None:
        """Post one batch of `lane` and answer it, whatever happens."""
        taken = self._take(lane, self._batch_limit)
        answers: Sequence[Answer] = [_UNANSWERED] * len(taken)
        try:
            answers = await self._answers(connection, lane, [command for command, _, _ in taken])
        finally:
            self._answer(taken, answers)

    def _take(self, lane: Lane, most: int) -> list[Waiting]:
        taken = [lane.queue.popleft() for _ in range(min(len(lane.queue), most))]
        self._queued -= len(taken)
        return taken

    def _answer(self, taken: Sequence[Waiting], answers: Sequence[Answer]) -> None:
        for (_, ticket, index), answer in zip(taken, answers, strict=True):
            ticket.answer(index, answer)
        self._unanswered -= len(taken)
        if not self._unanswered:
            self._idle.set()

    async def _answers(
        self, connection: Connection, lane: Lane, commands: Sequence[Command]
    ) -> Sequence[Answer]:
        calendar_is_fresh = has_outrun = False
        short: Short | None = None
        while True:
            try:
                if has_outrun:
                    # Another process may have extended it; if nobody has, the last period goes on.
                    self.calendar = await self._read_calendar()
                    calendar_is_fresh, has_outrun = True, False
                if short is not None:
                    is_enough = await self._pools.call_back(short.needs, is_alone=len(commands) == 1)
                    short = None
                    if not is_enough:
                        # In a batch each bucket draws for its own; what is left does for some of them.
                        half = len(commands) // 2
                        parts = commands[:half], commands[half:]
                        return [
                            answer for part in parts for answer in await self._answers(connection, lane, part)
                        ]
                return await self._run(connection, lane, commands, calendar_is_fresh=calendar_is_fresh)
            except Misjudged:
                lane.careful_batches = CAREFUL_BATCHES
            except Short as needed:
                short = needed
            except CalendarOutrun:
                has_outrun = True
            except Exception as error:  # noqa: BLE001 - whoever waits must get an answer, whatever it was
                if isinstance(error, ServerRefused) and error.code == DEADLOCK:
                    # All lanes lock in one order, so it takes somebody else to meet them: say so.
                    log.warning("lane.deadlock", commands=len(commands))
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if is_server_lost(error):
                    # Whether it was committed is not known: the keys tell when it is posted again.
                    log.warning("lane.server_lost", error=type(error).__name__, commands=len(commands))
                    lane.careful_batches = CAREFUL_BATCHES
                    connection.close()  # it may still be there, to a server that is a standby now
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if len(commands) == 1:
                    return [Fault(error)]
                # One of them cannot be written: alone, the others can.
                return [(await self._answers(connection, lane, [command]))[0] for command in commands]

    async def _run(
        self, connection: Connection, lane: Lane, commands: Sequence[Command], *, calendar_is_fresh: bool
    ) -> Sequence[Answer]:
        if self.calendar is None:
            self.calendar = await self._read_calendar()
        if self.calendar is None:
            raise LedgerFault("there is no programme yet")
        is_careful = lane.careful_batches > 0
        lane.careful_batches -= is_careful
        return await run(
            await connection.wire(),
            commands,
            calendar=self.calendar,
            calendar_is_fresh=calendar_is_fresh,
            months=self._months,
            now=self._now,
            clock_is_driven=self._clock_is_driven,
            is_careful=is_careful,
            pools=self._pools,
            appetite=lane.appetite,
        )
