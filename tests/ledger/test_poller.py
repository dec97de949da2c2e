"""A poller outlives whatever its looks raise, says so once, and knows how old its last success is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from structlog.testing import capture_logs

from ledger.kernel.poller import Poller


async def test_an_outage_is_said_once_and_looking_goes_on() -> None:
    looks = iter([ValueError("an unknown word"), KeyError("again"), None, RuntimeError("another one"), None])
    poller, is_over = _looking(looks)

    with capture_logs() as said:
        poller.start()
        await asyncio.wait_for(is_over.wait(), 10)
        await poller.stop()

    events = [entry["event"] for entry in said]
    assert events == ["poller.failing", "poller.back", "poller.failing", "poller.back"]
    assert all(entry["poller"] == "words" for entry in said)


async def test_its_age_grows_while_looks_fail_and_only_then() -> None:
    failing, _ = _looking(iter(lambda: OSError("gone"), None))
    fresh, _ = _looking(iter(lambda: None, 0))
    idle, _ = _looking(iter(()))

    failing.start()
    fresh.start()
    await asyncio.sleep(0.3)
    ages = failing.age, fresh.age, idle.age
    await failing.stop()
    await fresh.stop()

    assert ages[0] >= 0.3 > ages[1]
    assert ages[2] == 0


def _looking(looks: Iterator[Exception | None]) -> tuple[Poller, asyncio.Event]:
    """A poller whose looks fail as told, and what is set when all were looked at."""
    is_over = asyncio.Event()

    async def look() -> None:
        try:
            failure = next(looks)
        except StopIteration:
            is_over.set()
            return
        if failure is not None:
            raise failure

    return Poller("words", look, seconds=0.01), is_over
