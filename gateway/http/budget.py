"""What each client may still spend: a bucket of cost that fills as time passes (wall time)."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Final

import msgspec

from ledger.kernel.refusals import Throttled

from .limits import Limits

_MOST_CLIENTS: Final = 10_000


class Throttle(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The state of a client's bucket."""

    maximum: int
    available: int
    restore_rate: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says about its cost."""

    requested: int
    actual: int
    throttle: Throttle


class Bucket:
    """One client's budget."""

    __slots__ = ("_at", "_available", "_clock", "_limits")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._available = float(limits.budget)
        self._at = clock()

    def _refill(self) -> None:
        now = self._clock()
        gained = (now - self._at) * self._limits.restore_per_second
        self._available = min(self._available + gained, float(self._limits.budget))
        self._at = now

    def take(self, cost: int) -> None:
        """Spend `cost`. Raises `Throttled` with the seconds until there is enough."""
        self._refill()
        if cost > self._limits.budget:
            raise Throttled(f"this costs {cost}, more than the budget of {self._limits.budget} ever holds")
        if cost > self._available:
            seconds = ceil((cost - self._available) / self._limits.restore_per_second * 1000) / 1000
            raise Throttled(f"over budget; enough is there again in {seconds} s", seconds=seconds)
        self._available -= cost

    def give_back(self, cost: int) -> None:
        """Undo a part of what was taken, because less was used."""
        self._available = min(self._available + cost, float(self._limits.budget))

    def state(self) -> Throttle:
        """The bucket as it is now."""
        self._refill()
        return Throttle(
            maximum=self._limits.budget,
            available=int(self._available),
            restore_rate=self._limits.restore_per_second,
        )


class Budgets:
    """The buckets of all clients of this process, the least recently used forgotten when full."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def of(self, client: str) -> Bucket:
        """The bucket of a client, full when it is new."""
        bucket = self._buckets.pop(client, None)
        if bucket is None:
            bucket = Bucket(self._limits, self._clock)
            if len(self._buckets) >= _MOST_CLIENTS:
                del self._buckets[next(iter(self._buckets))]
        self._buckets[client] = bucket
        return bucket


class Meter:
    """Counts what one request costs. A resolver that does more than its price says charges it."""

    __slots__ = ("_bucket", "actual", "requested")

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.requested = 0
        self.actual = 0

    def charge(self, cost: int) -> None:
        """Take `cost` from the client's budget. Raises `Throttled`."""
        self.requested += cost
        self._bucket.take(cost)
        self.actual += cost

    def settle(self, actual: int) -> None:
        """Say what was really used of what was charged; the difference goes back."""
        self._bucket.give_back(max(self.actual - actual, 0))
        self.actual = min(self.actual, actual)

    def cost(self) -> Cost:
        """What the answer tells the client."""
        return Cost(requested=self.requested, actual=self.actual, throttle=self._bucket.state())
