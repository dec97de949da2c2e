"""Builders of scenarios: the golden one, random ones, and a tiny second opinion on their money."""

from __future__ import annotations

import json
from collections import defaultdict
from copy import deepcopy
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

GOLDEN = json.loads((Path(__file__).parent / "golden" / "settlement.json").read_text())


def golden_inputs() -> dict[str, Any]:
    return deepcopy(GOLDEN["inputs"])


@st.composite
def a_scenario(draw: st.DrawFn) -> dict[str, Any]:
    """A possible history: nothing is taken that is not there, nothing given back that was not taken."""
    partners = draw(st.lists(st.sampled_from("ABCDEFXYZ"), min_size=1, max_size=5, unique=True))
    obligors = [*partners, "O"]
    held = dict.fromkeys(obligors, 0)
    periods = {}
    for ordinal in range(1, draw(st.integers(1, 4)) + 1):
        period: dict[str, Any] = {
            key: {} for key in ("earn", "claw", "expire", "burn", "burn_refund", "late", "dispute")
        }
        for obligor in obligors:
            period["earn"][obligor] = _some(draw, 1_000_000)
            held[obligor] += period["earn"][obligor]
            for key in ("claw", "expire"):
                period[key][obligor] = _some(draw, held[obligor])
                held[obligor] -= period[key][obligor]
            for redeemer in draw(st.lists(st.sampled_from(partners), unique=True)):
                late = _put(period, "late", obligor, redeemer, _some(draw, held[obligor]))
                burned = _put(period, "burn", obligor, redeemer, _some(draw, held[obligor] - late))
                back = _put(period, "burn_refund", obligor, redeemer, _some(draw, burned + late))
                back += _put(period, "dispute", obligor, redeemer, _some(draw, burned + late - back))
                held[obligor] += back - burned - late
        period["novate"] = draw(st.none() | st.sampled_from(partners))
        if period["novate"]:
            held["O"] += held[period["novate"]]
            held[period["novate"]] = 0
        periods[str(ordinal)] = period
    redemption_value = draw(st.integers(1, 3_000_000))
    return {
        "funding": {partner: draw(st.sampled_from("IR")) for partner in partners} | {"O": "I"},
        "periods": periods,
        "tariff": {
            "redemption_value_micro": redemption_value,
            "issue_price_micro": redemption_value + draw(st.integers(0, 100_000)),
            "fee": draw(st.sampled_from([[3, 200], [0, 1], [1, 3], [7, 1000]])),
            "breakage_share_to_issuer": draw(st.sampled_from([[1, 2], [0, 1], [1, 1], [1, 3]])),
        },
        "short_payments_micro": {
            ordinal: {draw(st.sampled_from(partners)): draw(st.integers(-(10**9), 10**9))}
            for ordinal in periods
        },
    }


def charges_by_hand(inputs: dict[str, Any]) -> list[dict[str, int]]:
    """What each party is charged per period, told partner by partner as a contract would.

    No cells, accounts or matrix: only who pays what for which points. The operator's is O.
    """
    tariff, funding = inputs["tariff"], inputs["funding"]
    value, price = tariff["redemption_value_micro"], tariff["issue_price_micro"]
    fee, share = Fraction(*tariff["fee"]), Fraction(*tariff["breakage_share_to_issuer"])
    held: dict[str, int] = defaultdict(int)
    result = []
    for _, period in sorted(inputs["periods"].items(), key=lambda item: int(item[0])):
        charge: dict[str, int] = defaultdict(int)
        for obligor, how in funding.items():
            earned = period["earn"].get(obligor, 0) - period["claw"].get(obligor, 0)
            expired = period["expire"].get(obligor, 0)
            held[obligor] += earned - expired
            if how == "I" and obligor != "O":
                charge[obligor] += earned * price - round(expired * value * share)
            for redeemer in funding:
                points = sum(
                    sign * period[key].get(obligor, {}).get(redeemer, 0)
                    for key, sign in (("burn", 1), ("late", 1), ("burn_refund", -1), ("dispute", -1))
                )
                held[obligor] -= points
                charge[redeemer] -= points * value
                if how == "R":
                    charge[obligor] += points * value
                if obligor != redeemer:
                    charge[redeemer] += round(points * value * fee)
        leaver = period["novate"]
        if leaver:
            charge[leaver] += held[leaver] * value if funding[leaver] == "R" else 0
            held["O"] += held.pop(leaver)
        charge["O"] = -sum(micro for partner, micro in charge.items() if partner != "O")
        result.append(dict(charge))
    return result


def _some(draw: st.DrawFn, most: int) -> int:
    return draw(st.integers(0, most))


def _put(period: dict[str, Any], key: str, obligor: str, redeemer: str, points: int) -> int:
    if points:
        period[key].setdefault(obligor, {})[redeemer] = points
    return points
