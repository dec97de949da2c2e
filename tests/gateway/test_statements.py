"""A partner reads what it was issued, and nobody else's; of the operator's side finance does."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.gateway.coalition import Coalition, a_burn, a_caller, a_receipt, an_earn, partner_id

STATEMENT = """number period partnerName charge { amount } payable { amount } cellsHash
  entries { purpose redeemer points price rate money { amount } } points { issued closing }"""
OWN = (
    f"{{ partner {{ issuedStatements {{ nodes {{ {STATEMENT} }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
)
PAGE = """query($partner: ID!, $after: String) { partner(id: $partner) {
  issuedStatements(first: 1, after: $after) { nodes { number } pageInfo { hasNextPage endCursor } } } }"""
ONE = f"query($number: String!) {{ statement(number: $number) {{ {STATEMENT} }} }}"


@pytest.fixture
async def closed(coalition: Coalition) -> Coalition:
    """100 points from the bakery, 60 of them burned at the cinema; January and February are closed."""
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    burn = a_burn(coalition, 60, receipt=a_receipt())
    await coalition.do("burn", "userErrors { code }", burn, as_="cinema")
    for period, ends_at in enumerate(("2026-02-01T12:00:00+03:00", "2026-03-01T12:00:00+03:00"), start=1):
        await coalition.services.ledger.advance(datetime.fromisoformat(ends_at))
        await coalition.do("closePeriod", "userErrors { code }", {"period": period}, as_="finance")
    return coalition


async def test_a_partner_reads_its_own_statements(closed: Coalition) -> None:
    own = (await closed.ask(OWN, as_="cinema")).data["partner"]["issuedStatements"]
    one = (await closed.ask(ONE, {"number": "0001-0002"}, as_="cinema")).data["statement"]

    assert [each["number"] for each in own["nodes"]] == ["0001-0002", "0002-0002"]
    assert own["pageInfo"]["hasNextPage"] is False
    assert one == own["nodes"][0]
    assert (one["partnerName"], one["charge"]) == ("Cinema", {"amount": "-60.00"})
    assert [(each["purpose"], each["price"], each["rate"]) for each in one["entries"]] == [
        ("redemption", "1.00", None),
        ("fee", None, "0.00"),
    ]


async def test_statements_come_page_by_page_the_earliest_first(closed: Coalition) -> None:
    given = {"partner": partner_id(1)}

    first = (await closed.ask(PAGE, given)).data["partner"]["issuedStatements"]
    after = given | {"after": first["pageInfo"]["endCursor"]}
    rest = (await closed.ask(PAGE, after)).data["partner"]["issuedStatements"]
    nonsense = await closed.ask(PAGE, given | {"after": partner_id(1)})

    assert (first["nodes"], first["pageInfo"]["hasNextPage"]) == ([{"number": "0001-0001"}], True)
    assert (rest["nodes"], rest["pageInfo"]["hasNextPage"]) == ([{"number": "0002-0001"}], False)
    assert nonsense.code == "INVALID_INPUT"


@pytest.mark.parametrize("number", ["0001-0002", "0009-0001", "", "0001-0001 ", "0001\x00"])
async def test_anothers_statement_is_as_unknown_as_one_that_is_not_there(
    closed: Coalition, number: str
) -> None:
    answer = await closed.ask(ONE, {"number": number})

    assert answer.data["statement"] is None


async def test_of_the_operators_side_finance_reads_statements_and_support_does_not(closed: Coalition) -> None:
    closed.callers["support"] = a_caller("support")
    given = {"partner": partner_id(2)}

    read = await closed.ask(PAGE, given, as_="finance")
    one = await closed.ask(ONE, {"number": "0001-0002"}, as_="finance")
    refused = [await closed.ask(PAGE, given, as_="support")]
    refused.append(await closed.ask(ONE, {"number": "0001-0002"}, as_="support"))

    assert read.data["partner"]["issuedStatements"]["nodes"] == [{"number": "0001-0002"}]
    assert one.data["statement"]["partnerName"] == "Cinema"
    assert [answer.code for answer in refused] == ["FORBIDDEN", "FORBIDDEN"]


async def test_a_till_without_the_scope_reads_no_statement(closed: Coalition) -> None:
    closed.callers["till"] = a_caller("partner", partner=2, scopes={"earn", "burn"})

    answer = await closed.ask(ONE, {"number": "0001-0002"}, as_="till")

    assert (answer.status, answer.code) == (403, "FORBIDDEN")
