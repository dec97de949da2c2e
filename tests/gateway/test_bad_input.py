"""Bad input has a clear coded answer, and leaves nothing behind in the ledger or the log."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from gateway.http import Limits
from gateway.schema.node import global_id
from ledger.tables import operations
from partners import suspend_partner
from partners.clients import SCOPES
from tests.gateway.calls import send
from tests.gateway.coalition import BY, Coalition, a_burn, a_key, a_receipt, an_earn, partner_id, rub

SELECTION = "operation { points } userErrors { code message field retryable }"
LONG = "x" * 100_000
EARN = (
    "mutation($input: EarnInput!) { earn(input: $input) { operation { points } userErrors { code field } } }"
)


async def recorded(coalition: Coalition) -> int:
    async with coalition.services.database.writer.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(operations)) or 0)


def a_line(**changes: object) -> dict[str, Any]:
    return {"sku": "bread", "unitPrice": rub("10.00")} | changes


def with_line(**changes: object) -> dict[str, Any]:
    return {"receipt": a_receipt(lines=[a_line(), a_line(**changes)])}


LINE = ["receipt", "lines", "1"]


NONSENSE: list[tuple[dict[str, Any], str, list[str]]] = [
    (with_line(quantity="-1"), "INVALID_INPUT", [*LINE, "quantity"]),
    (with_line(quantity="0"), "INVALID_INPUT", [*LINE, "quantity"]),
    (with_line(quantity="1.0001"), "INVALID_INPUT", [*LINE, "quantity"]),
    (with_line(quantity="NaN"), "INVALID_INPUT", [*LINE, "quantity"]),
    (with_line(quantity="1_000"), "INVALID_INPUT", [*LINE, "quantity"]),
    (with_line(quantity="٣"), "INVALID_INPUT", [*LINE, "quantity"]),
    (with_line(quantity="1e2"), "INVALID_INPUT", [*LINE, "quantity"]),
    (with_line(unitPrice=rub(" 1")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("1_000")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("+1")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("1\n")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("10.001")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("-1")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("ten")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("1e999")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (with_line(unitPrice=rub("Infinity")), "INVALID_INPUT", [*LINE, "unitPrice"]),
    (
        with_line(unitPrice={"amount": "10", "currency": "USD"}),
        "INVALID_INPUT",
        [*LINE, "unitPrice", "currency"],
    ),
    (with_line(discount=rub("11.00")), "INVALID_INPUT", [*LINE, "discount"]),
    (with_line(sku=""), "INVALID_INPUT", [*LINE, "sku"]),
    (with_line(sku=LONG), "INVALID_INPUT", [*LINE, "sku"]),
    (with_line(sku="a\x00b"), "INVALID_INPUT", [*LINE, "sku"]),
    ({"receipt": a_receipt(terminal=LONG)}, "INVALID_INPUT", ["receipt", "terminal"]),
    ({"receipt": a_receipt(number="")}, "INVALID_INPUT", ["receipt", "number"]),
    ({"receipt": a_receipt(outlet="no such")}, "OUTLET_UNKNOWN", ["receipt", "outlet"]),
    ({"receipt": a_receipt(lines=[a_line()] * 501)}, "INVALID_INPUT", ["receipt", "lines"]),
    (
        {"receipt": a_receipt(occurredAt="2036-01-01T00:00:00Z")},
        "OCCURRED_AT_OUT_OF_RANGE",
        ["receipt", "occurredAt"],
    ),
    (
        {"receipt": a_receipt(occurredAt="2020-01-01T00:00:00+03:00")},
        "LATE_WINDOW_PASSED",
        ["receipt", "occurredAt"],
    ),
    ({"idempotencyKey": ""}, "INVALID_INPUT", ["idempotencyKey"]),
    ({"idempotencyKey": "k" * 256}, "INVALID_INPUT", ["idempotencyKey"]),
    ({"quote": "no such quote"}, "QUOTE_STALE", ["quote"]),
    ({"member": {"handle": "nonsense"}}, "MEMBER_NOT_FOUND", ["member", "handle"]),
    ({"member": {"qr": "A" * 40}}, "MEMBER_NOT_FOUND", ["member", "qr"]),
    ({"member": {"qr": LONG}}, "MEMBER_NOT_FOUND", ["member", "qr"]),
    ({"member": {"phone": "+79161234500"}}, "MEMBER_NOT_FOUND", ["member"]),
    ({"member": {"phone": "🎈"}}, "INVALID_INPUT", ["member", "phone"]),
    ({"member": {"card": "1234"}}, "INVALID_INPUT", ["member", "card"]),
]


async def test_what_makes_no_sense_is_refused_at_its_place(coalition: Coalition) -> None:
    for changes, code, field in NONSENSE:
        payload = await coalition.do("earn", SELECTION, an_earn(coalition, **changes))

        assert payload["operation"] is None, changes
        assert [(each["code"], each["field"]) for each in payload["userErrors"]] == [(code, field)], changes


async def test_a_batch_refuses_the_same_item_by_item(coalition: Coalition) -> None:
    items = [{"earn": an_earn(coalition, **changes)} for changes, _, _ in NONSENSE]

    payload = await coalition.do("postBatch", f"outcomes {{ {SELECTION} }}", {"items": items})

    said = [
        (each["code"], each["field"]) for outcome in payload["outcomes"] for each in outcome["userErrors"]
    ]
    assert said == [(code, field) for _, code, field in NONSENSE]


def ids_of(kind: str) -> list[str]:
    """Ids with numbers that no such thing ever has: over 32 bits, over 64, and far over."""
    return [global_id(kind, number) for number in (2**31, 2**63 - 1, 2**63, 2**64 + 1, 10**40)]


KINDS = ["Operation", "Hold", "Partner", "Outlet", "Agreement", "Period", "Adjustment", "BalanceImport", "?"]


async def test_an_id_with_a_number_that_nothing_has_is_of_nothing(coalition: Coalition) -> None:
    document = """query($id: ID!, $partner: ID!, $import: ID!) {
      node(id: $id) { id } operation(id: $id) { id }
      partner(id: $partner) { id } balanceImport(id: $import) { id } }"""
    for who in ("operator", "finance"):
        for each in [id_ for kind in KINDS for id_ in ids_of(kind)]:
            answer = await coalition.ask("query($id: ID!) { node(id: $id) { id } }", {"id": each}, as_=who)

            assert "errors" not in answer.json, answer.body
            assert answer.data == {"node": None}
    coalition.callers["all"] = replace(coalition.callers["operator"], scopes=SCOPES)
    of_kinds = [ids_of(kind) for kind in ("Operation", "Partner", "BalanceImport")]
    for ids in zip(*of_kinds, strict=True):
        asked = dict(zip(("id", "partner", "import"), ids, strict=True))
        answer = await coalition.ask(document, asked, as_="all")

        assert "errors" not in answer.json, answer.body
        assert answer.data == dict.fromkeys(("node", "operation", "partner", "balanceImport"))


async def test_what_names_a_thing_by_such_an_id_is_refused(coalition: Coalition) -> None:
    member = {"phone": "+79161234567"}
    refused: list[tuple[str, str, str, dict[str, Any], str, str]] = [
        ("captureBurn", "Hold", "hold", {}, "bakery", "INVALID_INPUT"),
        ("voidBurn", "Hold", "hold", {}, "bakery", "INVALID_INPUT"),
        ("reverse", "Operation", "operation", {"reason": "r"}, "bakery", "INVALID_INPUT"),
        ("approveAdjustment", "Adjustment", "adjustment", {"digest": "00"}, "finance", "INVALID_INPUT"),
        (
            "donatePoints",
            "Partner",
            "charity",
            {"member": member, "points": 1, "reason": "r"},
            "operator",
            "PARTNER_UNKNOWN",
        ),
        ("novatePartner", "Partner", "partner", {"reason": "r"}, "operator", "PARTNER_UNKNOWN"),
    ]
    for mutation, kind, name, given, who, code in refused:
        # The first of them is a good number of an operation, of a hold and of an adjustment.
        for id_ in ids_of(kind)[0 if kind == "Partner" else 2 :]:
            payload = await coalition.do(
                mutation,
                "userErrors { code }",
                given | {"idempotencyKey": a_key(), name: id_},
                as_=who,
            )
            assert [each["code"] for each in payload["userErrors"]] == [code], (mutation, id_)
    for field, kind, code in [
        ("novations(partner: $id) { reason }", "Partner", "PARTNER_UNKNOWN"),
        ("adjustments(after: $id) { nodes { id } }", "Cursor", "INVALID_INPUT"),
        ("balanceImports(after: $id) { nodes { id } }", "BalanceImport", "INVALID_INPUT"),
    ]:
        for id_ in ids_of(kind)[0 if kind != "Cursor" else 2 :]:
            type_ = "ID!" if kind == "Partner" else "String"
            answer = await coalition.ask(f"query($id: {type_}) {{ {field} }}", {"id": id_}, as_="operator")
            assert answer.code == code, (field, answer.body)


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_an_instant_that_utc_has_no_year_for_is_none(coalition: Coalition, instant: str) -> None:
    questions = [
        "programmeStanding(asOf: $at) { issued }",
        f'balanceAsOf(handle: "{coalition.handle(0)}", asOf: $at) {{ available }}',
        f'partner(id: "{partner_id(1)}") {{ standing(asOf: $at) {{ redeemedHere }} }}',
    ]
    terms = {"idempotencyKey": a_key(), "partner": partner_id(1), "terms": {}, "startsAt": instant}

    answers = [
        await coalition.ask(f"query($at: DateTime!) {{ {each} }}", {"at": instant}, as_="operator")
        for each in questions
    ]
    moved = await coalition.do("advanceClock", "userErrors { code field }", {"to": instant}, as_="operator")
    agreed = await coalition.do("makeAgreement", "userErrors { code field }", terms, as_="operator")

    assert [answer.code for answer in answers] == ["INVALID_INPUT"] * 3
    assert moved["userErrors"] == [{"code": "INVALID_INPUT", "field": ["to"]}]
    assert agreed["userErrors"] == [{"code": "INVALID_INPUT", "field": ["startsAt"]}]


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_an_instant_that_the_database_takes_for_infinity_is_not_kept(
    coalition: Coalition, instant: str
) -> None:
    terms = {"idempotencyKey": a_key(), "partner": partner_id(1), "terms": {}, "startsAt": instant}

    moved = await coalition.do("advanceClock", "userErrors { code field }", {"to": instant}, as_="operator")
    agreed = await coalition.do("makeAgreement", "userErrors { code field }", terms, as_="operator")

    assert moved["userErrors"] == [{"code": "INVALID_INPUT", "field": ["to"]}]
    assert agreed["userErrors"] == [{"code": "INVALID_INPUT", "field": ["startsAt"]}]


async def test_the_first_instant_that_there_is_is_one(coalition: Coalition) -> None:
    document = """query($at: DateTime!, $id: ID!, $handle: String!) {
      programmeStanding(asOf: $at) { issued } balanceAsOf(handle: $handle, asOf: $at) { available }
      partner(id: $id) { standing(asOf: $at) { redeemedHere } } }"""
    asked = {"at": "0001-01-01T00:00:00Z", "id": partner_id(1), "handle": coalition.handle(0)}

    answer = await coalition.ask(document, asked, as_="operator")

    assert answer.data["programmeStanding"] == {"issued": 0}


TEXTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("revokeClient", {"clientId": "\0"}, ["clientId"]),
    ("rotateClientSecret", {"clientId": "a\0b"}, ["clientId"]),
    ("createPartner", {"name": "a\0b"}, ["name"]),
    ("createClient", {"kind": "APP", "name": "app", "scopes": ["members:enrol", "\0"]}, ["scopes", "1"]),
    ("suspendPartner", {"partner": partner_id(1), "reason": "a\0b"}, ["reason"]),
    ("novatePartner", {"partner": partner_id(1), "reason": "a\0b"}, ["reason"]),
    ("freezeMember", {"member": {"phone": "\0"}, "reason": "r"}, ["member", "phone"]),
    ("liftFence", {"reason": "a\0b"}, ["reason"]),
    (
        "makeAgreement",
        {"partner": partner_id(1), "terms": {"excludedCategories": ["\0"]}},
        [
            "terms",
            "excludedCategories",
            "0",
        ],
    ),
    (
        "openOutlets",
        {"partner": partner_id(1), "outlets": [{"code": "1", "name": "\0"}]},
        [
            "outlets",
            "0",
            "name",
        ],
    ),
]


async def test_no_text_holds_a_nul(coalition: Coalition) -> None:
    for field, given, path in TEXTS:
        payload = await coalition.do(
            field, "userErrors { code field }", given | {"idempotencyKey": a_key()}, as_="operator"
        )

        assert payload["userErrors"] == [{"code": "INVALID_INPUT", "field": path}], field


async def test_a_nul_written_into_the_document_is_none_either_and_its_name_is_a_text(
    coalition: Coalition,
) -> None:
    document = """mutation($key: String!) { revokeClient(input: { idempotencyKey: $key, clientId: "%s" })
      { userErrors { code field } } }"""

    answers = [
        await coalition.ask(document % text, {"key": a_key()}, as_="operator")
        for text in ("\\u0000", "\\u{0}", "\\\\u0000")
    ]

    said = [answer.data["revokeClient"]["userErrors"][0]["code"] for answer in answers]
    assert said == ["INVALID_INPUT", "INVALID_INPUT", "CLIENT_UNKNOWN"]


async def test_half_a_character_is_no_text(coalition: Coalition) -> None:
    document = "mutation($input: ClientInput!) { revokeClient(input: $input) { userErrors { code field } } }"
    variables = b'{"input": {"idempotencyKey": "k", "clientId": "\\ud800"}}'
    body = b'{"query": ' + json.dumps(document).encode() + b', "variables": ' + variables + b"}"

    answer = await send(
        coalition.endpoint,
        body,
        headers={"content-type": "application/json", "authorization": "Bearer operator"},
    )

    assert (answer.status, answer.code) == (400, "BAD_REQUEST"), answer.body


async def test_emoji_are_names_like_any_other(coalition: Coalition) -> None:
    receipt = a_receipt(terminal="🛒", lines=[a_line(sku="🥐", category="☕")])

    payload = await coalition.do("earn", SELECTION, an_earn(coalition, receipt=receipt))

    assert payload["userErrors"] == []


async def test_points_are_whole_numbers(coalition: Coalition) -> None:
    document = "mutation($input: BurnInput!) { burn(input: $input) { replayed } }"
    for points in (1.5, "5", None, True, 2**53 + 1, [1, 2]):
        answer = await coalition.ask(document, {"input": a_burn(coalition, points)})

        assert answer.code == "INVALID_INPUT", points
        assert "points" in answer.json["errors"][0]["message"], points


async def test_points_are_more_than_zero(coalition: Coalition) -> None:
    for points in (0, -5, -(2**53)):
        payload = await coalition.do("burn", SELECTION, a_burn(coalition, points))

        refused = payload["userErrors"][0]
        assert (refused["code"], refused["field"]) == ("INVALID_INPUT", ["points"]), points


async def test_a_member_is_named_in_exactly_one_way(coalition: Coalition) -> None:
    ways: list[object] = [
        {},
        {"qr": None},
        {"qr": "x", "card": "y"},
        {"name": "A"},
        "x",
        None,
        {"handle": []},
    ]
    for member in ways:
        answer = await coalition.ask(EARN, {"input": an_earn(coalition, member=member)})

        assert answer.code == "INVALID_INPUT", member


async def test_an_instant_needs_its_offset(coalition: Coalition) -> None:
    for instant in ("2026-01-01T00:00:00", "2026-01-01", "yesterday", 0, "2026-13-01T00:00:00Z"):
        given = an_earn(coalition, receipt=a_receipt(occurredAt=instant))

        assert (await coalition.ask(EARN, {"input": given})).code == "INVALID_INPUT", instant


async def test_another_partners_handle_means_nobody(coalition: Coalition) -> None:
    given = an_earn(coalition, member={"handle": coalition.handle(partner=2)})

    payload = await coalition.do("earn", SELECTION, given)

    assert payload["userErrors"][0]["code"] == "MEMBER_NOT_FOUND"


async def test_another_partners_hold_is_no_hold(coalition: Coalition) -> None:
    await coalition.do("earn", SELECTION, an_earn(coalition))
    held = await coalition.do("authorizeBurn", "operation { hold { id } }", a_burn(coalition))
    hold = held["operation"]["hold"]["id"]

    payload = await coalition.do(
        "captureBurn", SELECTION, {"idempotencyKey": "k", "hold": hold}, as_="cinema"
    )

    assert payload["userErrors"][0]["code"] == "HOLD_NOT_FOUND"


async def test_a_receipt_is_posted_once_whatever_its_key(coalition: Coalition) -> None:
    receipt = a_receipt()
    await coalition.do("earn", SELECTION, an_earn(coalition, receipt=receipt))

    payload = await coalition.do("earn", SELECTION, an_earn(coalition, receipt=receipt))

    refused = payload["userErrors"][0]
    assert (refused["code"], refused["field"]) == ("DUPLICATE_RECEIPT", ["receipt", "number"])


async def test_a_suspended_partner_gives_nothing_and_a_repeat_is_still_answered(coalition: Coalition) -> None:
    given = an_earn(coalition)
    await coalition.do("earn", SELECTION, given)
    async with coalition.services.database.writer.begin() as connection:
        await suspend_partner(connection, 1, reason="arrears", at=coalition.now, by=BY)
    await coalition.services.directories.reload()

    repeat = await coalition.do("earn", SELECTION, given)
    fresh = await coalition.do("earn", SELECTION, an_earn(coalition))

    assert repeat["operation"] == {"points": 100}
    assert fresh["userErrors"][0]["code"] == "PARTNER_SUSPENDED"


async def test_a_client_bound_to_outlets_posts_in_no_other(coalition: Coalition) -> None:
    coalition.callers["bakery"] = replace(coalition.callers["bakery"], outlets=frozenset({2}))

    payload = await coalition.do("earn", SELECTION, an_earn(coalition))

    assert payload["userErrors"][0]["code"] == "OUTLET_UNKNOWN"


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [(None, 401, "UNAUTHENTICATED"), ("forged", 401, "UNAUTHENTICATED"), ("finance", 403, "FORBIDDEN")],
)
async def test_who_may_not_is_told_so_and_nothing_is_posted(
    coalition: Coalition, token: str | None, status: int, code: str
) -> None:
    answer = await coalition.ask(EARN, {"input": an_earn(coalition)}, as_=token)

    assert (answer.status, answer.code) == (status, code)
    assert "data" not in answer.json
    assert await recorded(coalition) == 0


async def test_a_body_over_the_limit_is_refused(coalition: Coalition) -> None:
    limit = Limits().body_bytes

    answer = await send(coalition.endpoint, b"{" * (limit + 1), headers={"content-type": "application/json"})

    assert (answer.status, answer.code) == (413, "BAD_REQUEST")


async def test_refusals_leave_nothing_in_the_log(coalition: Coalition) -> None:
    with capture_logs() as logged:
        await coalition.do("earn", SELECTION, an_earn(coalition, member={"phone": "+79161234500"}))
        await coalition.ask(EARN, {"input": an_earn(coalition, member={"phone": 5})})
        await coalition.ask(EARN, {"input": an_earn(coalition)}, as_="forged")

    assert logged == []
    assert await recorded(coalition) == 0


async def test_misses_are_limited_and_hits_are_not(coalition: Coalition) -> None:
    miss = an_earn(coalition, member={"phone": "+79161234500"})
    items = [{"earn": miss | {"idempotencyKey": f"m{number}"}} for number in range(500)]
    for _ in range(2):
        await coalition.do("postBatch", "outcomes { replayed }", {"items": items})

    third = await coalition.do(
        "postBatch", "outcomes { replayed } userErrors { code retryable }", {"items": items}
    )

    assert third["outcomes"] is None
    assert third["userErrors"] == [{"code": "THROTTLED", "retryable": True}]


async def test_a_batch_costs_an_item_each(coalition: Coalition) -> None:
    document = "mutation($input: PostBatchInput!) { postBatch(input: $input) { outcomes { replayed } } }"
    items = [{"earn": an_earn(coalition)} for _ in range(7)]

    cost = (await coalition.ask(document, {"input": {"items": items}})).json["extensions"]["cost"]

    assert cost["actual"] == cost["requested"] == 10 + 1 + 7


async def test_a_quote_is_good_for_its_own_receipt_and_while_it_lasts(coalition: Coalition) -> None:
    receipt = a_receipt()
    given = {"member": {"handle": coalition.handle()}, "receipt": receipt}
    quoted = await coalition.do("quote", "quote { token }", given)
    token = quoted["quote"]["token"]

    other = await coalition.do("earn", SELECTION, an_earn(coalition, quote=token))
    await coalition.services.ledger.advance(coalition.now + timedelta(hours=1))
    late = await coalition.do("earn", SELECTION, an_earn(coalition, receipt=receipt, quote=token))

    assert [each["userErrors"][0]["code"] for each in (other, late)] == ["QUOTE_STALE", "QUOTE_STALE"]
