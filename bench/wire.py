"""What goes over the lanes' connections: statements, round trips, and how long each was waited for."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final
from unittest.mock import patch

import asyncpg

_CALLS: Final = {
    "prepare": (1, "query"),
    "bind_execute": (1, "state"),
    "bind_execute_many": (1, "state"),
    "query": (1, "query"),
    "copy_in": (2, "copy_stmt"),  # the server first says that it is ready for the rows
}
"""Calls of asyncpg's protocol that wait for the server: how many times, and what names the statement."""


class Heard:
    """Counts since the last `clear`. A batch is a transaction that was committed."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything so far."""
        self.batches = 0
        self.round_trips = 0
        self.times: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @property
    def statements(self) -> int:
        """Statements sent, BEGIN and COMMIT included."""
        return self.times.total()

    def note(self, call: str, statement: str, seconds: float) -> None:
        """Take down one call that has been answered."""
        self.round_trips += _CALLS[call][0]
        self.times[statement] += call != "prepare"
        self.seconds[statement] += seconds
        self.batches += statement == "COMMIT"


class _Counting:
    """asyncpg's protocol, with its calls noted on the way."""

    def __init__(self, protocol: Any, heard: Heard) -> None:
        self._protocol = protocol
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._protocol, name)
        if name not in _CALLS:
            return found
        given_as = _CALLS[name][1]

        async def noted(*args: Any, **named: Any) -> Any:
            started = perf_counter()
            try:
                return await found(*args, **named)
            finally:
                said = named.get(given_as) or args[name == "prepare"]
                self._heard.note(name, label(getattr(said, "query", said)), perf_counter() - started)

        return noted


@contextmanager
def listening() -> Iterator[Heard]:
    """Count what every connection sends that is opened meanwhile."""
    heard = Heard()
    opened = asyncpg.Connection.__init__

    def wrapped(connection: Any, protocol: Any, *rest: Any, **named: Any) -> None:
        counting: Any = _Counting(protocol, heard)
        opened(connection, counting, *rest, **named)

    with patch.object(asyncpg.Connection, "__init__", wrapped):
        yield heard


def label(statement: str) -> str:
    """A statement in a word or two: what it does, and to which tables."""
    text = statement.strip().rstrip(";")
    verb = text.split(None, 1)[0].upper()
    names = re.findall(r"(?:\b(?:FROM|JOIN|UPDATE|INTO)|^COPY)\s+(?!unnest|new_|moved_)\"?([a-z_]+)", text)
    return " ".join([verb, ", ".join(dict.fromkeys(names))]).strip()
