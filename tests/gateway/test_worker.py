"""What the worker runs by itself: every task has its turn, and a proof is a whole one."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

import pytest

from gateway import worker
from gateway.settings import Settings
from settlement import audits


def test_nothing_that_runs_by_itself_is_forgotten() -> None:
    tasks = {name for name, each in vars(worker).items() if callable(each) and _is_a_task(each)}
    assert {job.task.__name__ for job in worker.jobs(Settings())} == tasks - {"run_worker", "_prove"}
    assert "drive_transits" in tasks


def _is_a_task(each: Any) -> bool:
    """A coroutine function of the worker's own."""
    return iscoroutinefunction(each) and each.__module__ == worker.__name__


@pytest.mark.parametrize(("task", "asked"), [("prove", audits.INVARIANTS), ("prove_state", audits.CHEAP)])
async def test_the_nightly_proof_leaves_nothing_out(monkeypatch: Any, task: str, asked: Any) -> None:
    seen: list[Any] = []

    async def note(_services: object, invariants: Any) -> None:
        seen.append(invariants)

    monkeypatch.setattr(worker, "_prove", note)
    await getattr(worker, task)(None)
    assert seen == [asked]
