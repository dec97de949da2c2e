"""What the replay knows of each member's points: added up from stored outcomes, never asked live.

A replay that is run again gets the same outcomes, so it knows the same and decides the same.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import numpy as np
from numpy.typing import NDArray


class Purses:
    """Points by household: what may be spent, and who issued what has become available so far."""

    def __init__(self, *, households: int, partners: int) -> None:
        self.available: NDArray[np.int64] = np.zeros(households, dtype=np.int64)
        self._issued: NDArray[np.int64] = np.zeros((households, partners), dtype=np.int64)
        self._waiting: defaultdict[datetime, list[tuple[int, int, int]]] = defaultdict(list)

    def earn(self, household: int, partner: int, points: int, *, available_at: datetime) -> None:
        """Note points that wait until `available_at`."""
        if points:
            self._waiting[available_at].append((household, partner, points))

    def burn(self, household: int, points: int) -> None:
        """Note points that were spent."""
        self.available[household] -= points

    def release(self, at: datetime) -> None:
        """Let what is due by `at` become available."""
        for due_at in [due_at for due_at in self._waiting if due_at <= at]:
            for household, partner, points in self._waiting.pop(due_at):
                self.available[household] += points
                self._issued[household, partner] += points

    def main_issuer(self, household: int) -> int:
        """The partner that gave this household most, the first of equals."""
        return int(self._issued[household].argmax())
