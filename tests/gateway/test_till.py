"""What a till does through the published schema: earn, quote, burn, hold, capture, void, ask again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.schema.node import global_id
from tests.gateway.coalition import PHONE, Coalition, a_burn, a_key, a_receipt, an_earn, rub

OPERATION = """
  replayed userErrors { code message field retryable retryAfterSeconds }
  operation { id kind state points recordedAt availableAt expiresAt
    balance { pending available held shown } hold { id pointsLeft expiresAt }
    lines { line pointsEarned pointsBurned moneyOff { amount currency } }
    explanation { rule applied points text } refusal { code } }
"""


async def another_member(coalition: Coalition) -> str:
    """A second member's handle; members live in buckets in turn."""
    given = {"idempotencyKey": a_key(), "identifier": {"phone": "+79160000001"}, "consents": []}
    return str((await coalition.do("memberEnrol", "enrolment { handle }", given))["enrolment"]["handle"])


async def earned(coalition: Coalition, **changes: object) -> Any:
    return await coalition.do("earn", OPERATION, an_earn(coalition, **changes))


async def test_an_earn_gives_points_and_says_why(coalition: Coalition) -> None:
    payload = await earned(coalition)

    operation = payload["operation"]
    assert payload["userErrors"] == []
    assert (operation["kind"], operation["state"], operation["points"]) == ("EARN", "AVAILABLE", 100)
    assert operation["balance"] == {"pending": 0, "available": 100, "held": 0, "shown": 100}
    assert operation["lines"][0]["pointsEarned"] == 100
    assert any(rule["applied"] and rule["points"] == 100 for rule in operation["explanation"])


@pytest.mark.parametrize("by", ["handle", "qr", "card", "phone"])
async def test_a_member_may_be_named_in_four_ways(coalition: Coalition, by: str) -> None:
    named = {
        "handle": coalition.handle(),
        "qr": coalition.qr(),
        "card": coalition.card_number,
        "phone": PHONE,
    }

    payload = await earned(coalition, member={by: named[by]})

    assert payload["operation"]["points"] == 100


async def test_a_repeat_gives_the_first_answer_and_says_so(coalition: Coalition) -> None:
    given = an_earn(coalition)
    first = await coalition.do("earn", OPERATION, given)

    again = await coalition.do("earn", OPERATION, given)

    assert again == first | {"replayed": True}


async def test_a_key_used_for_something_else_is_a_conflict(coalition: Coalition) -> None:
    given = an_earn(coalition)
    await coalition.do("earn", OPERATION, given)

    other = await coalition.do("earn", OPERATION, given | {"receipt": a_receipt("5.00")})

    assert other["operation"] is None
    assert other["userErrors"][0]["code"] == "IDEMPOTENCY_CONFLICT"


async def test_a_quote_tells_the_cap_and_binds_the_burn(coalition: Coalition) -> None:
    await earned(coalition)
    receipt = a_receipt("150.00")
    selection = """userErrors { code } quote { token pointsToEarn mostPoints mostMoney { amount }
      cap { name text } caps { name points } lines { pointsBurned } explanation { text } expiresAt }"""

    quoted = await coalition.do(
        "quote", selection, {"member": {"handle": coalition.handle()}, "receipt": receipt}
    )
    burned = await coalition.do(
        "burn", OPERATION, a_burn(coalition, 50, receipt=receipt, quote=quoted["quote"]["token"])
    )

    assert quoted["quote"]["mostPoints"] == 50
    assert quoted["quote"]["mostMoney"] == {"amount": "50.00"}
    assert quoted["quote"]["cap"]["name"] == "MONEY_FLOOR"
    assert burned["operation"]["balance"]["available"] == 50


