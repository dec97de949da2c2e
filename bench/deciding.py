"""What a batch costs our process with no server behind it: reading rows, deciding, packing, hashing.

The processor time of one thread that waits for nobody, so it compares Pythons and versions of the
code where operations a second would need a quiet machine.
"""

from __future__ import annotations

import gc
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from time import process_time
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from bench.load import Load
from ledger import Burn, Command, batch, store
from ledger.binary import INFINITY, instant
from ledger.draft import Answer
from ledger.escrow import Pools
from ledger.fence import Calendar, Span
from ledger.foreseen import Foreseen, foresee
from ledger.kernel.wire import Flight, Row, Statement, Wire
from ledger.soonest import Appetite

SIZES: Final = (72, 290)
"""Operations a batch, as there are at 512 and at 2,048 in flight."""

BUCKETS: Final = 2
"""Home buckets of one lane of eight."""
ROUNDS: Final = 9
OPERATIONS: Final = 20_000
POINTS: Final = 5_000


class Canned:
    """Answers a flight at once, with the rows that a batch of `commands` would find."""

    is_lost = False

    def __init__(self, commands: Sequence[Command], at: datetime) -> None:
        self.prepared: set[bytes] = set()
        self.departed: Flight | None = None
        now, soon = instant(at), instant(at + timedelta(days=300))
        buckets = sorted({command.bucket for command in commands})
        plain = foresee(commands, at, arms_at_release=True)
        burning = sorted({command.member for command in commands if isinstance(command, Burn)})
        self._rows: dict[Statement, list[Row]] = {
            store.LOCK_HEADS: [(b, 10, 100, 1, now - 1, bytes(32), False, 0, now, now) for b in buckets],
            store.MOVE_WALLETS: [_moved(member, gain, soon) for member, gain in plain.items()],
            store.FIRST_LOTS: [(*_wallet(member, soon), *_lot(member, now, soon)) for member in burning],
        }

    def flight(self) -> Flight:
        """An empty flight."""
        return Flight(cast("Wire", self))

    def send(self, data: bytes, statements: Sequence[Statement]) -> None:
        """Nothing is sent."""

    async def exchange(self, _data: bytes, statements: Sequence[Statement]) -> list[list[Row]]:
        """The rows of each statement."""
        return [[*self._rows.get(statement, ())] for statement in statements]


def measure() -> dict[str, float]:
    """Microseconds of the processor an operation, the best of some rounds: by size of batch."""
    return {f"deciding_us_{size}": _per_operation(size) for size in SIZES}


def _per_operation(size: int) -> float:
    at = datetime.now(UTC)
    year = datetime(at.year, 1, 1, tzinfo=UTC)
    calendar = Calendar([Span(1, year, year.replace(year=at.year + 2))], ZoneInfo("Europe/Moscow"))
    load, commands = Load(seed=3), list[Command]()
    while len(commands) < size:
        command = load.any()
        if command.bucket < BUCKETS:
            commands.append(command)
    wire = cast("Wire", Canned(commands, at))
    this = at.date().replace(day=1)
    months = {this, (this + timedelta(days=32)).replace(day=1)}

    def post() -> list[Answer]:
        return _result(
            batch.run(
                wire,
                commands,
                calendar=calendar,
                calendar_is_fresh=False,
                months=months,
                now=lambda: at,
                clock_is_driven=False,
                is_careful=False,
                pools=cast("Pools", None),
                appetite=Appetite(),
            )
        )

    if any(getattr(answer, "refused", answer) is not None for answer in post()):
        raise RuntimeError("an operation of the load was refused")
    gc.collect()
    gc.disable()
    try:
        return min(_seconds(post, OPERATIONS // size) for _ in range(ROUNDS)) / size * 1e6
    finally:
        gc.enable()


def _seconds(post: Any, times: int) -> float:
    """Processor seconds of one batch."""
    started = process_time()
    for _ in range(times):
        post()
    return (process_time() - started) / times


def _result(batch_run: Coroutine[Any, Any, list[Answer]]) -> list[Answer]:
    """What a coroutine that never waits comes to."""
    try:
        batch_run.send(None)
    except StopIteration as ended:
        return cast("list[Answer]", ended.value)
    raise RuntimeError("a canned answer was waited for")


def _moved(member: int, gain: Foreseen, due_at: int) -> Row:
    return member, gain.pending, POINTS + gain.available, 0, min(due_at, gain.due_at)


def _wallet(member: int, due_at: int) -> Row:
    return member, 0, POINTS, 0, 0, due_at, False, 0, due_at, 0, bytes(6)


def _lot(member: int, at: int, expires_at: int) -> Row:
    lot = member >> 56 << 56 | 1
    return lot, 1, 1, 1, at, expires_at, POINTS, 0, POINTS, INFINITY, at, 0, bytes(6)
