"""Returns through the published schema: what is given back, what is taken back, what is owed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from gateway.schema.node import global_id
from ledger import invariants, proof
from ledger.kernel.ids import compose
from ledger.tables import operations
from partners import Terms, make_agreement, suspend_partner
from tests.gateway.coalition import BY, Coalition, a_burn, a_key, a_receipt, an_earn, rub

RETURN = """
  replayed userErrors { code message field retryable }
  operation { id kind state points balance { pending available shown } reason
    explanation { rule applied points text }
    returned { purchase pointsRestored pointsTakenBack pointsCancelled pointsClawedBack pointsDue
      moneyDue { amount currency } lots { points expiresAt }
      lines { line quantity pointsTakenBack pointsRestored moneyDue { amount } } } }
"""
MONEY = "operation { returned { moneyDue { amount } pointsRestored pointsDue } } userErrors { code field }"


def three_loaves() -> dict[str, Any]:
    """A receipt of three loaves for 300.00 and a bag for 10.01."""
    lines = [
        {"sku": "bread", "unitPrice": rub("100.00"), "quantity": "3"},
        {"sku": "bag", "unitPrice": rub("10.01")},
    ]
    return a_receipt(lines=lines)


def a_return(purchase: dict[str, Any], **changes: object) -> dict[str, Any]:
    """The input of a return at the bakery; of everything, if it names no lines."""
    receipt = {"outlet": "17", "terminal": "9", "number": a_key()}
    return {"idempotencyKey": a_key(), "purchase": purchase, "receipt": receipt} | changes


def by_receipt(receipt: dict[str, Any]) -> dict[str, Any]:
    """A purchase named by its receipt."""
    return {"receipt": {key: receipt[key] for key in ("outlet", "terminal", "number")}}


async def bought(coalition: Coalition, burned: int = 0) -> tuple[dict[str, Any], str]:
    """A receipt that earned points, and of which some were paid with others; the earn's id."""
    receipt = three_loaves()
    if burned:
        await coalition.do("earn", RETURN, an_earn(coalition, receipt=a_receipt("5000.00")))
        paid = await coalition.do("burn", RETURN, a_burn(coalition, burned, receipt=receipt))
        assert paid["userErrors"] == []
    earned = await coalition.do("earn", RETURN, an_earn(coalition, receipt=receipt))
    return receipt, earned["operation"]["id"]


async def test_a_return_says_what_it_gives_back_and_takes_back(coalition: Coalition) -> None:
    receipt, earn = await bought(coalition, burned=100)
    lines = [{"line": 0, "quantity": "1"}, {"line": 1, "quantity": "1"}]

    payload = await coalition.do("returnPurchase", RETURN, a_return(by_receipt(receipt), lines=lines))
    rest = await coalition.do("returnPurchase", RETURN, a_return({"operation": earn}))

    assert payload["userErrors"] == []
    operation = payload["operation"]
    assert (operation["kind"], operation["state"]) == ("RETURN", "RETURNED")
    # 100 points took 96.78 off the loaves and 3.22 off the bag, by price; money comes back first.
    assert operation["returned"]["lines"] == [
        {
            "line": 0,
            "quantity": "1",
            "pointsTakenBack": 10,
            "pointsRestored": 0,
            "moneyDue": {"amount": "100.00"},
        },
        {
            "line": 1,
            "quantity": "1",
            "pointsTakenBack": 1,
            "pointsRestored": 3,
            "moneyDue": {"amount": "6.78"},
        },
    ]
    assert operation["returned"]["moneyDue"] == {"amount": "106.78", "currency": "RUB"}
    assert [lot["points"] for lot in operation["returned"]["lots"]] == [3]
    assert [rule["rule"] for rule in operation["explanation"]] == ["refund_order", "claw_back"]
    assert rest["operation"]["returned"]["moneyDue"]["amount"] == "103.23"
    assert rest["operation"]["returned"]["pointsRestored"] == 97
    assert rest["operation"]["balance"]["shown"] == 500
    result = await proof.prove(coalition.services.database.writer, invariants.INVARIANTS)
    assert result.is_ok, result.findings


async def test_a_return_is_found_again_with_its_purchase(coalition: Coalition) -> None:
    _, earn = await bought(coalition)
    given = a_return({"operation": earn})
    first = await coalition.do("returnPurchase", RETURN, given)
    id_ = first["operation"]["id"]

    again = await coalition.do("returnPurchase", RETURN, given)
    asked = f'{{ operation(id: "{id_}") {{ kind returned {{ purchase pointsTakenBack }} }} }}'
    shown = await coalition.ask(asked)
    stranger = await coalition.ask(asked, as_="cinema")

    assert again == first | {"replayed": True}
    assert shown.data["operation"] == {
        "kind": "RETURN",
        "returned": {"purchase": earn, "pointsTakenBack": 31},
    }
    assert stranger.data["operation"] is None