async def test_a_burn_is_authorised_captured_in_parts_and_the_rest_voided(coalition: Coalition) -> None:
    await earned(coalition)

    held = await coalition.do("authorizeBurn", OPERATION, a_burn(coalition, 60, ttlSeconds=300))
    hold = held["operation"]["hold"]["id"]
    part = await coalition.do(
        "captureBurn", OPERATION, {"idempotencyKey": a_key(), "hold": hold, "points": 20}
    )
    rest = await coalition.do("voidBurn", OPERATION, {"idempotencyKey": a_key(), "hold": hold})
    late = await coalition.do("captureBurn", OPERATION, {"idempotencyKey": a_key(), "hold": hold})

    assert held["operation"]["balance"]["held"] == 60
    assert (part["operation"]["points"], part["operation"]["hold"]["pointsLeft"]) == (20, 40)
    assert rest["operation"]["balance"] == {"pending": 0, "available": 80, "held": 0, "shown": 80}
    assert rest["operation"]["hold"] == {"id": hold, "pointsLeft": 0, "expiresAt": None}
    assert late["userErrors"][0]["code"] == "HOLD_CLOSED"


@pytest.mark.parametrize("by", ["handle", "card", "phone"])
async def test_burning_needs_a_code_that_proves_presence(coalition: Coalition, by: str) -> None:
    await earned(coalition)
    named = {"handle": coalition.handle(), "card": coalition.card_number, "phone": PHONE}

    refused = await coalition.do("burn", OPERATION, a_burn(coalition, member={by: named[by]}))

    assert refused["userErrors"][0]["code"] == "STEP_UP_REQUIRED"


async def test_an_old_code_proves_nothing_and_a_used_one_no_second_burn(coalition: Coalition) -> None:
    await earned(coalition)
    old, fresh = coalition.qr(coalition.now - timedelta(minutes=5)), coalition.qr()

    stale = await coalition.do("burn", OPERATION, a_burn(coalition, 10, member={"qr": old}))
    first = await coalition.do("burn", OPERATION, a_burn(coalition, 10, member={"qr": fresh}))
    second = await coalition.do("burn", OPERATION, a_burn(coalition, 10, member={"qr": fresh}))

    assert stale["userErrors"][0]["code"] == "MEMBER_TOKEN_EXPIRED"
    assert first["operation"]["points"] == 10
    assert second["userErrors"][0]["code"] == "MEMBER_TOKEN_USED"


async def test_a_repeat_of_a_burn_is_answered_although_its_code_is_old_by_now(coalition: Coalition) -> None:
    await earned(coalition)
    given = a_burn(coalition, 10)
    first = await coalition.do("burn", OPERATION, given)
    await coalition.services.ledger.advance(coalition.now + timedelta(minutes=10))

    again = await coalition.do("burn", OPERATION, given)

    assert again == first | {"replayed": True}


async def test_an_unknown_outcome_is_settled_without_a_retry(coalition: Coalition) -> None:
    given = an_earn(coalition)
    posted = await coalition.do("earn", OPERATION, given)
    by_key = "query($key: String!) { operations(key: $key) { id points state } }"
    by_id = "query($id: ID!) { operation(id: $id) { points } node(id: $id) { id __typename } }"
    id_ = posted["operation"]["id"]

    found = await coalition.ask(by_key, {"key": given["idempotencyKey"]})
    named = await coalition.ask(by_id, {"id": id_})
    foreign = await coalition.ask(by_id, {"id": id_}, as_="cinema")
    foreign_key = await coalition.ask(by_key, {"key": given["idempotencyKey"]}, as_="cinema")

    assert found.data["operations"] == [{"id": id_, "points": 100, "state": "AVAILABLE"}]
    assert named.data == {"operation": {"points": 100}, "node": {"id": id_, "__typename": "Operation"}}
    assert foreign.data == {"operation": None, "node": None}
    assert foreign_key.data == {"operations": []}
    beyond = await coalition.ask(by_id, {"id": global_id("Operation", 2**63)})
    assert beyond.data == {"operation": None, "node": None}


async def test_a_key_of_two_members_means_an_operation_of_each(coalition: Coalition) -> None:
    other = {"handle": await another_member(coalition)}
    given = an_earn(coalition)
    ids = []
    for member, price in ((other, "700.00"), (given["member"], "300.00")):
        asked = given | {"member": member, "receipt": a_receipt(price)}
        ids.append((await coalition.do("earn", OPERATION, asked))["operation"]["id"])
        await coalition.services.ledger.advance(coalition.now + timedelta(seconds=1))

    found = await coalition.ask(
        "query($key: String!) { operations(key: $key) { id points } }", {"key": given["idempotencyKey"]}
    )

    assert found.data["operations"] == [{"id": ids[0], "points": 70}, {"id": ids[1], "points": 30}]


