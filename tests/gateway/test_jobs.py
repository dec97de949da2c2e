"""The queue: jobs run when their time comes, and one that fails is told of and harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from gateway.jobs import Job, work

_EVERY_SECOND = frozenset(range(60))
_PATIENCE_SECONDS = 20


async def test_a_scheduled_job_runs_with_what_the_worker_holds(redis_url: str) -> None:
    seen: asyncio.Queue[object] = asyncio.Queue()

    async with _working(redis_url, Job(name="tick", task=seen.put, seconds=_EVERY_SECOND), services="held"):
        held = await asyncio.wait_for(seen.get(), _PATIENCE_SECONDS)

    assert held == "held"


async def test_a_job_that_fails_is_told_of_and_others_go_on(redis_url: str) -> None:
    failed: asyncio.Queue[object] = asyncio.Queue()
    seen: asyncio.Queue[object] = asyncio.Queue()

    async def fail(services: object) -> None:
        await failed.put(services)
        raise ValueError("a mistake")

    jobs = [Job(name=task.__name__, task=task, seconds=_EVERY_SECOND) for task in (fail, seen.put)]
    with structlog.testing.capture_logs() as logged:
        async with _working(redis_url, *jobs, services=7):
            await asyncio.wait_for(failed.get(), _PATIENCE_SECONDS)
            await asyncio.wait_for(seen.get(), _PATIENCE_SECONDS)
            await asyncio.wait_for(failed.get(), _PATIENCE_SECONDS)

    assert {"event": "job_failed", "job": "fail", "log_level": "error", "exc_info": True} in logged


@asynccontextmanager
async def _working(redis_url: str, *jobs: Job, services: object) -> AsyncIterator[None]:
    worker = asyncio.create_task(work(redis_url, jobs, services))
    yield
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