async def test_points_that_are_gone_are_owed_and_taken_from_the_next(coalition: Coalition) -> None:
    _, earn = await bought(coalition)
    await coalition.do("burn", RETURN, a_burn(coalition, 31))

    payload = await coalition.do("returnPurchase", RETURN, a_return({"operation": earn}))
    await coalition.do("earn", RETURN, an_earn(coalition))

    operation = payload["operation"]
    assert operation["returned"]["pointsDue"] == 31
    assert operation["balance"]["shown"] == -31
    assert "31 are owed" in operation["explanation"][1]["text"]
    balance = await coalition.services.ledger.balance(coalition.member)
    assert (balance.available, balance.clawback_due) == (69, 0)


async def test_more_than_was_bought_does_not_come_back(coalition: Coalition) -> None:
    receipt, _ = await bought(coalition)
    lines = [{"line": 0, "quantity": "2.5"}]

    said = [
        await coalition.do("returnPurchase", MONEY, a_return(by_receipt(receipt), lines=lines))
        for _ in range(2)
    ]

    assert said[0]["operation"]["returned"]["moneyDue"] == {"amount": "250.00"}
    assert said[1]["userErrors"] == [{"code": "RETURN_EXCEEDS_ORIGINAL", "field": ["lines"]}]


async def test_a_hold_that_is_still_open_is_to_be_captured_or_voided_first(coalition: Coalition) -> None:
    await coalition.do("earn", RETURN, an_earn(coalition))
    receipt = three_loaves()
    held = await coalition.do(
        "authorizeBurn", "operation { hold { id } }", a_burn(coalition, 60, receipt=receipt)
    )
    given = a_return(by_receipt(receipt))

    too_early = await coalition.do("returnPurchase", RETURN, given)
    await coalition.do(
        "captureBurn", "replayed", {"idempotencyKey": a_key(), "hold": held["operation"]["hold"]["id"]}
    )
    then = await coalition.do("returnPurchase", RETURN, given)

    refused = too_early["userErrors"][0]
    assert (refused["code"], refused["retryable"]) == ("HOLD_OPEN", True)
    assert then["operation"]["returned"]["pointsRestored"] == 60
    assert then["operation"]["returned"]["moneyDue"]["amount"] == "250.01"


async def test_a_mistake_is_reversed_once_by_the_partner_or_the_operator(coalition: Coalition) -> None:
    _, earn = await bought(coalition)
    other = await coalition.do("burn", RETURN, a_burn(coalition, 20))
    mistakes = [
        {"idempotencyKey": a_key(), "operation": id_, "reason": "the wrong member"}
        for id_ in (earn, other["operation"]["id"])
    ]

    by_partner = await coalition.do("reverse", RETURN, mistakes[0])
    by_operator = await coalition.do("reverse", RETURN, mistakes[1], as_="operator")
    repeated = await coalition.do("reverse", RETURN, mistakes[1], as_="operator")
    twice = await coalition.do("reverse", RETURN, mistakes[1] | {"idempotencyKey": a_key()})

    assert (by_partner["operation"]["kind"], by_partner["operation"]["state"]) == ("REVERSE", "RETURNED")
    assert by_partner["operation"]["reason"] == "the wrong member"
    assert by_partner["operation"]["returned"]["moneyDue"] is None
    assert by_partner["operation"]["returned"]["pointsDue"] == 20
    assert by_operator["operation"]["returned"]["pointsRestored"] == 20
    assert repeated == by_operator | {"replayed": True}
    assert twice["userErrors"][0]["code"] == "ALREADY_REVERSED"
    assert (await coalition.services.ledger.balance(coalition.member)).shown == 0


