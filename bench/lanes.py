"""Lanes and connections compared in one run: the same load, alternated, on one server."""

from __future__ import annotations

from statistics import median
from typing import Final

from bench.engine import opened
from bench.load import Load, Measured, fill, run
from gateway.embedded import Addresses

CHOICES: Final = ((8, 4), (8, 3), (4, 3), (4, 4), (16, 4))
"""(lanes, connections)."""

IN_FLIGHT: Final = 512
ROUNDS: Final = 3
OPERATIONS: Final = 15_000


async def compare(addresses: Addresses) -> dict[str, float]:
    """Operations a second and p99 of every choice: medians of alternated rounds."""
    load = Load(seed=1)
    rounds: dict[tuple[int, int], list[Measured]] = {choice: [] for choice in CHOICES}
    async with opened(addresses) as (ledger, _):
        await fill(ledger, load.openings())
    for _ in range(ROUNDS):
        for lanes, connections in CHOICES:
            async with opened(addresses, lanes=lanes, connections=connections) as (ledger, _):
                rounds[lanes, connections].append(await run(ledger, load.mixed(OPERATIONS), IN_FLIGHT))
    figures: dict[str, float] = {}
    for (lanes, connections), measured in rounds.items():
        name = f"lanes_{lanes}_connections_{connections}"
        figures[f"{name}_ops_per_s"] = median(m.per_second for m in measured)
        figures[f"{name}_p99_ms"] = median(m.p99_ms for m in measured)
    return figures
