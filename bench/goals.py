"""What each figure should reach, and how figures are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure should keep to: from below, or from above."""

    bound: float
    is_ceiling: bool = False

    def is_met(self, figure: float) -> bool:
        """Whether `figure` keeps to the bound."""
        return figure < self.bound if self.is_ceiling else figure >= self.bound

    def __str__(self) -> str:
        return f"{'under' if self.is_ceiling else 'at least'} {self.bound:,g}"


GOALS: Final = {
    "ledger_to_tpcb_ratio": Goal(5),
    "ledger_to_tpcb_ratio_2048": Goal(6.5),
    "ledger_p99_ms_512": Goal(100, is_ceiling=True),
    "ledger_p50_ms_1": Goal(5, is_ceiling=True),
    "hot_partner_ratio": Goal(0.8),
    "four_process_ratio": Goal(0.85),
    "after_10m_ratio": Goal(0.8),
    "wallet_p99_ms": Goal(5, is_ceiling=True),
    "history_p99_ms": Goal(5, is_ceiling=True),
    "as_of_p99_ms": Goal(5, is_ceiling=True),
    "earn_requests_per_s": Goal(1_500),
    "postbatch_ops_per_s": Goal(6_000),
}


def told(name: str, figure: float) -> str:
    """The goal of the figure `name` and whether it is met; empty where there is none."""
    goal = GOALS.get(name)
    if goal is None:
        return ""
    return str(goal) if goal.is_met(figure) else f"{goal}, not reached"


def written(figure: float) -> str:
    """A figure with as many places as say something."""
    places = 0 if abs(figure) >= 100 else 1 if abs(figure) >= 10 else 2
    return f"{figure:,.{places}f}"