async def test_a_batch_returns_and_reverses_too(coalition: Coalition) -> None:
    receipt, earn = await bought(coalition)
    _, other = await bought(coalition)
    items = [
        {"returnPurchase": a_return(by_receipt(receipt), lines=[{"line": 0, "quantity": "1"}])},
        {"earn": an_earn(coalition)},
        {"returnPurchase": a_return({"operation": earn}, lines=[{"line": 0, "quantity": "2"}])},
        {"returnPurchase": a_return({"operation": earn}, lines=[{"line": 0, "quantity": "0.001"}])},
        {"returnPurchase": a_return({"operation": global_id("Operation", 999)})},
        {"returnPurchase": a_return({"operation": "nonsense"})},
        {"reverse": {"idempotencyKey": a_key(), "operation": other, "reason": "r"}},
        {"reverse": {"idempotencyKey": a_key(), "operation": other, "reason": ""}},
    ]

    selection = f"outcomes {{ {MONEY} }} userErrors {{ code }}"
    payload = await coalition.do("postBatch", selection, {"items": items})

    assert payload["userErrors"] == []
    said = [each["userErrors"][0]["code"] if each["userErrors"] else "OK" for each in payload["outcomes"]]
    assert said == [
        "OK",
        "OK",
        "OK",
        "RETURN_EXCEEDS_ORIGINAL",
        "OPERATION_NOT_FOUND",
        "INVALID_INPUT",
        "OK",
        "INVALID_INPUT",
    ]


NONSENSE: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"lines": []}, "INVALID_INPUT", ["lines"]),
    ({"lines": [{"line": 0, "quantity": "1"}] * 501}, "INVALID_INPUT", ["lines"]),
    ({"lines": [{"line": 0, "quantity": "0"}]}, "INVALID_INPUT", ["lines", "0", "quantity"]),
    ({"lines": [{"line": 0, "quantity": "-1"}]}, "INVALID_INPUT", ["lines", "0", "quantity"]),
    ({"lines": [{"line": 0, "quantity": "1.0001"}]}, "INVALID_INPUT", ["lines", "0", "quantity"]),
    ({"lines": [{"line": 0, "quantity": "NaN"}]}, "INVALID_INPUT", ["lines", "0", "quantity"]),
    ({"lines": [{"line": 0, "quantity": "9" * 39}]}, "INVALID_INPUT", ["lines", "0", "quantity"]),
    ({"lines": [{"line": 7, "quantity": "1"}]}, "RETURN_EXCEEDS_ORIGINAL", ["lines"]),
    ({"lines": [{"line": -1, "quantity": "1"}]}, "RETURN_EXCEEDS_ORIGINAL", ["lines"]),
    ({"lines": [{"line": 2**31 - 1, "quantity": "1"}]}, "RETURN_EXCEEDS_ORIGINAL", ["lines"]),
    ({"lines": [{"line": 0, "quantity": "3.001"}]}, "RETURN_EXCEEDS_ORIGINAL", ["lines"]),
    ({"idempotencyKey": ""}, "INVALID_INPUT", ["idempotencyKey"]),
    ({"purchase": {"operation": "nonsense"}}, "INVALID_INPUT", ["purchase"]),
    ({"purchase": {"operation": global_id("Partner", 1)}}, "INVALID_INPUT", ["purchase"]),
    ({"purchase": {"operation": global_id("Operation", 2**70)}}, "INVALID_INPUT", ["purchase"]),
    (
        {"purchase": {"operation": global_id("Operation", compose(63, 2**56 - 1))}},
        "OPERATION_NOT_FOUND",
        ["purchase", "operation"],
    ),
    (
        {"purchase": {"receipt": {"outlet": "17", "terminal": "1", "number": "none"}}},
        "OPERATION_NOT_FOUND",
        ["purchase", "receipt"],
    ),
    (
        {"purchase": {"receipt": {"outlet": "99", "terminal": "é", "number": "x" * 9_999}}},
        "OPERATION_NOT_FOUND",
        ["purchase", "receipt"],
    ),
    (
        {"purchase": {"receipt": {"outlet": "99", "terminal": "\x00", "number": "1"}}},
        "INVALID_INPUT",
        ["purchase", "receipt", "terminal"],
    ),
    ({"receipt": {"outlet": "99", "terminal": "1", "number": "1"}}, "OUTLET_UNKNOWN", ["receipt", "outlet"]),
    ({"receipt": {"outlet": "17", "terminal": "", "number": "1"}}, "INVALID_INPUT", ["receipt", "terminal"]),
    ({"receipt": {"outlet": "17", "terminal": "1", "number": "\n"}}, "INVALID_INPUT", ["receipt", "number"]),
    (
        {"receipt": {"outlet": "17", "terminal": "1", "number": "1", "occurredAt": "2036-01-01T00:00:00Z"}},
        "OCCURRED_AT_OUT_OF_RANGE",
        ["receipt", "occurredAt"],
    ),
    (
        {"receipt": {"outlet": "17", "terminal": "1", "number": "1", "occurredAt": "2020-01-01T00:00:00Z"}},
        "OCCURRED_AT_OUT_OF_RANGE",
        ["receipt", "occurredAt"],
    ),
]


