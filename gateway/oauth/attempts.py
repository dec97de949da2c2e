"""Failed authentications, counted so that guessing is slow: buckets per client and address, in memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

PER_CLIENT_AND_ADDRESS: Final = 10
"""Failures that one address may spend on one client before it has to wait; one comes back in 6 s."""

PER_ADDRESS: Final = 200
"""Failures of one address over all clients, so that trying many clients is no way round; 2 a second."""

REMEMBERED: Final = 20_000


@dataclass(slots=True)
class _Bucket:
    left: float
    seen_at: float


class Allowance:
    """Token buckets by key: each holds `size`, and one token comes back every `seconds`."""

    def __init__(self, size: int, seconds: float, now: Callable[[], float]) -> None:
        self._size = size
        self._seconds = seconds
        self._now = now
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def wait_seconds(self, key: Hashable) -> float:
        """How long until the key has a token; 0 if it has one."""
        missing = 1.0 - self._left(key)
        return max(0.0, missing * self._seconds)

    def take(self, key: Hashable) -> None:
        """Spend one token. Full buckets need no memory; the longest untouched are forgotten first."""
        self._buckets[key] = _Bucket(left=max(0.0, self._left(key) - 1.0), seen_at=self._now())
        self._buckets.move_to_end(key)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)

    def _left(self, key: Hashable) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return float(self._size)
        return min(self._size, bucket.left + (self._now() - bucket.seen_at) / self._seconds)


class Attempts:
    """What is left of failures for a client id tried from an address. Success costs nothing."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._pairs = Allowance(PER_CLIENT_AND_ADDRESS, 6.0, now)
        self._addresses = Allowance(PER_ADDRESS, 0.5, now)

    def wait_seconds(self, client_id: str, address: str) -> float:
        """Seconds before another failure is answered as one; 0 when the next one is."""
        pair = self._pairs.wait_seconds((client_id, address))
        return max(pair, self._addresses.wait_seconds(address))

    def failed(self, client_id: str, address: str) -> None:
        """Count a failure."""
        self._pairs.take((client_id, address))
        self._addresses.take(address)
