"""Batches against queues of one for as long as it is told, from a seed that is printed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from ledger import lane
from tests import servers

from .builders import START
from .test_batches import Bench, Round, rounds

EXAMPLES = 6
"""Played on one database from one seed; the next database takes the next seed. What fails is made smaller."""


@pytest.mark.soak
def test_groupings_and_orders_go_on_giving_the_same_answers(
    run: object, soak_seconds: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "CAREFUL_BATCHES", 1)
    ends_at, played = time.monotonic() + soak_seconds, 0
    with asyncio.Runner() as runner:
        while not played or time.monotonic() < ends_at:
            urls = runner.run(servers.fresh_database(START))
            bench = runner.run(Bench.open(urls))
            _play(runner, bench, seed + played)
            runner.run(bench.close())
            runner.run(servers.drop_database(urls))
            played += 1
    print(f"{played} times {EXAMPLES} scripts played")  # noqa: T201


def _play(runner: asyncio.Runner, bench: Bench, number: int) -> None:
    @seeded(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(st.lists(rounds, min_size=2, max_size=8))
    def plays(script: Sequence[Round]) -> None:
        runner.run(bench.play(script))

    plays()
