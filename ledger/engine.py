"""The ledger as the other rooms see it: submit commands, ask for balances and operations."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog
from sqlalchemy import select, text, update

from . import asof, fence, records
from .commands import Command, PassFence, Refused, Settle, Transfer
from .decide import kind_of
from .draft import Fault, Moved
from .driving import drive, drive_all
from .escrow import Pools
from .kernel.clock import Clock, DrivenClock
from .kernel.database import Database, is_server_lost
from .kernel.ids import BUCKETS
from .kernel.tables import clock as clock_table
from .lane import RETRY_SECONDS, Lanes, LedgerFault
from .outcomes import Balance, Outcome
from .records import MOST_SURVIVORS, Recorded
from .refusals import Faulted, HoldNotFound
from .transit_store import transit
from .transits import Transit

log = structlog.get_logger()

SWEEP_SIZE: Final = 2_000
MOST_TURNS: Final = 100
"""How often something may fall due at one instant that the clock is driven through."""

_ADVANCING: Final = 0x6B6F7069
"""The advisory lock of whoever drives the clock."""


_ENDLESS: Final = "a member's survivors have no end"


class Ledger:
    """The one door to the ledger of one process. Other processes have their own; PostgreSQL joins them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        lanes: int = 8,
        connections: int = 4,
        batch_limit: int = 512,
        queue_limit: int = 16_384,
        drain_seconds: float = 20,
    ) -> None:
        self.clock = clock
        self._database = database
        self._drain_seconds = drain_seconds
        # Questions of one statement, or of some that need no common snapshot: no BEGIN, no ROLLBACK.
        self._reading = database.writer.execution_options(isolation_level="AUTOCOMMIT")
        self._advancing = asyncio.Lock()
        self._lanes = Lanes(
            database.open_wire,
            pools=Pools(database.lanes),
            now=clock.now,
            read_calendar=self._read_calendar,
            clock_is_driven=clock.is_driven,
            lanes=lanes,
            connections=connections,
            batch_limit=batch_limit,
            queue_limit=queue_limit,
        )

    async def start(self) -> None:
        """Begin to accept commands."""
        await self.reload_calendar()
        self._lanes.start()

    async def drain(self) -> None:
        """Accept nothing more, answer what was accepted, then return; it takes `drain_seconds` at most."""
        await self._lanes.stop(seconds=self._drain_seconds)

    async def reload_calendar(self) -> None:
        """Read the periods again, after the programme was created or its calendar extended."""
        self._lanes.calendar = await self._read_calendar()

    async def _read_calendar(self) -> fence.Calendar | None:
        async with self._database.lanes.connect() as connection:
            return await fence.load_calendar(connection)

    async def submit(self, command: Command) -> Outcome:
        """Post one command and give its outcome; a refusal is an outcome.

        Raises `Throttled` when too much is waiting, `LedgerFault` on a mistake of our own.
        """
        if not 0 <= command.bucket < BUCKETS:
            return self._stray(command)
        for _ in range(MOST_SURVIVORS):
            ticket = self._lanes.accept((command,))
            await ticket.done
            answer = ticket.answers[0]
            if isinstance(answer, Outcome):
                return answer
            if isinstance(answer, Fault):
                raise LedgerFault("a command could not be posted") from answer.error
            command = msgspec.structs.replace(command, member=answer.survivor)
        raise LedgerFault(_ENDLESS)

    async def submit_many(self, commands: Sequence[Command]) -> list[Outcome]:
        """Post commands and give their outcomes in order; order is kept for each member.

        A mistake of our own is the outcome `FAULT` of the command that met it, and of no other.
        Raises `Throttled` when too much is waiting: nothing was posted then.
        """
        known = [command for command in commands if 0 <= command.bucket < BUCKETS]
        answers = iter(await self._answers(known))
        return [
            self._outcome(command, next(answers)) if 0 <= command.bucket < BUCKETS else self._stray(command)
            for command in commands
        ]

    async def _answers(self, commands: Sequence[Command]) -> list[Outcome | Fault]:
        """Answers in order; a command for a merged member is the survivor's, once the rest is answered."""
        answers = list(await self._lanes.submit(commands))
        for _ in range(MOST_SURVIVORS):
            moved = {index: each for index, each in enumerate(answers) if isinstance(each, Moved)}
            if not moved:
                break
            again = await self._lanes.submit(
                [
                    msgspec.structs.replace(commands[index], member=each.survivor)
                    for index, each in moved.items()
                ]
            )
            for index, answer in zip(moved, again, strict=True):
                answers[index] = answer
        return [Fault(LedgerFault(_ENDLESS)) if isinstance(answer, Moved) else answer for answer in answers]

    def _outcome(self, command: Command, answer: Outcome | Fault) -> Outcome:
        if isinstance(answer, Outcome):
            return answer
        reference = secrets.token_hex(8)
        log.error("ledger.fault", reference=reference, kind=kind_of(command), exc_info=answer.error)
        return self._unposted(command, Refused.of(Faulted(reference)))

    def _stray(self, command: Command) -> Outcome:
        """No bucket has such a number, so what the command names does not exist."""
        return self._unposted(command, Refused.of(HoldNotFound()))

    def _unposted(self, command: Command, refused: Refused) -> Outcome:
        return Outcome(
            operation=0,
            kind=kind_of(command),
            recorded_at=self.clock.now(),
            balance=Balance(),
            refused=refused,
        )

    async def transfer(self, command: Transfer) -> tuple[Outcome, Transit | None]:
        """Send points to another member: the first leg's outcome, and how far the points have come.

        Usually they have arrived, or are back because they were refused. While the recipient's
        bucket cannot be written they are on their way, and the worker drives them. The transit
        is None when the first leg itself was refused.
        """
        outcome = await self.submit(command)
        return outcome, None if outcome.refused else await self.drive(outcome.operation)

    async def drive(self, transfer: int) -> Transit | None:
        """Take one transit as far as it can get, and tell how far that is; None if there is none such.

        A server that is lost is waited for, as by the lanes: each leg is posted once all the same.
        """
        while True:
            try:
                return await self._drive(transfer)
            except Exception as error:
                if not is_server_lost(error):
                    raise
                log.warning("ledger.server_lost", error=type(error).__name__, transit=transfer)
                await asyncio.sleep(RETRY_SECONDS)

    async def _drive(self, transfer: int) -> Transit | None:
        async with self._reading.connect() as connection:
            found = await transit(connection, transfer)
        if found is None or found.state != "open":
            return found
        await drive(self.submit_many, [found])
        async with self._reading.connect() as connection:
            return await transit(connection, transfer)

    async def drive_all(self) -> int:
        """Take every open transit as far as it can get; the number that came to their end."""
        return await drive_all(self._database, self.submit_many)

    async def balance(self, member: int) -> Balance:
        """The member's balances now, everything due applied; zeroes for one who never did anything.

        Those of a merged member are the survivor's, whose holds the merged ones' are too.
        """
        async with self._reading.connect() as connection:
            found = await records.balances(connection, member)
        return await self._settled(found)

    async def _settled(self, found: Sequence[records.Standing]) -> Balance:
        """What wallets come to when what is due on them has been applied.

        With no connection in hand: the lanes may need one before they answer.
        """
        now, total = self.clock.now(), Balance()
        for each, balance, due_at in found:
            is_due = due_at is not None and due_at <= now
            total += (await self.submit(Settle.of(each, now))).balance if is_due else balance
        return total

    async def balance_as_of(self, member: int, at: datetime, clock: asof.Clock) -> Balance:
        """The member's balances after everything up to `at`, by either clock; what was due is written first.

        Of members that were merged they are those of all of them together, whenever `at` is.
        Raises `InvalidInput` for an instant that lies ahead.
        """
        asof.check_past(at, self.clock.now())
        total = Balance()
        async with self._reading.connect() as connection:
            found = await records.balances(connection, member)
        if clock is asof.Clock.EFFECTIVE:
            await self._settled(found)
        async with self._reading.connect() as connection:
            for each, _, _ in found:
                total += await asof.balance_as_of(connection, each, at, clock)
        return total

    async def operation(self, id_: int) -> Recorded | None:
        """The stored operation with this id."""
        async with self._reading.connect() as connection:
            return await records.operation(connection, id_)

    async def operations(self, ids: Collection[int]) -> dict[int, Recorded]:
        """The stored operations among these ids."""
        async with self._reading.connect() as connection:
            return await records.operations_named(connection, ids)

    async def operations_by_key(self, principal: str, key: str) -> list[Recorded]:
        """What a principal posted under a key of its own, oldest first."""
        async with self._reading.connect() as connection:
            return await records.operations_by_key(connection, principal, key)

    async def operations_of_receipts(self, receipts: Iterable[tuple[int, int, str, str]]) -> list[Recorded]:
        """What was posted for receipts (partner, outlet, terminal, number): earns, burns, holds."""
        async with self._reading.connect() as connection:
            return await records.operations_of_receipts(connection, receipts)

    async def history(self, member: int, *, before: int | None = None, limit: int = 50) -> list[Recorded]:
        """A member's operations, newest first, older than the operation `before`."""
        async with self._reading.connect() as connection:
            return await records.history(connection, member, before=before, limit=limit)

    async def sweep(self, at: datetime) -> int:
        """Apply what is due at `at` on wallets that nobody touched; the number of wallets visited.

        Raises `LedgerFault` when nothing but wallets is left whose settling is a fault.
        """
        visited, before = 0, set[int]()
        while True:
            async with self._reading.connect() as connection:
                members = await records.due_members(connection, at, SWEEP_SIZE)
            if not members:
                return visited
            if before == {*members}:
                # Each was a fault, said and referenced. Others are not kept from what is due to them.
                raise LedgerFault(f"{len(members)} wallets cannot be settled, the first is {members[0]}")
            await self.submit_many([Settle.of(member, at) for member in members])
            before = {*members}
            visited += len(members)

    async def pass_fences(self, period: int) -> None:
        """Take every idle bucket past the end of `period`, which must be over."""
        async with self._reading.connect() as connection:
            lagging = await records.lagging_buckets(connection, period)
        if lagging:
            await self.submit_many([PassFence.of(bucket, self.clock.now()) for bucket in lagging])

    async def advance(self, to: datetime) -> datetime:
        """Drive the clock to `to` and return the present instant, which is `to` or already later.

        On the way everything that falls due happens in the order of its instant: releases,
        lapses, expiries and the ends of periods. Only an installation with a driven clock has this.
        Raises `LedgerFault` when something that is due cannot be done, so that it would never end.
        """
        clock = self.clock
        if not isinstance(clock, DrivenClock):
            raise TypeError("this installation follows the wall clock")
        async with self._advancing, self._database.writer.connect() as holder:
            await holder.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _ADVANCING})
            try:
                turns: Counter[datetime] = Counter()
                while (instant := await self._next_instant(to)) is not None:
                    turns[instant] += 1
                    if turns[instant] > MOST_TURNS:
                        raise LedgerFault(f"nothing gets past {instant.isoformat()}")
                    await self._set_clock(clock, instant)
                    await self.sweep(instant)
                    await self.drive_all()
                    await self._pass_ended(instant)
                await self._set_clock(clock, to)
            finally:
                await holder.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _ADVANCING})
        return clock.now()

    async def _next_instant(self, to: datetime) -> datetime | None:
        """The earliest instant not after `to` at which something happens by itself."""
        async with self._reading.connect() as connection:
            due_at = await records.soonest_due(connection)
            calendar = self._lanes.calendar
            lagging = await records.earliest_writable(connection)
        span = calendar.span(lagging) if calendar is not None and lagging is not None else None
        instants = [at for at in (due_at, span.ends_at if span else None) if at is not None and at <= to]
        return min(instants, default=None)

    async def _pass_ended(self, at: datetime) -> None:
        calendar = self._lanes.calendar
        if calendar is None:
            return
        ended = [span.period for span in calendar.spans if span.ends_at <= at]
        if ended:
            await self.pass_fences(ended[-1])

    async def _set_clock(self, clock: DrivenClock, at: datetime) -> None:
        """Move the clock to `at` unless it is past that, and take over where it stands."""
        async with self._database.writer.begin() as connection:
            await connection.execute(update(clock_table).where(clock_table.c.now < at).values(now=at))
            clock.see((await connection.execute(select(clock_table.c.now))).scalar_one())
