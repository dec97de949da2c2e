"""Counters: named numbers in a window of time, owned by a wallet, or shared by all and held in escrow.

The names mean nothing here. A ceiling refuses the command that would pass it, naming the
counter; a threshold that was crossed stands in the outcome. Counts never go down within their
window: what is given back later was counted all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from struct import Struct
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from .allowances import Allowance
from .commands import Counter
from .kernel.refusals import InvalidInput
from .outcomes import Counted
from .refusals import LimitExceeded
from .windows import ONCE, cell_of, oldest_of

Key = tuple[str, str]
"""A counter's name and its window."""

MOST: Final = 2**63 - 1
"""What a counter can hold; it is the ceiling of one that has none."""

MAX_COUNTERS: Final = 32
MAX_NAME: Final = 100
_MAX_INCREMENT: Final = 2**53

_CELL: Final = Struct(">qq")


class Count(msgspec.Struct, gc=False):
    """What one counter of a wallet holds: amounts (> 0) by cell, those of cells that are past left out."""

    cells: dict[int, int] = {}

    def present(self, cell: int) -> int:
        """The cell to count in: `cell`, unless a clock that was set back would make it go back."""
        return max(cell, max(self.cells, default=cell))

    def total(self, oldest: int) -> int:
        """What counts from the cell `oldest` on."""
        return sum(amount for cell, amount in self.cells.items() if cell >= oldest)

    def add(self, cell: int, oldest: int, increment: int) -> None:
        """Count `increment` in `cell`, and forget what is older than `oldest`."""
        self.cells = {known: amount for known, amount in self.cells.items() if known >= oldest}
        self.cells[cell] = self.cells.get(cell, 0) + increment


def count(
    counters: Sequence[Counter],
    counts: Mapping[Key, Count],
    escrow: Mapping[tuple[int, str, str], Allowance],
    *,
    bucket: int,
    at: datetime,
    zone: ZoneInfo,
) -> tuple[Counted, ...]:
    """What `counters` come to at `at`. Pure: the counts and the escrow stay as they are.

    Raises `LimitExceeded` for the first ceiling that would be passed, and `InvalidInput` for
    counters that make no sense.
    """
    _check(counters, at, zone)
    counted: list[Counted] = []
    for counter in counters:
        if not counter.increment:
            continue
        if counter.is_shared:
            counted.append(_drawn(counter, escrow.get((bucket, counter.name, counter.window))))
            continue
        ceiling = MOST if counter.ceiling is None else counter.ceiling
        own = counts.get((counter.name, counter.window), _NOTHING)
        cell = own.present(cell_of(counter.window, at, zone))
        before = 0 if counter.window == ONCE else own.total(oldest_of(counter.window, cell))
        after = before + counter.increment
        if after > ceiling:
            raise LimitExceeded(counter.name, ceiling=ceiling)
        crossed = tuple(mark for mark in counter.thresholds if before < mark <= after)
        counted.append(
            Counted(
                name=counter.name,
                window=counter.window,
                cell=cell,
                increment=counter.increment,
                total=after,
                crossed=crossed,
            )
        )
    return tuple(counted)


def make_sense(counters: Sequence[Counter], at: datetime, zone: ZoneInfo) -> bool:
    """Whether `count` takes them, however much is left. What it refuses unseen needs no escrow."""
    try:
        _check(counters, at, zone)
    except InvalidInput:
        return False
    return True


def note(counts: dict[Key, Count], counted: Counted) -> None:
    """Bring a wallet's counts to what was counted. What is shared or for once is not kept there."""
    if counted.is_shared or counted.window == ONCE:
        return
    own = counts.setdefault((counted.name, counted.window), Count())
    own.add(counted.cell, oldest_of(counted.window, counted.cell), counted.increment)


def pack(own: Count) -> bytes:
    """A count as it is stored: its cells in order, each with its amount."""
    return b"".join(_CELL.pack(cell, amount) for cell, amount in sorted(own.cells.items()))


def unpack(stored: bytes) -> Count:
    """A stored count; a fresh value each time."""
    return Count(dict(_CELL.iter_unpack(stored)))


_NOTHING: Final = Count()


def _drawn(counter: Counter, allowance: Allowance | None) -> Counted:
    """A shared counter draws on what its bucket was granted."""
    ceiling = MOST if counter.ceiling is None else counter.ceiling
    if allowance is None or counter.increment > allowance.left:
        raise LimitExceeded(counter.name, ceiling=ceiling)
    return Counted(
        name=counter.name,
        window=counter.window,
        cell=allowance.cell,
        increment=counter.increment,
        total=allowance.used + counter.increment,
        is_shared=True,
    )


def _check(counters: Sequence[Counter], at: datetime, zone: ZoneInfo) -> None:
    if len(counters) > MAX_COUNTERS:
        raise InvalidInput(f"a command carries {MAX_COUNTERS} counters at most", field=("counters",))
    if len({(counter.name, counter.window) for counter in counters}) < len(counters):
        raise InvalidInput("a counter is named twice", field=("counters",))
    for counter in counters:
        if not 0 < len(counter.name) <= MAX_NAME:
            raise InvalidInput(f"a name has 1 to {MAX_NAME} characters", field=("counters", "name"))
        if not 0 <= counter.increment <= _MAX_INCREMENT:
            raise InvalidInput("an increment is not below zero", field=("counters", "increment"))
        cell_of(counter.window, at, zone)
        if counter.ceiling is None:
            if counter.is_shared:
                raise InvalidInput("what is shared has a ceiling", field=("counters", "ceiling"))
        elif not 0 <= counter.ceiling <= MOST:
            raise InvalidInput("a ceiling is not below zero", field=("counters", "ceiling"))