async def test_a_client_bound_to_outlets_knows_no_hold_of_another(coalition: Coalition) -> None:
    everywhere = coalition.callers["bakery"]
    coalition.callers["elsewhere"] = replace(everywhere, outlets=frozenset({99}))
    coalition.callers["here"] = replace(everywhere, outlets=frozenset({1, 99}))
    await earned(coalition)
    held = await coalition.do("authorizeBurn", OPERATION, a_burn(coalition))
    hold, parts = held["operation"]["hold"]["id"], [{"points": 10}, {"points": 40}]
    acts = [("captureBurn", {"hold": hold}), ("voidBurn", {"hold": hold})]

    foreign = [
        await coalition.do(act, OPERATION, given | {"idempotencyKey": a_key()}, as_="elsewhere")
        for act, given in acts
    ]
    items = [{act: given | {"idempotencyKey": a_key()}} for act, given in acts]
    batch = await coalition.do("postBatch", f"outcomes {{ {OPERATION} }}", {"items": items}, as_="elsewhere")
    captures = [
        await coalition.do(
            "captureBurn", OPERATION, {"idempotencyKey": a_key(), "hold": hold} | part, as_="here"
        )
        for part in parts
    ]

    refused = [each["userErrors"][0]["code"] for each in (*foreign, *batch["outcomes"])]
    assert refused == ["HOLD_NOT_FOUND"] * 4
    assert [each["operation"]["points"] for each in captures] == [10, 40]


async def test_a_client_bound_to_outlets_sees_and_reverses_nothing_of_another(coalition: Coalition) -> None:
    everywhere = coalition.callers["bakery"]
    coalition.callers["elsewhere"] = replace(everywhere, outlets=frozenset({99}))
    coalition.callers["here"] = replace(everywhere, outlets=frozenset({1}))
    await earned(coalition)
    held = await coalition.do("authorizeBurn", OPERATION, a_burn(coalition))
    capture = {"idempotencyKey": a_key(), "hold": held["operation"]["hold"]["id"]}
    captured = await coalition.do("captureBurn", OPERATION, capture)
    id_ = captured["operation"]["id"]
    document = """query($id: ID!, $key: String!) {
      operation(id: $id) { id } node(id: $id) { id } operations(key: $key) { id } }"""
    asked = {"id": id_, "key": capture["idempotencyKey"]}
    undo = {"operation": id_, "reason": "rung up twice"}

    unseen = await coalition.ask(document, asked, as_="elsewhere")
    foreign = await coalition.do("reverse", OPERATION, undo | {"idempotencyKey": a_key()}, as_="elsewhere")
    batch = await coalition.do(
        "postBatch",
        f"outcomes {{ {OPERATION} }}",
        {"items": [{"reverse": undo | {"idempotencyKey": a_key()}}]},
        as_="elsewhere",
    )
    seen = await coalition.ask(document, asked, as_="here")
    undone = await coalition.do("reverse", OPERATION, undo | {"idempotencyKey": "undo"}, as_="here")
    again = await coalition.ask(document, {"id": undone["operation"]["id"], "key": "undo"}, as_="here")

    assert unseen.data == {"operation": None, "node": None, "operations": []}
    codes = [each["userErrors"][0]["code"] for each in (foreign, *batch["outcomes"])]
    assert codes == ["OPERATION_NOT_FOUND"] * 2
    assert seen.data == {"operation": {"id": id_}, "node": {"id": id_}, "operations": [{"id": id_}]}
    assert undone["userErrors"] == []
    assert again.data["operation"] is not None
    assert again.data["operations"] == [{"id": undone["operation"]["id"]}]


