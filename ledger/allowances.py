"""Allowances: a ceiling that all members share, cut into escrows that buckets spend without meeting.

A bucket spends its own escrow under the lock of its head, like everything it does. How escrows
are filled, `ledger.escrow` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from .commands import Command
from .windows import cell_of

Place = tuple[int, str, str]
"""Bucket, name and window of an escrow."""


class Allowance(msgspec.Struct, gc=False):
    """A bucket's escrow for one cell of a window: `used` ≤ `granted`, and granted under `ceiling`."""

    cell: int
    ceiling: int
    granted: int
    used: int

    @property
    def left(self) -> int:
        """What the bucket may still spend."""
        return self.granted - self.used


class Need(NamedTuple):
    """What a batch wants to spend in one bucket: all its commands together, and the `least` of them."""

    bucket: int
    name: str
    window: str
    cell: int
    ceiling: int
    points: int
    least: int

    @property
    def place(self) -> Place:
        """Whose escrow it is."""
        return self.bucket, self.name, self.window


class Short(Exception):
    """Escrows do not hold what a batch needs: nothing was decided, nothing written."""

    def __init__(self, needs: Sequence[Need]) -> None:
        super().__init__(f"{len(needs)} escrows are short")
        self.needs = needs


def needs_of(commands: Iterable[Command], at: Mapping[int, datetime], zone: ZoneInfo) -> dict[Place, Need]:
    """What `commands` would spend of shared counters, by escrow; `at` is the time of each bucket."""
    needs: dict[Place, Need] = {}
    for command in commands:
        for counter in command.counters:
            if not counter.is_shared or counter.increment <= 0 or counter.ceiling is None:
                continue
            bucket = command.bucket
            place = (bucket, counter.name, counter.window)
            before = needs.get(place)
            needs[place] = Need(
                *place,
                cell_of(counter.window, at[bucket], zone),
                min(counter.ceiling, before.ceiling) if before else counter.ceiling,
                counter.increment + (before.points if before else 0),
                min(counter.increment, before.least) if before else counter.increment,
            )
    return needs
