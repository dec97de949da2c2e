"""The ledger that ours is compared with is an honest one: it keeps what it was given, once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bench import naive
from bench.load import OPENING_POINTS, Load
from bench.naive import Naive
from ledger import Burn
from tests.ledger.instances import codes
from tests.servers import Urls

MEMBERS = 200


def _load() -> Load:
    return Load(seed=1, members=MEMBERS)


@pytest.fixture
async def usual(urls: Urls) -> AsyncIterator[Naive]:
    await naive.prepare(urls.owner, MEMBERS)
    async with naive.opened(urls.owner, 8) as opened:
        yield opened
    await naive.check(urls.owner)


async def test_a_mixed_load_is_accepted_and_balances(usual: Naive) -> None:
    commands = _load().mixed(300, partners=3)

    outcomes = await asyncio.gather(*(usual.submit(command) for command in commands))

    assert codes(outcomes) == ["OK"] * 300


async def test_a_repeat_is_answered_as_the_first_time(usual: Naive) -> None:
    (command,) = _load().mixed(1)

    outcomes = await asyncio.gather(*(usual.submit(command) for _ in range(10)))

    assert Counter(outcome.replayed for outcome in outcomes) == {False: 1, True: 9}
    assert len({(outcome.operation, outcome.balance) for outcome in outcomes}) == 1


async def test_no_more_is_burned_than_there_is_and_the_refusal_leaves_nothing(usual: Naive) -> None:
    burns = [command for command in _load().mixed(50) if isinstance(command, Burn)]
    one = burns[0]
    whole = Burn(
        principal=one.principal,
        key="whole",
        digest=one.digest,
        member=one.member,
        occurred_at=one.occurred_at,
        partner=one.partner,
        points=OPENING_POINTS,
    )

    outcomes = [await usual.submit(command) for command in (whole, one, whole)]

    assert codes(outcomes) == ["OK", "INSUFFICIENT_POINTS", "OK"]
    assert [outcome.balance.available for outcome in outcomes] == [0, 0, 0]
    assert outcomes[2].replayed
