from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.kernel.refusals import Refusal
from settlement.simulate import simulate
from tests.settlement.scenarios import GOLDEN, a_scenario, charges_by_hand, golden_inputs

Inputs = dict[str, Any]


def run(inputs: Inputs) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(json.dumps(simulate(json.dumps(inputs))))
    return figures


def test_the_golden_example_comes_out_exactly() -> None:
    assert run(GOLDEN) == GOLDEN["expected"]


def test_the_inputs_may_stand_at_the_top_or_beside_their_tariff() -> None:
    inputs = golden_inputs()
    beside = {key: inputs.pop(key) for key in ("tariff", "short_payments_micro")}

    assert run(inputs | beside) == GOLDEN["expected"]
    assert run({"inputs": inputs, **beside}) == GOLDEN["expected"]


def test_names_do_not_change_a_figure() -> None:
    names = {"A": "pharmacy", "C": "fuel", "D": "café"}
    text = json.dumps(golden_inputs())
    for name, other in names.items():
        text = text.replace(f'"{name}"', f'"{other}"')

    figures = simulate(text)

    charge, expected = figures["2"]["charge"], GOLDEN["expected"]["2"]["charge"]
    assert charge == {names.get(name, name): micro for name, micro in expected.items()}


def test_periods_run_in_the_order_of_their_numbers() -> None:
    inputs = golden_inputs()
    inputs["periods"] = {"10": inputs["periods"]["2"], "9": inputs["periods"]["1"]}
    inputs["short_payments_micro"] = {"9": {"A": 100000000}}

    figures = run(inputs)

    assert list(figures) == ["9", "10"]
    assert figures["10"]["due"] == GOLDEN["expected"]["2"]["due"]


def test_a_quiet_period_charges_nobody_and_carries_everything() -> None:
    inputs = golden_inputs()
    inputs["periods"]["3"] = {}

    quiet = run(inputs)["3"]

    assert quiet["gross"] == 0
    assert quiet["eff_mult"] == quiet["eff_bil"] == 0
    assert quiet["carry"] == GOLDEN["expected"]["2"]["carry"]
    assert quiet["closing_points"] == GOLDEN["expected"]["2"]["closing_points"]


def test_a_partner_that_left_may_come_back() -> None:
    inputs = golden_inputs()
    inputs["periods"]["3"] = {"earn": {"C": 100}, "burn": {"C": {"A": 40}}}

    back = run(inputs)["3"]

    assert back["closing_points"]["C"] == 60
    assert back["gross_cells"]["C->A"] == 40 * 927500


def test_more_claw_backs_than_issue_turn_the_obligation_round() -> None:
    inputs = golden_inputs()
    inputs["periods"]["2"] = {"claw": {"B": 1000}}

    figures = run(inputs)["2"]

    assert figures["gross_cells"] == {"O->B": 1000 * 950000}
    assert figures["due"]["B"] < 0


def test_an_estimate_is_made_for_the_first_partner_funded_at_issue_when_there_is_no_b() -> None:
    text = json.dumps(golden_inputs()).replace('"B"', '"Z"')

    figures = simulate(text)["2"]

    assert "D_issued_redeemed" in figures
    assert "Z_issued_redeemed" not in figures


@settings(max_examples=150, deadline=None)
@given(a_scenario())
def test_any_scenario_charges_what_the_contracts_say(inputs: Inputs) -> None:
    for figures, by_hand in zip(run(inputs).values(), charges_by_hand(inputs), strict=True):
        assert figures["charge"] == {name: by_hand.get(name, 0) for name in figures["charge"]}
        assert figures["net_operator"] == by_hand["O"]


@settings(max_examples=150, deadline=None)
@given(a_scenario())
def test_any_scenario_balances(inputs: Inputs) -> None:
    owed = dict.fromkeys(inputs["funding"].keys() - {"O"}, 0)
    for figures in run(inputs).values():
        assert sum(figures["charge"].values()) + figures["net_operator"] == 0
        assert figures["opening"] == owed
        for name, due in figures["due"].items():
            assert due == figures["opening"][name] + figures["charge"][name]
            assert figures["pay"][name] % 10_000 == 0
            assert abs(figures["carry"][name]) < 10_000
            assert figures["pay"][name] * due >= 0
        owed = figures["closing_ca"]
        assert figures["multilateral"] <= figures["bilateral"] <= figures["gross"]
        assert figures["reserve_close"] == {
            name: points * inputs["tariff"]["redemption_value_micro"] if how == "I" else 0
            for name, how in inputs["funding"].items()
            for points in [figures["closing_points"][name]]
        }
        for name, cohorts in figures["cohorts"].items():
            assert sum(cohorts.values()) == figures["closing_points"][name]
        assert figures["bank"] + figures["campaign"] + sum(owed.values()) == sum(
            figures["reserve_close"].values()
        ) + sum(figures["income"].values())


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_points_burned_and_returned_in_one_period_leave_no_trace(earned: int, burned: int) -> None:
    burned = min(earned, burned)
    inputs = golden_inputs()
    quiet = {"earn": {"A": earned}}
    inputs["periods"] = {"1": quiet}
    inputs["short_payments_micro"] = {}
    untouched = run(inputs)
    inputs["periods"] = {"1": quiet | {"burn": {"A": {"B": burned}}, "burn_refund": {"A": {"B": burned}}}}

    assert run(inputs) == untouched


