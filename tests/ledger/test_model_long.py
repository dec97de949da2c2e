"""The engine against the reference model for as long as it is told, from a seed that is printed."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tests import servers

from .builders import START
from .test_model import Script, World, scripts_of

EXAMPLES = 10
"""Played on one database from one seed; the next database takes the next seed. What fails is made smaller."""

scripts = scripts_of(moments=(3, 8), steps=(4, 10))
"""Longer than the short profile's."""


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