async def test_a_receipt_takes_points_once_by_a_hold_or_at_once(coalition: Coalition) -> None:
    await earned(coalition, receipt=a_receipt("9000.00"))
    receipt = a_receipt("1000.00")
    held = await coalition.do("authorizeBurn", OPERATION, a_burn(coalition, 800, receipt=receipt))
    await coalition.services.ledger.advance(coalition.now + timedelta(seconds=30))

    twice = await coalition.do("burn", OPERATION, a_burn(coalition, 800, receipt=receipt))

    assert held["userErrors"] == []
    refused = twice["userErrors"][0]
    assert (refused["code"], refused["field"]) == ("DUPLICATE_RECEIPT", ["receipt", "number"])


async def test_a_batch_has_one_outcome_an_item_in_order(coalition: Coalition) -> None:
    selection = f"userErrors {{ code }} outcomes {{ {OPERATION} }}"
    missing = an_earn(coalition, member={"phone": "+79161234500"})
    items = [
        {"earn": an_earn(coalition)},
        {"earn": an_earn(coalition, receipt=a_receipt(outlet="no such"))},
        {"earn": missing},
        {"earn": an_earn(coalition, member={"card": coalition.card_number})},
        {"burn": a_burn(coalition, 150)},
        {"captureBurn": {"idempotencyKey": a_key(), "hold": "nonsense"}},
        {"authorizeBurn": a_burn(coalition, 10, member={"handle": coalition.handle()})},
    ]

    payload = await coalition.do("postBatch", selection, {"items": items})

    said = [
        outcome["operation"]["points"] if outcome["operation"] else outcome["userErrors"][0]["code"]
        for outcome in payload["outcomes"]
    ]
    assert said == [
        100,
        "OUTLET_UNKNOWN",
        "MEMBER_NOT_FOUND",
        100,
        150,
        "INVALID_INPUT",
        "STEP_UP_REQUIRED",
    ]


async def test_a_batch_answers_a_single_calls_key_and_the_other_way_round(coalition: Coalition) -> None:
    given = an_earn(coalition, receipt=a_receipt(tenders=[{"kind": "MONEY", "amount": rub("1000")}]))
    first = await coalition.do("earn", OPERATION, given)

    batch = await coalition.do("postBatch", f"outcomes {{ {OPERATION} }}", {"items": [{"earn": given}]})

    assert batch["outcomes"] == [first | {"replayed": True}]


async def test_a_batch_is_at_most_500_items(coalition: Coalition) -> None:
    items = [{"voidBurn": {"idempotencyKey": a_key(), "hold": "x"}}] * 501

    payload = await coalition.do(
        "postBatch", "outcomes { replayed } userErrors { code field }", {"items": items}
    )

    assert payload == {"outcomes": None, "userErrors": [{"code": "INVALID_INPUT", "field": ["items"]}]}


async def test_a_batch_may_do_what_its_caller_may_do_alone(coalition: Coalition) -> None:
    coalition.callers["bakery"] = coalition.callers["bakery"].__class__(
        "c", "partner", 1, frozenset({"earn"}), None, "partner:1"
    )

    payload = await coalition.do(
        "postBatch", "outcomes { replayed } userErrors { code }", {"items": [{"burn": a_burn(coalition)}]}
    )

    assert payload["userErrors"] == [{"code": "FORBIDDEN"}]


async def test_a_document_burns_once(coalition: Coalition) -> None:
    document = """mutation($a: BurnInput!, $b: AuthorizeBurnInput!) {
      burn(input: $a) { replayed } authorizeBurn(input: $b) { replayed } }"""

    answer = await coalition.ask(document, {"a": a_burn(coalition), "b": a_burn(coalition)})

    assert answer.code == "LIMIT_EXCEEDED"


async def test_aliases_do_not_multiply_guesses(coalition: Coalition) -> None:
    document = """mutation($a: EarnInput!, $b: EarnInput!) {
      a: earn(input: $a) { userErrors { code } } b: earn(input: $b) { userErrors { code } } }"""
    by_phone = {
        "a": an_earn(coalition, member={"phone": PHONE}),
        "b": an_earn(coalition, member={"phone": PHONE}),
    }

    answer = await coalition.ask(document, by_phone)

    assert answer.data["a"]["userErrors"] == []
    assert answer.data["b"]["userErrors"] == [{"code": "THROTTLED"}]
