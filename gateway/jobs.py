"""The queue of background work: the one module that knows arq.

A job may run twice, late, or be forgotten with the queue: each is idempotent, and what is to be
done is read from PostgreSQL. Arguments and results are JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog
from arq import cron
from arq.connections import RedisSettings
from arq.typing import WorkerCoroutine
from arq.worker import Worker

log = structlog.get_logger()

Task = Callable[[Any], Awaitable[None]]
"""What a job does, given whatever the worker was started with."""

TIMEOUT_SECONDS: Final = 60
"""A job that needs longer does a part and leaves the rest to its next turn."""

DRAIN_SECONDS: Final = 15
"""How long jobs under way may still take after SIGTERM."""

_TRIES: Final = 3
_KEPT_SECONDS: Final = 60
_QUEUE: Final = "kopilka:jobs"
_CONTEXT: Final = "services"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A named task that runs at `seconds` of every minute, or once at `minute` past.

    `minute` is one or several minutes of every hour, of one `hour` of the day (UTC) if that is given.
    """

    name: str
    task: Task
    timeout_seconds: int = TIMEOUT_SECONDS
    seconds: frozenset[int] = frozenset()
    minute: int | frozenset[int] | None = None
    hour: int | None = None


async def work(redis_url: str, jobs: Sequence[Job], services: object) -> None:
    """Run `jobs` until SIGTERM or SIGINT; those under way then have a while to finish."""
    worker = Worker(
        cron_jobs=[_cron(job) for job in jobs],
        redis_settings=RedisSettings.from_dsn(redis_url),
        queue_name=_QUEUE,
        job_timeout=TIMEOUT_SECONDS,
        job_completion_wait=DRAIN_SECONDS,
        keep_result=_KEPT_SECONDS,
        max_tries=_TRIES,
        max_jobs=4,
        job_serializer=_encode,
        job_deserializer=msgspec.json.decode,
        ctx={_CONTEXT: services},
        log_results=False,
    )
    try:
        with suppress(asyncio.CancelledError):  # how arq ends after a signal
            await worker.async_run()
    finally:
        await worker.close()


def _cron(job: Job) -> Any:
    seconds = set(job.seconds) or 0
    return cron(
        _runner(job),
        name=f"cron:{job.name}",
        second=seconds,
        hour=job.hour,
        minute=set(job.minute) if isinstance(job.minute, frozenset) else job.minute,
        timeout=job.timeout_seconds,
        unique=True,
    )


def _runner(job: Job) -> WorkerCoroutine:
    async def run(ctx: dict[str, Any], *_args: Any, **_kwargs: Any) -> None:
        try:
            await job.task(ctx[_CONTEXT])
        except Exception:
            log.exception("job_failed", job=job.name)
            raise

    run.__qualname__ = job.name
    return run


def _encode(value: object) -> bytes:
    """A failed job's exception is a result too: its text is enough."""
    return msgspec.json.encode(value, enc_hook=repr)
