"""The queue: jobs run when their time comes and when asked, and one that fails harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.jobs import Job, Jobs, work

_EVERY_SECOND = frozenset(range(60))
_PATIENCE_SECONDS = 20


async def test_a_scheduled_job_runs_with_what_the_worker_holds(redis_url: str) -> None:
    seen: asyncio.Queue[object] = asyncio.Queue()

    async with _working(redis_url, Job(name="tick", task=seen.put, seconds=_EVERY_SECOND), services="held"):
        held = await asyncio.wait_for(seen.get(), _PATIENCE_SECONDS)

    assert held == "held"


async def test_a_job_that_is_asked_for_runs_after_another_failed(redis_url: str) -> None:
    seen: asyncio.Queue[object] = asyncio.Queue()

    async def fail(_services: object) -> None:
        raise ValueError("a mistake")

    async with _working(redis_url, Job(name="fail", task=fail), Job(name="asked", task=seen.put), services=7):
        jobs = await Jobs.open(redis_url)
        await jobs.ask("fail")
        await jobs.ask("asked")
        held = await asyncio.wait_for(seen.get(), _PATIENCE_SECONDS)
        await jobs.close()

    assert held == 7


@asynccontextmanager
async def _working(redis_url: str, *jobs: Job, services: object) -> AsyncIterator[None]:
    worker = asyncio.create_task(work(redis_url, jobs, services))
    yield
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
