"""The documents show what was measured, drawn from the file that says it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench import chart, results
from bench.goals import GOALS, told

SVG = "{http://www.w3.org/2000/svg}"


def test_the_chart_and_the_tables_are_those_of_the_latest_results() -> None:
    figures = results.figures()

    assert chart.CHART.read_text() == chart.draw(figures), "run: python -m bench chart"
    assert chart.table(figures) in chart.PAGE.read_text(), "run: python -m bench chart"
    assert chart.costs(figures) in chart.PAGE.read_text(), "run: python -m bench chart"
    assert chart.told_first(figures) in chart.README.read_text(), "run: python -m bench chart"


def test_a_bar_is_as_long_as_its_figure() -> None:
    figures = {"tpcb_tps": 1_000.0, "naive_ops_per_s": 500.0, "ledger_ops_per_s_512": 4_000.0}

    drawn = ET.fromstring(chart.draw(figures))

    lengths = {
        bar.get("class"): float(bar.get("width", "0"))
        for bar in drawn.iter(f"{SVG}rect")
        if bar.get("class") != "ground"
    }
    assert lengths["ours"] / lengths["yardstick"] == 4
    assert lengths["yardstick"] / lengths["naive"] == 2
    text = " ".join("".join(node.itertext()) for node in drawn.iter(f"{SVG}text"))
    assert "4,000× 4.0" in text
    assert "500× 0.50" in text


def test_a_goal_is_met_from_its_own_side() -> None:
    assert told("hot_partner_ratio", 0.8) == "at least 0.8"
    assert told("hot_partner_ratio", 0.79) == "at least 0.8, not reached"
    assert told("wallet_p99_ms", 4.9) == "under 5"
    assert told("wallet_p99_ms", 5.0) == "under 5, not reached"
    assert told("naive_pool", 8) == ""
    assert {"hot_partner_ratio", "four_process_ratio", "after_10m_ratio", "history_p99_ms"} <= GOALS.keys()


def test_costs_stand_in_the_order_of_what_is_in_flight() -> None:
    figures = {f"profile_{name}_{n}": float(n) for name in chart._COSTS for n in (512, 1, 64)}

    rows = chart.costs(figures).splitlines()

    assert rows[0] == "| in flight | 1 | 64 | 512 |"
    assert rows[2] == "| µs of the engine's process | 1.00 | 64.0 | 512 |"
    assert "Not measured" in chart.costs({})
