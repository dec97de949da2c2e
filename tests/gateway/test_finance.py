"""Finance through the published schema: periods, a close, sheets and statements, the proof."""

from __future__ import annotations

import asyncio
from datetime import datetime

from tests.gateway.coalition import Coalition, a_burn, a_receipt, an_earn, partner_id

PERIOD = """id ordinal startsAt endsAt stage cellsHash history { stage by }
  sheet { mode gross { amount } sum { amount } nettingEfficiency
    lines { partner name opening { amount } charge { amount } due { amount }
      payable { amount } carried { amount } } }
  statements { number partner partnerName charge { amount } entries { purpose points price money { amount } }
    points { opening issued redeemed closing } ageing { issueMonth points value { amount } }
    late { points } fee { amount } }"""
CLOSE = f"userErrors {{ code field retryable }} period {{ {PERIOD} }}"


async def trade(coalition: Coalition) -> None:
    """100 points from the bakery, 60 of them burned at the cinema."""
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    await coalition.do(
        "burn", "userErrors { code }", a_burn(coalition, 60, receipt=a_receipt()), as_="cinema"
    )


async def test_a_period_is_closed_into_what_each_partner_pays(coalition: Coalition) -> None:
    await trade(coalition)
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))

    payload = await coalition.do("closePeriod", CLOSE, {"period": 1}, as_="finance")

    period = payload["period"]
    assert payload["userErrors"] == []
    assert period["stage"] == "PROPOSED"
    assert [line["stage"] for line in period["history"]][-1] == "PROPOSED"
    lines = {line["name"]: line["charge"]["amount"] for line in period["sheet"]["lines"]}
    assert lines == {"Kopilka": "0.00", "Bakery": "60.00", "Cinema": "-60.00"}
    assert period["sheet"]["sum"] == {"amount": "0.00"}
    assert period["sheet"]["mode"] == "MULTILATERAL"
    assert [each["partnerName"] for each in period["statements"]] == ["Bakery", "Cinema"]
    assert period["statements"][0]["points"] == {"opening": 0, "issued": 100, "redeemed": -60, "closing": 40}
    assert len(period["cellsHash"]) == 64


async def test_closing_again_changes_nothing(coalition: Coalition) -> None:
    await trade(coalition)
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))
    first = await coalition.do("closePeriod", CLOSE, {"period": 1}, as_="finance")

    again = await coalition.do("closePeriod", CLOSE, {"period": 1}, as_="finance")

    assert again == first


async def test_a_period_that_is_not_over_is_not_closed(coalition: Coalition) -> None:
    early = await coalition.do("closePeriod", CLOSE, {"period": 1}, as_="finance")
    unknown = await coalition.do("closePeriod", CLOSE, {"period": 99}, as_="finance")

    assert early["userErrors"] == [{"code": "PERIOD_NOT_ENDED", "field": ["period"], "retryable": True}]
    assert unknown["userErrors"] == [{"code": "PERIOD_UNKNOWN", "field": ["period"], "retryable": False}]


async def test_periods_are_listed_and_found(coalition: Coalition) -> None:
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-03-15T00:00:00Z"))
    document = """query($after: String) { periods(first: 2, after: $after) {
      nodes { ordinal startsAt stage sheet { gross { amount } } } pageInfo { hasNextPage endCursor } } }"""

    first = (await coalition.ask(document, as_="finance")).data["periods"]
    rest = await coalition.ask(document, {"after": first["pageInfo"]["endCursor"]}, as_="finance")
    one = await coalition.ask(
        "{ period(ordinal: 2) { id stage } none: period(ordinal: 99) { id } }", as_="finance"
    )
    found = await coalition.ask(
        "query($id: ID!) { node(id: $id) { ... on Period { ordinal stage } } }",
        {"id": one.data["period"]["id"]},
        as_="finance",
    )

    assert [each["ordinal"] for each in first["nodes"]] == [1, 2]
    assert first["nodes"][0] == {
        "ordinal": 1,
        "startsAt": "2025-12-31T21:00:00Z",
        "stage": "OPEN",
        "sheet": None,
    }
    assert [each["ordinal"] for each in rest.data["periods"]["nodes"]] == [3]
    assert one.data["none"] is None
    assert found.data["node"] == {"ordinal": 2, "stage": "OPEN"}


async def test_a_statement_is_found_by_its_partner(coalition: Coalition) -> None:
    await trade(coalition)
    await coalition.services.ledger.advance(datetime.fromisoformat("2026-02-01T12:00:00+03:00"))
    await coalition.do("closePeriod", "userErrors { code }", {"period": 1}, as_="finance")
    document = (
        "query($p: ID) { period(ordinal: 1) { statements(partner: $p) { partnerName due { amount } } } }"
    )

    answer = await coalition.ask(document, {"p": partner_id(2)}, as_="finance")

    assert answer.data["period"]["statements"] == [{"partnerName": "Cinema", "due": {"amount": "-60.00"}}]


async def test_one_proof_runs_at_a_time_and_the_second_is_told_to_wait(coalition: Coalition) -> None:
    answers = await asyncio.gather(*(coalition.ask("{ proof { isOk } }", as_="finance") for _ in range(3)))

    refused = [answer.code for answer in answers if "errors" in answer.json]
    assert refused == ["THROTTLED", "THROTTLED"]
    assert (await coalition.ask("{ proof { isOk } }", as_="finance")).json["data"]["proof"]["isOk"]


async def test_the_proof_runs_every_invariant(coalition: Coalition) -> None:
    await trade(coalition)
    document = "{ proof { isOk checked { name claim } findings { row } operations lines blocks } }"

    found = (await coalition.ask(document, as_="finance")).data["proof"]

    assert found["isOk"]
    assert {"lots", "adjustments", "sheets"} <= {each["name"] for each in found["checked"]}
    assert found["findings"] == []
    assert found["operations"] == 2


async def test_a_till_sees_no_settlement(coalition: Coalition) -> None:
    for document in ("{ periods { nodes { id } } }", "{ proof { isOk } }", "{ period(ordinal: 1) { id } }"):
        assert (await coalition.ask(document)).status == 403
