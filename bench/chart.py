"""The chart and the tables of figures in the documents, drawn from `bench/results/latest.json`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from bench import goals

ROOT: Final = Path(__file__).parent.parent
CHART: Final = ROOT / "docs" / "performance.svg"
PAGE: Final = ROOT / "docs" / "performance.md"
README: Final = ROOT / "README.md"

_WIDTH: Final = 980
_LEFT: Final = 330
_RIGHT: Final = 130
_TOP: Final = 78
_BAR: Final = 22
_STEP: Final = 34
_GAP: Final = 16

_FAMILIES: Final = (
    "tpcb",
    "naive",
    "ledger",
    "hot",
    "four",
    "one",
    "floor",
    "after",
    "deciding",
    "memory",
    "wallet",
    "history",
    "as_of",
)

_COSTS: Final = {
    "ledger_us": "µs of the engine's process",
    "callers_us": "µs of the load's callers, in that process",
    "postgres_us": "µs of PostgreSQL's processes",
    "wal_bytes": "bytes of write-ahead log",
    "batch": "operations a batch",
    "statements": "statements a batch",
    "round_trips": "round trips a batch",
}

_FIRST: Final = {
    "earn_requests_per_s": "1,500: HTTP, OAuth and GraphQL, one gateway process",
    "postbatch_ops_per_s": "6,000: the same, 500 to a call",
    "ledger_ops_per_s_512": "the engine alone, 80 % earn and 20 % burn, 512 in flight",
    "ledger_ops_per_s_2048": "2,048 in flight",
    "ledger_p99_ms_512": "under 100",
    "ledger_p50_ms_1": "under 5",
    "tpcb_tps": "pgbench's TPC-B on the same server",
    "ledger_to_tpcb_ratio": "5 ([where the time goes](docs/performance.md#where-the-time-goes))",
    "ledger_to_tpcb_ratio_2048": "6.5",
    "naive_ratio": "to a ledger of row locks and a transaction for each operation",
    "hot_partner_ratio": "0.8: one partner in all traffic, to fifty",
    "four_process_ratio": "0.85: four processes, to one with as many in flight",
    "after_10m_ratio": "0.8: after ten million lines, to an empty ledger",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: the figure it shows, what it is called, and the class that colours it."""

    figure: str
    name: str
    kind: str


GROUPS: Final = (
    (Bar("tpcb_tps", "pgbench TPC-B, transactions", "yardstick"),),
    (
        Bar("naive_ops_per_s", "naive ledger, 512 in flight", "naive"),
        Bar("naive_hot_partner_ops_per_s", "naive ledger, one partner in all traffic", "naive"),
    ),
    (
        Bar("ledger_ops_per_s_1", "Kopilka, one in flight", "ours"),
        Bar("ledger_ops_per_s_64", "Kopilka, 64 in flight", "ours"),
        Bar("ledger_ops_per_s_512", "Kopilka, 512 in flight", "ours"),
        Bar("hot_partner_ops_per_s", "Kopilka, 512, one partner in all traffic", "ours"),
        Bar("ledger_ops_per_s_2048", "Kopilka, 2,048 in flight", "ours"),
        Bar("four_processes_ops_per_s", "Kopilka, four processes with 512 each", "ours"),
    ),
)

_STYLE: Final = """
    svg { --ground: #ffffff; --edge: #d5dbe1; --ink: #1d2733; --soft: #56636f;
          --ours: #0b7285; --naive: #c2701c; --yardstick: #7a8794; }
    @media (prefers-color-scheme: dark) {
      svg { --ground: #0f151b; --edge: #2b3741; --ink: #e8edf2; --soft: #a4b0bb;
            --ours: #4cc3d9; --naive: #f0a35a; --yardstick: #94a1ad; }
    }
    .ground { fill: var(--ground); }
    .ours { fill: var(--ours); }
    .naive { fill: var(--naive); }
    .yardstick { fill: var(--yardstick); }
    .title { fill: var(--ink); font-size: 18px; font-weight: 650; }
    .note { fill: var(--soft); font-size: 13px; }
    .name { fill: var(--ink); font-size: 14px; text-anchor: end; }
    .figure { fill: var(--ink); font-size: 14px; font-weight: 600; font-variant-numeric: tabular-nums; }
    .times { fill: var(--soft); font-size: 13px; font-weight: 400; }
    .grid { stroke: var(--edge); stroke-width: 1; }
    .tick { fill: var(--soft); font-size: 12px; text-anchor: middle; }
"""


