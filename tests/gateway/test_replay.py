"""The replay against a server of its own: real HTTP, real OAuth, the first day of the real year."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.replay.journey import load_journey
from gateway.replay.replay import replay
from gateway.replay.report import Report
from gateway.replay.server import Place, own_server

KEYS = {"baskets", "receipts", "burns", "dropped_lines", "refused", "seconds", "periods", "proof_ok"}


def a_replay(place: Place) -> Report:
    return asyncio.run(replay(place, load_journey(1), on_step=lambda _: None, on_day=lambda _: None))


def test_a_day_is_replayed_and_replaying_it_again_changes_nothing(tmp_path: Path) -> None:
    with own_server(data=tmp_path / "data", keep=False) as place:
        first, again = a_replay(place), a_replay(place)

    figures = first.figures()
    assert figures.keys() == KEYS
    assert figures["baskets"] > 0
    assert figures["refused"] == {}
    assert figures["proof_ok"] is True
    assert again.tally == first.tally
    assert again.partners == first.partners
    assert again.is_proven
