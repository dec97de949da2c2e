"""Parts are measured apart and kept together."""

from __future__ import annotations

import json
from pathlib import Path

from bench import results


def test_a_part_keeps_the_figures_of_the_others_and_says_when_it_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "results" / "latest.json"

    results.merge("engine", {"tpcb_tps": 10.00049, "naive_ratio": 2.0}, file)
    results.merge("front", {"earn_requests_per_s": 3.0}, file)
    results.merge("engine", {"tpcb_tps": 11.0}, file)

    assert results.figures(file) == {"earn_requests_per_s": 3.0, "naive_ratio": 2.0, "tpcb_tps": 11.0}
    told = json.loads(file.read_text())["measured"]
    assert told.keys() == {"engine", "front"}
    assert all(part["at"].endswith("Z") for part in told.values())