def draw(figures: Mapping[str, float]) -> str:
    """The chart as SVG: operations a second, a bar for each figure there is."""
    groups = [[bar for bar in group if bar.figure in figures] for group in GROUPS]
    groups = [group for group in groups if group]
    most = max(figures[bar.figure] for group in groups for bar in group)
    step = _tick(most)
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    bars: list[str] = []
    y = _TOP
    for group in groups:
        for bar in group:
            bars += _bar(bar, figures, y, scale)
            y += _STEP
        y += _GAP
    bottom = y - _GAP - (_STEP - _BAR) + 6
    ticks = [
        line
        for value in range(0, int(most) + 1, step)
        for line in _gridline(_LEFT + value * scale, f"{value:,}", bottom)
    ]
    height = bottom + 34
    title = "Operations a second, on one machine in one run"
    told = ", ".join(f"{bar.name}: {figures[bar.figure]:,.0f}" for group in groups for bar in group)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" role="img" aria-labelledby="title desc" '
            "font-family=\"ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\">",
            f'  <title id="title">{title}</title>',
            f'  <desc id="desc">{escape(told)}.</desc>',
            f"  <style>{_STYLE}  </style>",
            f'  <rect class="ground" width="{_WIDTH}" height="{height}" rx="8"/>',
            f'  <text class="title" x="24" y="34">{title}</text>',
            '  <text class="note" x="24" y="56">80 % earn, 20 % burn, 100,000 members, 50 partners, '
            "everything on; × is times TPC-B on the same machine</text>",
            *ticks,
            *bars,
            "</svg>",
            "",
        ]
    )


def _bar(bar: Bar, figures: Mapping[str, float], y: int, scale: float) -> list[str]:
    figure = figures[bar.figure]
    length = max(figure * scale, 2)
    middle = y + _BAR / 2 + 5
    times = ""
    if bar.kind != "yardstick" and figures.get("tpcb_tps"):
        ratio = figure / figures["tpcb_tps"]
        times = f'<tspan class="times" dx="8">× {ratio:.{1 if ratio >= 0.95 else 2}f}</tspan>'
    return [
        f'  <text class="name" x="{_LEFT - 12}" y="{middle:.0f}">{escape(bar.name)}</text>',
        f'  <rect class="{bar.kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
        f'  <text class="figure" x="{_LEFT + length + 8:.1f}" y="{middle:.0f}">{figure:,.0f}{times}</text>',
    ]


def _gridline(x: float, value: str, bottom: int) -> list[str]:
    return [
        f'  <line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>',
        f'  <text class="tick" x="{x:.1f}" y="{bottom + 18}">{value}</text>',
    ]


def _tick(most: float) -> int:
    """A round step between gridlines: at most six of them."""
    step = 1_000
    for factor in (2, 2.5, 2, 2, 2.5, 2):
        if most / step <= 6:
            break
        step = int(step * factor)
    return step


def table(figures: Mapping[str, float]) -> str:
    """The rows of the page's table: each figure, its goal and whether it is met."""
    rows = [
        f"| `{name}` | {goals.written(figure)} | {goals.told(name, figure)} |".replace("|  |", "| |")
        for name, figure in sorted(figures.items(), key=lambda item: _order(item[0]))
        if not name.startswith("profile_")
    ]
    return "\n".join(["| figure | measured | goal |", "|---|---|---|", *rows])


def _order(name: str) -> tuple[int, list[str | int]]:
    """Families in the order of the page, then names with their numbers read as numbers."""
    family = next((n for n, begins in enumerate(_FAMILIES) if name.startswith(begins)), len(_FAMILIES))
    return family, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def costs(figures: Mapping[str, float]) -> str:
    """What an operation costs by how many are in flight, as rows; a note when nobody has measured it."""
    columns = sorted(int(name.rpartition("_")[2]) for name in figures if name.startswith("profile_batch_"))
    if not columns:
        return "Not measured yet: `python -m bench profile`."
    rows = [
        f"| {told} | " + " | ".join(goals.written(figures[f"profile_{name}_{n}"]) for n in columns) + " |"
        for name, told in _COSTS.items()
    ]
    heads = " | ".join(f"{n:,}" for n in columns)
    return "\n".join([f"| in flight | {heads} |", "|---|" + "---|" * len(columns), *rows])


def refresh(figures: Mapping[str, float]) -> None:
    """Draw the chart and bring the figures of the documents up to date."""
    CHART.write_text(draw(figures))
    page = _between(PAGE.read_text(), "bench", f"\n{table(figures)}\n")
    PAGE.write_text(_between(page, "profile", f"\n{costs(figures)}\n"))
    README.write_text(_between(README.read_text(), "figures", f"\n{told_first(figures)}\n"))


def told_first(figures: Mapping[str, float]) -> str:
    """The rows of the README's table: what a stranger wants to know first."""
    rows = [
        f"| `{name}` | {goals.written(figures[name])} | {note} |"
        for name, note in _FIRST.items()
        if name in figures
    ]
    return "\n".join(["| figure | measured | goal |", "|---|---|---|", *rows])


def _between(text: str, name: str, inside: str) -> str:
    whole = rf"(<!-- {name} -->).*?(<!-- /{name} -->)"
    return re.sub(whole, lambda found: found[1] + inside + found[2], text, flags=re.DOTALL)