async def test_what_makes_no_sense_is_refused_at_its_place_and_moves_nothing(coalition: Coalition) -> None:
    _, earn = await bought(coalition)
    before = await coalition.services.ledger.balance(coalition.member)

    for changes, code, field in NONSENSE:
        payload = await coalition.do("returnPurchase", MONEY, a_return({"operation": earn}) | changes)

        assert [(each["code"], each["field"]) for each in payload["userErrors"]] == [(code, field)], changes
    assert await coalition.services.ledger.balance(coalition.member) == before


async def test_a_purchase_is_named_in_exactly_one_way(coalition: Coalition) -> None:
    receipt, earn = await bought(coalition)
    document = "mutation($input: ReturnPurchaseInput!) { returnPurchase(input: $input) { replayed } }"

    for purchase in ({}, {"operation": earn} | by_receipt(receipt), {"operation": None}, None, "x"):
        answer = await coalition.ask(document, {"input": a_return({}) | {"purchase": purchase}})

        assert answer.code == "INVALID_INPUT", purchase


async def test_a_receipt_of_two_members_names_no_purchase(coalition: Coalition) -> None:
    receipt = three_loaves()
    enrolled = await coalition.do(
        "memberEnrol",
        "enrolment { handle } userErrors { code }",
        {"idempotencyKey": a_key(), "identifier": {"phone": "+79160000001"}, "consents": []},
    )
    for handle in (coalition.handle(), enrolled["enrolment"]["handle"]):
        await coalition.do("earn", RETURN, an_earn(coalition, receipt=receipt, member={"handle": handle}))

    payload = await coalition.do("returnPurchase", MONEY, a_return(by_receipt(receipt)))

    assert payload["userErrors"] == [{"code": "RECEIPT_AMBIGUOUS", "field": ["purchase", "receipt"]}]


async def test_a_key_of_two_returns_answers_each_although_its_receipt_has_become_ambiguous(
    coalition: Coalition,
) -> None:
    enrolled = await coalition.do(
        "memberEnrol",
        "enrolment { handle } userErrors { code }",
        {"idempotencyKey": a_key(), "identifier": {"phone": "+79160000001"}, "consents": []},
    )
    handles = [coalition.handle(), enrolled["enrolment"]["handle"]]
    receipts = [three_loaves(), three_loaves()]
    returns = [a_return(by_receipt(each), idempotencyKey="same") for each in receipts]
    for receipt, handle in zip(receipts, handles, strict=True):
        await coalition.do("earn", RETURN, an_earn(coalition, receipt=receipt, member={"handle": handle}))
    first = [await coalition.do("returnPurchase", RETURN, each) for each in returns]
    for receipt, handle in zip(receipts, reversed(handles), strict=True):
        await coalition.do("earn", RETURN, an_earn(coalition, receipt=receipt, member={"handle": handle}))

    again = [await coalition.do("returnPurchase", RETURN, each) for each in returns]

    assert [each["userErrors"] for each in first] == [[], []]
    assert again == [each | {"replayed": True} for each in first]


@pytest.mark.parametrize("field", ["returnPurchase", "reverse"])
async def test_who_has_not_the_scope_takes_nothing_back(coalition: Coalition, field: str) -> None:
    _, earn = await bought(coalition)
    bakery = coalition.callers["bakery"]
    coalition.callers["bakery"] = replace(bakery, scopes=bakery.scopes - {"return"})
    given = {
        "returnPurchase": a_return({"operation": earn}),
        "reverse": {"idempotencyKey": a_key(), "operation": earn, "reason": "r"},
    }[field]
    type_ = f"{field[0].upper()}{field[1:]}Input!"

    alone = await coalition.ask(
        f"mutation($i: {type_}) {{ {field}(input: $i) {{ replayed }} }}", {"i": given}
    )
    batch = await coalition.do("postBatch", "userErrors { code }", {"items": [{field: given}]})

    assert (alone.status, alone.code) == (403, "FORBIDDEN")
    assert batch["userErrors"] == [{"code": "FORBIDDEN"}]
    async with coalition.services.database.writer.connect() as connection:
        posted = await connection.scalar(select(func.count()).select_from(operations))
    assert posted == 1


