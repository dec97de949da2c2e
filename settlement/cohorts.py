"""Cohorts: an obligor's outstanding points by the period in which they were issued."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .cells import Cell


class Cohorts:
    """Points of one obligor by issue period, as lots would leave them: the oldest go first.

    A claw-back takes the newest, since purchases are returned soon. A period that gives back
    more than it takes puts the points where the last ones taken came from.
    """

    def __init__(self) -> None:
        self._points: Counter[int] = Counter()
        self._taken: list[tuple[int, int]] = []

    def apply(self, period: int, cells: Iterable[Cell]) -> None:
        """Go through one period's cells of the obligor, novations excepted."""
        clawed_back = taken = 0
        for cell in cells:
            match cell.operation:
                case "release":
                    self._points[period] += cell.points
                case "claw_back":
                    clawed_back += cell.points
                case _:
                    taken -= cell.outstanding
        self._give_back(period, -taken)
        self._take_oldest(taken)
        self._take_newest(clawed_back)

    def hand_over(self, successor: Cohorts) -> None:
        """Give every point to another obligor, in the period it was issued in."""
        successor._points.update(self._points)
        successor._taken.extend(self._taken)
        self._points.clear()
        self._taken.clear()

    def left(self) -> dict[int, int]:
        """Points > 0 by issue period, oldest first."""
        return {period: points for period, points in sorted(self._points.items()) if points}

    def _take_oldest(self, points: int) -> None:
        for period in sorted(self._points):
            part = min(points, self._points[period])
            if part > 0:
                self._points[period] -= part
                self._taken.append((period, part))
                points -= part

    def _take_newest(self, points: int) -> None:
        for period in sorted(self._points, reverse=True):
            part = min(points, self._points[period])
            self._points[period] -= part
            points -= part

    def _give_back(self, period: int, points: int) -> None:
        while points > 0:
            origin, taken = self._taken.pop() if self._taken else (period, points)
            part = min(points, taken)
            self._points[origin] += part
            points -= part
            if part < taken:
                self._taken.append((origin, taken - part))