def _set(*path: str, to: Any) -> Callable[[Inputs], None]:
    def change(inputs: Inputs) -> None:
        for key in path[:-1]:
            inputs = inputs[key]
        inputs[path[-1]] = to

    return change


def _remove(key: str, *, of: str | None = None) -> Callable[[Inputs], None]:
    return lambda inputs: (inputs[of] if of else inputs).pop(key)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        (_set("periods", "1", "earn", "X", to=1), "PARTNER_UNKNOWN", "inputs.periods.1.earn.X"),
        (_set("periods", "1", "burn", "A", "X", to=1), "PARTNER_UNKNOWN", "inputs.periods.1.burn.A.X"),
        (_set("periods", "1", "burn", "A", "O", to=1), "PARTNER_UNKNOWN", "inputs.periods.1.burn.A.O"),
        (_set("periods", "1", "novate", to="X"), "PARTNER_UNKNOWN", "inputs.periods.1.novate"),
        (_set("periods", "1", "novate", to="O"), "PARTNER_UNKNOWN", "inputs.periods.1.novate"),
        (
            _set("short_payments_micro", to={"1": {"X": 1}}),
            "PARTNER_UNKNOWN",
            "inputs.short_payments_micro.1.X",
        ),
        (_set("short_payments_micro", to={"7": {}}), "INVALID_INPUT", "inputs.short_payments_micro.7"),
        (_set("funding", "A", to="Q"), "FUNDING_UNKNOWN", "inputs.funding.A"),
        (_set("funding", "A", to=["I"]), "FUNDING_UNKNOWN", "inputs.funding.A"),
        (_set("funding", "O", to="R"), "FUNDING_UNKNOWN", "inputs.funding.O"),
        (_set("periods", "2", "earn", "A", to=-1), "POINTS_INVALID", "inputs.periods.2.earn.A"),
        (_set("periods", "2", "earn", "A", to=1.5), "POINTS_INVALID", "inputs.periods.2.earn.A"),
        (_set("periods", "2", "earn", "A", to=5.0), "POINTS_INVALID", "inputs.periods.2.earn.A"),
        (_set("periods", "2", "earn", "A", to="5"), "POINTS_INVALID", "inputs.periods.2.earn.A"),
        (_set("periods", "2", "earn", "A", to=True), "POINTS_INVALID", "inputs.periods.2.earn.A"),
        (_set("periods", "2", "earn", "A", to=2**60), "POINTS_INVALID", "inputs.periods.2.earn.A"),
        (_set("periods", "2", "burn", "A", to=5), "INVALID_INPUT", "inputs.periods.2.burn.A"),
        (_set("periods", "2", "burn", "A", "B", to=10**6), "INSUFFICIENT_POINTS", "periods.2"),
        (_set("periods", "1", "burn_refund", "A", "C", to=10**5), "INSUFFICIENT_POINTS", "periods.1"),
        (_set("periods", "first", to={}), "INVALID_INPUT", "inputs.periods.first"),
        (_set("periods", "01", to={}), "INVALID_INPUT", "inputs.periods.01"),
        (_set("periods", to=[]), "INVALID_INPUT", "inputs.periods"),
        (_set("tariff", "fee", to=[3, 0]), "INVALID_INPUT", "inputs.tariff.fee"),
        (_set("tariff", "fee", to=0.015), "INVALID_INPUT", "inputs.tariff.fee"),
        (_set("tariff", "issue_price_micro", to=0.95), "INVALID_INPUT", "inputs.tariff.issue_price_micro"),
        (_set("tariff", "issue_price_micro", to=-1), "INVALID_INPUT", "inputs.tariff.issue_price_micro"),
        (_set("short_payments_micro", "1", "A", to=0.5), "INVALID_INPUT", "inputs.short_payments_micro.1.A"),
        (_remove("fee", of="tariff"), "TARIFF_MISSING", "inputs.tariff.fee"),
        (_remove("tariff"), "TARIFF_MISSING", "tariff"),
        (_remove("funding"), "INVALID_INPUT", "inputs.funding"),
        (_remove("periods"), "INVALID_INPUT", "inputs.periods"),
    ],
)
def test_a_wrong_value_is_refused_by_name(change: Callable[[Inputs], None], code: str, field: str) -> None:
    inputs = golden_inputs()
    change(inputs)

    with pytest.raises(Refusal) as refusal:
        simulate(json.dumps({"inputs": inputs}))

    assert (refusal.value.code, ".".join(refusal.value.field)) == (code, field)
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "[" * 100_000, '{"inputs": 5}', "9" * 5_000])
def test_a_file_that_is_no_scenario_is_refused(text: str) -> None:
    with pytest.raises(Refusal):
        simulate(text)