async def test_a_client_bound_to_an_outlet_takes_goods_back_there_and_reverses_its_own(
    coalition: Coalition,
) -> None:
    _, earn = await bought(coalition)
    coalition.callers["bakery"] = replace(coalition.callers["bakery"], outlets=frozenset({99}))

    returned = await coalition.do("returnPurchase", MONEY, a_return({"operation": earn}))
    undone = await coalition.do(
        "reverse", MONEY, {"idempotencyKey": a_key(), "operation": earn, "reason": "r"}
    )

    assert [each["userErrors"][0]["code"] for each in (returned, undone)] == [
        "OUTLET_UNKNOWN",
        "OPERATION_NOT_FOUND",
    ]


async def test_a_suspended_partner_still_takes_goods_back(coalition: Coalition) -> None:
    _, earn = await bought(coalition)
    async with coalition.services.database.writer.begin() as connection:
        await suspend_partner(connection, 1, reason="arrears", at=coalition.now, by=BY)
    await coalition.services.directories.reload()

    payload = await coalition.do("returnPurchase", MONEY, a_return({"operation": earn}))

    assert payload["userErrors"] == []


async def test_a_return_that_arrives_too_late_is_refused(coalition: Coalition) -> None:
    _, earn = await bought(coalition)
    made_at = coalition.now + timedelta(days=1)
    await coalition.services.ledger.advance(made_at + timedelta(days=30, seconds=1))
    receipt = {"outlet": "17", "terminal": "9", "number": "1", "occurredAt": made_at.isoformat()}

    late = await coalition.do("returnPurchase", MONEY, a_return({"operation": earn}, receipt=receipt))
    today = await coalition.do("returnPurchase", MONEY, a_return({"operation": earn}))

    assert late["userErrors"] == [{"code": "LATE_WINDOW_PASSED", "field": ["receipt", "occurredAt"]}]
    assert today["userErrors"] == []


async def test_a_mistake_is_undone_by_its_partner_within_the_late_window_and_later_by_the_operator(
    coalition: Coalition,
) -> None:
    _, earn = await bought(coalition)
    posted_at = coalition.now
    undo = {"operation": earn, "reason": "the wrong member"}

    await coalition.services.ledger.advance(posted_at + timedelta(days=30, seconds=1))
    late = await coalition.do("reverse", MONEY, undo | {"idempotencyKey": a_key()})
    in_a_batch = await coalition.do(
        "postBatch",
        "outcomes { userErrors { code } }",
        {"items": [{"reverse": undo | {"idempotencyKey": a_key()}}]},
    )
    by_operator = await coalition.do("reverse", MONEY, undo | {"idempotencyKey": a_key()}, as_="operator")

    assert late["userErrors"] == [{"code": "LATE_WINDOW_PASSED", "field": ["operation"]}]
    assert in_a_batch["outcomes"][0]["userErrors"] == [{"code": "LATE_WINDOW_PASSED"}]
    assert by_operator["userErrors"] == []


async def test_a_mistake_can_be_undone_for_a_day_where_no_receipt_is_taken_late(coalition: Coalition) -> None:
    async with coalition.services.database.writer.begin() as connection:
        terms = Terms(pending_days=0, earn_rate_ppm=100_000, late_window_days=0)
        await make_agreement(connection, 1, terms=terms, at=coalition.now, by=BY)
    await coalition.services.directories.reload()
    earned = await coalition.do("earn", RETURN, an_earn(coalition))
    undo = {"operation": earned["operation"]["id"], "reason": "the wrong member"}

    await coalition.services.ledger.advance(coalition.now + timedelta(hours=23))
    undone = await coalition.do("reverse", MONEY, undo | {"idempotencyKey": a_key()})

    assert undone["userErrors"] == []


async def test_a_suspended_partner_reverses_what_it_took_and_nothing_that_it_gave(
    coalition: Coalition,
) -> None:
    earned = await coalition.do("earn", RETURN, an_earn(coalition, receipt=a_receipt("5000.00")))
    burned = await coalition.do("burn", RETURN, a_burn(coalition, 20))
    async with coalition.services.database.writer.begin() as connection:
        await suspend_partner(connection, 1, reason="arrears", at=coalition.now, by=BY)
    await coalition.services.directories.reload()

    earn, burn = [
        await coalition.do(
            "reverse", MONEY, {"idempotencyKey": a_key(), "operation": each["operation"]["id"], "reason": "r"}
        )
        for each in (earned, burned)
    ]

    assert earn["userErrors"] == [{"code": "PARTNER_SUSPENDED", "field": None}]
    assert burn["userErrors"] == []
