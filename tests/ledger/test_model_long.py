"""The engine against the reference model for as long as it is told, from a seed that is printed."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests import servers

from .builders import START
from .test_model import Script, Step, World, leavers, member, partner, steps

EXAMPLES = 10
"""Played on one database from one seed; the next database takes the next seed. What fails is made smaller."""

earns = st.builds(
    Step,
    kind=st.just("earn"),
    member=member,
    partner=partner,
    points=st.integers(20, 120),
    life=st.integers(31, 90),
)
busy = st.booleans().flatmap(lambda is_earn: earns if is_earn else steps)
scripts = st.lists(
    st.tuples(st.lists(busy, min_size=4, max_size=10), st.integers(0, 24), leavers), min_size=3, max_size=8
)
"""Richer than the short profile's: members have several lots, so that it matters which is taken."""


@pytest.mark.soak
def test_the_engine_goes_on_doing_what_the_model_does(run: object, soak_seconds: float, seed: int) -> None:
    ends_at, played = time.monotonic() + soak_seconds, 0
    with asyncio.Runner() as runner:
        while not played or time.monotonic() < ends_at:
            urls = runner.run(servers.fresh_database(START))
            # By turns in a programme that tells members before points expire, and in one that does not.
            world = runner.run(World.open(urls, 1 if played % 2 else None))
            _play(runner, world, seed + played)
            runner.run(world.close())
            runner.run(servers.drop_database(urls))
            played += 1
    print(f"{played} times {EXAMPLES} scripts played")  # noqa: T201


def _play(runner: asyncio.Runner, world: World, number: int) -> None:
    @seeded(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(scripts)
    def plays(script: Script) -> None:
        runner.run(world.play(script))

    plays()
