"""What goes over the lanes' connections: flights, statements, and how long each flight was waited for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Final
from unittest.mock import patch

from ledger.kernel.wire import Row, Statement, Wire

_COMMIT: Final = b"commit"


class Heard:
    """Counts since the last `clear`. A batch is a transaction that was committed."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything so far."""
        self.batches = 0
        self.statements = 0
        self.times: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @property
    def flights(self) -> int:
        """How often the server was waited for: round trips."""
        return self.times.total()

    def note(self, statements: Sequence[Statement], seconds: float) -> None:
        """Take down a flight that has landed."""
        names = [statement.name for statement in statements]
        flight = ", ".join(name.decode() for name in names)
        self.statements += len(names)
        self.batches += _COMMIT in names
        self.times[flight] += 1
        self.seconds[flight] += seconds


@contextmanager
def listening() -> Iterator[Heard]:
    """Count what every lane sends meanwhile."""
    heard = Heard()
    exchange = Wire.exchange

    async def noted(wire: Wire, data: bytes, statements: Sequence[Statement]) -> list[list[Row]]:
        started = perf_counter()
        try:
            return await exchange(wire, data, statements)
        finally:
            heard.note(statements, perf_counter() - started)

    with patch.object(Wire, "exchange", noted):
        yield heard
