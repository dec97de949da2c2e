"""A process that posts: run as `python -m tests.ledger.till`, it says on its output what was answered."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog

from ledger import Command, Ledger, Outcome, Transfer
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose

from .builders import (
    START,
    B,
    a_burn,
    a_donation,
    a_grant,
    a_transfer,
    an_adjustment,
    an_authorization,
    an_earn,
)

IN_FLIGHT = 24


def a_command(number: int) -> Command:
    """The `number`-th command of every till: the same in each process, so that it can be sent again."""
    member = compose(number % 16, 1 + number % 5)
    common: dict[str, Any] = {"key": f"till-{number}", "member": member, "digest": b"the same"}
    match number % 13:
        case 3 | 7 | 11:
            return a_burn(7, **common)
        case 5:
            return an_authorization(3, **common)
        case 6:
            return a_transfer(5, to_member=compose((number + 5) % 16, 1 + number % 3), **common)
        case 8:
            return a_donation(2, **common)
        case 9:
            return a_grant(4, **common)
        case 10:
            return an_adjustment(-1, **common)
        case _:
            return an_earn(20, **common)


async def post(ledger: Ledger, number: int) -> Outcome:
    """Post the `number`-th command; points that it sends off are brought to their end."""
    command = a_command(number)
    if isinstance(command, Transfer):
        outcome, _ = await ledger.transfer(command)
        return outcome
    return await ledger.submit(command)


def a_duplicate(number: int, key: str = "storm") -> Command:
    """One of many requests under one key: five different payloads, taken in turn, all for B."""
    if number % 5 == 3:
        return a_burn(7, key=key, digest=b"burn")
    if number % 5 == 4:
        return an_authorization(9, key=key, digest=b"authorize")
    points = 50 + number % 5
    return an_earn(points, key=key, partner=B, digest=str(points).encode())


def answer(outcome: Outcome) -> dict[str, Any]:
    """What an outcome says, as one line of JSON can carry it."""
    return {
        "operation": outcome.operation,
        "points": outcome.points,
        "available": outcome.balance.available,
        "refused": None if outcome.refused is None else outcome.refused.code,
        "replayed": outcome.replayed,
    }


@asynccontextmanager
async def running(writer_url: str, reader_url: str) -> AsyncIterator[Ledger]:
    """This process's ledger."""
    database = await Database.open(writer_url=writer_url, reader_url=reader_url)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    yield ledger
    await ledger.drain()
    await database.close()


async def post_for_ever(ledger: Ledger) -> None:
    """Post command after command; say which was answered, and how, at once."""
    numbers = iter(range(1_000_000))

    async def one_till() -> None:
        for number in numbers:
            outcome = await post(ledger, number)
            print(json.dumps([number, answer(outcome)]), flush=True)  # noqa: T201

    await asyncio.gather(*(one_till() for _ in range(IN_FLIGHT)))


async def storms(ledger: Ledger, size: int) -> None:
    """For each key read, and which payload is first: send duplicates at once, say what was answered."""
    print("ready", flush=True)  # noqa: T201
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        key, first = line.split()
        numbers = range(int(first), int(first) + size)
        outcomes = await asyncio.gather(*(ledger.submit(a_duplicate(n, key)) for n in numbers))
        print(json.dumps([answer(outcome) for outcome in outcomes]), flush=True)  # noqa: T201


async def main(what: str, writer_url: str, reader_url: str) -> None:
    # What is said on the output is answers alone.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with running(writer_url, reader_url) as ledger:
        if what == "storm":
            await storms(ledger, 50)
        else:
            await post_for_ever(ledger)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
