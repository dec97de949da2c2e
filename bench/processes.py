"""Several processes on one server, against one process with as many in flight as all of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from statistics import median
from time import perf_counter
from typing import Final

import uvloop

from bench.engine import opened
from bench.load import Load, fill
from gateway.embedded import Addresses
from ledger import Command, Ledger

PROCESSES: Final = 4
IN_FLIGHT: Final = 512
TOGETHER: Final = 4
"""Lane connections of all processes together, as docs/operations.md says for several on one server."""
ROUNDS: Final = 9
"""What four processes do differs from one time to the next by a tenth: of three, the median did so, too."""
OPERATIONS: Final = 60_000
WARM_UP: Final = 2_000
"""Operations of each process before they start together: its connections are open then, and prepared."""
_LIFE_SECONDS: Final = 180
"""After which a process ends whatever it is doing: its parent may have been killed."""


@dataclass(frozen=True, slots=True)
class Span:
    """One process's share: when it began, when it took its last command, when each was answered."""

    began_at: float
    took_last_at: float
    answered_at: list[float]


async def compare(addresses: Addresses, *, quick: bool) -> dict[str, float]:
    """Operations a second of four processes and of one, and their ratio: medians of alternated rounds."""
    operations = OPERATIONS // 10 if quick else OPERATIONS
    async with opened(addresses) as (ledger, _):
        await fill(ledger, Load(seed=1).openings())
    many, one = [], []
    for round_ in range(ROUNDS):
        share = operations // PROCESSES
        many.append(await _together(addresses, f"m{round_}", PROCESSES, IN_FLIGHT, share))
        one.append(await _together(addresses, f"o{round_}", 1, PROCESSES * IN_FLIGHT, operations))
    return {
        "four_processes_ops_per_s": median(many),
        "one_process_ops_per_s": median(one),
        "four_process_ratio": median(many) / median(one),
    }


async def _together(
    addresses: Addresses, name: str, processes: int, in_flight: int, operations: int
) -> float:
    return await asyncio.to_thread(_run, addresses, name, processes, in_flight, operations)


def _run(addresses: Addresses, name: str, processes: int, in_flight: int, operations: int) -> float:
    """Operations a second of `processes`, each with its share, over the time that all had all in flight."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes)
    ends: list[Connection] = []
    children = []
    for number in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(
            target=_work,
            args=(addresses, f"{name}{number}-", in_flight, operations, start, theirs),
            daemon=True,
        )
        child.start()
        theirs.close()
        ends.append(ours)
        children.append(child)
    try:
        return _rate([_received(end) for end in ends])
    finally:
        for child in children:
            child.terminate()
            child.join()


def _received(end: Connection) -> Span:
    if not end.poll(_LIFE_SECONDS):
        raise RuntimeError("a process of the bench did not finish in time")
    try:
        span: Span = end.recv()
    except EOFError:
        raise RuntimeError("a process of the bench ended before it was done") from None
    return span


def _rate(spans: Sequence[Span]) -> float:
    """Answers a second between the last to begin and the first that had no more to send."""
    since = max(span.began_at for span in spans)
    until = min(span.took_last_at for span in spans)
    answers = sum(since <= at <= until for span in spans for at in span.answered_at)
    return answers / (until - since)


def _work(
    addresses: Addresses, name: str, in_flight: int, operations: int, start: Barrier, result: Connection
) -> None:
    """One process: make the commands, warm up, wait for the others, post, tell."""
    signal.alarm(_LIFE_SECONDS)
    load = Load(seed=name, name=name)
    warm_up, commands = load.mixed(WARM_UP), load.mixed(operations)
    result.send(uvloop.run(_post(addresses, warm_up, commands, in_flight, start)))


async def _post(
    addresses: Addresses,
    warm_up: Sequence[Command],
    commands: Sequence[Command],
    in_flight: int,
    start: Barrier,
) -> Span:
    async with opened(addresses, connections=TOGETHER // start.parties) as (ledger, _):
        await _posted(ledger, warm_up, in_flight)
        await asyncio.to_thread(start.wait, _LIFE_SECONDS)
        return await _posted(ledger, commands, in_flight)


async def _posted(ledger: Ledger, commands: Sequence[Command], in_flight: int) -> Span:
    waiting = iter(commands)
    answered_at: list[float] = []
    took_last_at: list[float] = []

    async def caller() -> None:
        for command in waiting:
            outcome = await ledger.submit(command)
            if outcome.refused is not None:
                raise RuntimeError(f"an operation of the load was refused: {outcome.refused}")
            answered_at.append(perf_counter())
        took_last_at.append(perf_counter())

    began_at = perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return Span(began_at, took_last_at[0], answered_at)
