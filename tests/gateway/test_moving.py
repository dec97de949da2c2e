"""Transfers, merges, partners that leave and arming, through the published schema."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gateway.caller import Caller
from gateway.worker import drive_novations
from ledger import stock
from members import enrol
from partners import freeze_member
from tests.gateway.coalition import Coalition, a_burn, a_key, an_earn, partner_id
from tests.ledger import builders

FRIEND = "+79160000001"
TRANSFER = "transfer { operation points state balance { available } } replayed userErrors { code field }"
MERGE = "merge { merged survivor balance { available held } } replayed userErrors { code field }"
NOVATION = "novation { partner successor doneAt pointsLeft reason } replayed userErrors { code field }"
ARMING = "arming { members points isComplete } userErrors { code field }"


async def a_friend(coalition: Coalition, phone: str = FRIEND) -> int:
    services = coalition.services
    async with services.database.writer.begin() as connection:
        enrolled = await enrol(connection, services.keys, phone=phone, consents={}, at=coalition.now)
    return enrolled.member


def seen_by_staff(coalition: Coalition, member: int) -> str:
    return coalition.services.handles.seal(0, member)


def a_transfer(coalition: Coalition, points: object = 40, **changes: object) -> dict[str, Any]:
    good = {
        "idempotencyKey": a_key(),
        "sender": {"qr": coalition.qr()},
        "recipient": {"phone": FRIEND},
        "points": points,
    }
    return good | changes


async def available(coalition: Coalition, member: int) -> int:
    return (await coalition.services.ledger.balance(member)).available


async def test_points_are_sent_to_a_phone(coalition: Coalition) -> None:
    friend = await a_friend(coalition)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    given = a_transfer(coalition)

    sent = await coalition.do("transferPoints", TRANSFER, given, as_="app")
    again = await coalition.do("transferPoints", TRANSFER, given, as_="app")

    assert sent["userErrors"] == []
    assert (sent["transfer"]["state"], sent["transfer"]["points"]) == ("ARRIVED", 40)
    assert sent["transfer"]["balance"]["available"] == 60
    assert again == sent | {"replayed": True}
    assert (await available(coalition, coalition.member), await available(coalition, friend)) == (60, 40)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"points": 101}, "INSUFFICIENT_POINTS", ["points"]),
        ({"points": 0}, "INVALID_INPUT", ["points"]),
        ({"recipient": {"phone": "+79160000009"}}, "MEMBER_NOT_FOUND", ["recipient"]),
        ({"recipient": {"phone": "12"}}, "INVALID_INPUT", ["recipient", "phone"]),
        ({"recipient": {"phone": "+79161234567"}}, "TRANSFER_TO_SELF", ["recipient"]),
        ({"sender": {"qr": "A" * 40}}, "MEMBER_NOT_FOUND", ["sender", "qr"]),
        ({"sender": {"phone": "+79161234567"}}, "STEP_UP_REQUIRED", ["sender"]),
    ],
)
async def test_a_transfer_that_cannot_be_is_refused(
    coalition: Coalition, changes: dict[str, object], code: str, field: list[str]
) -> None:
    await a_friend(coalition)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))

    sent = await coalition.do("transferPoints", TRANSFER, a_transfer(coalition) | changes, as_="app")

    assert sent["userErrors"] == [{"code": code, "field": field}]
    assert sent["transfer"] is None
    assert await available(coalition, coalition.member) == 100


async def test_a_sender_proves_presence_and_one_code_sends_once(coalition: Coalition) -> None:
    await a_friend(coalition)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    by_handle = {"handle": seen_by_staff(coalition, coalition.member)}
    code = coalition.qr()

    outcomes = [
        await coalition.do("transferPoints", TRANSFER, a_transfer(coalition, sender=sender), as_="app")
        for sender in (by_handle, {"qr": code}, {"qr": code})
    ]

    assert [each["userErrors"] for each in outcomes] == [
        [{"code": "STEP_UP_REQUIRED", "field": ["sender"]}],
        [],
        [{"code": "MEMBER_TOKEN_USED", "field": ["sender"]}],
    ]


async def test_what_a_frozen_member_refuses_is_back_and_said(coalition: Coalition) -> None:
    friend = await a_friend(coalition)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    await coalition.do("transferPoints", TRANSFER, a_transfer(coalition, 1), as_="app")
    await freeze_member(
        coalition.services.ledger, member=friend, key="f", reason="theft", by="staff:x", at=coalition.now
    )

    await coalition.services.ledger.advance(coalition.now + timedelta(minutes=1))
    sent = await coalition.do("transferPoints", TRANSFER, a_transfer(coalition), as_="app")

    assert sent["transfer"]["state"] == "RETURNED"
    assert sent["userErrors"] == [{"code": "MEMBER_FROZEN", "field": ["recipient"]}]
    assert await available(coalition, coalition.member) == 99


async def test_tills_cannot_transfer_and_partners_cannot_merge(coalition: Coalition) -> None:
    for field, as_ in (
        ("transferPoints", "bakery"),
        ("mergeMembers", "bakery"),
        ("novatePartner", "finance"),
    ):
        type_ = f"{field[0].upper()}{field[1:]}Input!"
        document = f"mutation($i: {type_}) {{ {field}(input: $i) {{ userErrors {{ code }} }} }}"
        given = {
            "transferPoints": a_transfer(coalition),
            "mergeMembers": {"idempotencyKey": "k", "merged": "a", "survivor": "b", "reason": "c"},
            "novatePartner": {"idempotencyKey": "k", "partner": partner_id(1), "reason": "c"},
        }[field]
        answer = await coalition.ask(document, {"i": given}, as_=as_)
        assert (answer.status, answer.code) == (403, "FORBIDDEN")


async def test_two_members_become_one(coalition: Coalition) -> None:
    friend = await a_friend(coalition)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    earlier = an_earn(coalition)
    await coalition.do("earn", "userErrors { code }", earlier)
    await coalition.do("authorizeBurn", "userErrors { code }", a_burn(coalition, 30) | {"ttlSeconds": 600})
    given = {
        "idempotencyKey": a_key(),
        "merged": seen_by_staff(coalition, coalition.member),
        "survivor": seen_by_staff(coalition, friend),
        "reason": "lost the first phone",
    }

    merged = await coalition.do("mergeMembers", MERGE, given, as_="operator")
    again = await coalition.do("mergeMembers", MERGE, given, as_="operator")
    repeat = await coalition.do("earn", "replayed userErrors { code }", earlier)
    resolved = await coalition.do(
        "memberResolve",
        "member { handle balance { available held } } userErrors { code }",
        {"member": {"phone": "+79161234567"}},
    )

    assert merged["userErrors"] == []
    assert merged["merge"]["balance"] == {"available": 170, "held": 30}
    assert again == merged | {"replayed": True}
    assert repeat == {"replayed": True, "userErrors": []}
    assert resolved["member"] == {
        "handle": coalition.services.handles.seal(1, friend),
        "balance": {"available": 170, "held": 30},
    }
    late = await coalition.do("earn", "operation { balance { available } }", an_earn(coalition))
    assert late["operation"]["balance"]["available"] == 270


@pytest.mark.parametrize("reason", ["", " ", "a\0b", "two\nlines", "x" * 201, "x" * 5_000])
async def test_a_merge_whose_reason_cannot_be_kept_is_not_done(coalition: Coalition, reason: str) -> None:
    friend = await a_friend(coalition)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    given = {
        "idempotencyKey": a_key(),
        "merged": seen_by_staff(coalition, coalition.member),
        "survivor": seen_by_staff(coalition, friend),
        "reason": reason,
    }

    refused = await coalition.do("mergeMembers", MERGE, given, as_="operator")
    balance = await coalition.services.ledger.balance(coalition.member)
    merged = await coalition.do("mergeMembers", MERGE, given | {"reason": "one person"}, as_="operator")

    assert refused["userErrors"] == [{"code": "INVALID_INPUT", "field": ["reason"]}]
    assert balance.available == 100
    assert (merged["userErrors"], merged["replayed"]) == ([], False)


@pytest.mark.parametrize("who", ["itself", "twice", "circle", "nobody"])
async def test_a_merge_that_cannot_be_is_refused(coalition: Coalition, who: str) -> None:
    friend = await a_friend(coalition)
    third = await a_friend(coalition, "+79160000002")
    first, second = seen_by_staff(coalition, coalition.member), seen_by_staff(coalition, friend)

    async def merge(merged: str, survivor: str) -> Any:
        given = {"idempotencyKey": a_key(), "merged": merged, "survivor": survivor, "reason": "one person"}
        return await coalition.do("mergeMembers", MERGE, given, as_="operator")

    if who != "itself":
        await merge(first, second)
    asked = {
        "itself": (first, first),
        "twice": (first, seen_by_staff(coalition, third)),
        "circle": (second, first),
        "nobody": (seen_by_staff(coalition, 10**9), second),
    }[who]
    refused = await merge(*asked)

    codes = {"itself": "SAME_PERSON", "twice": "MEMBER_MERGED", "circle": "SAME_PERSON"}
    assert [error["code"] for error in refused["userErrors"]] == [codes.get(who, "MEMBER_NOT_FOUND")]


async def test_a_partner_leaves_and_the_operator_answers_for_its_points(coalition: Coalition) -> None:
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    await coalition.do("authorizeBurn", "userErrors { code }", a_burn(coalition, 30))
    given = {"idempotencyKey": a_key(), "partner": partner_id(1), "reason": "the contract ended"}

    too_early = await coalition.do("novatePartner", NOVATION, given, as_="operator")
    suspended = {"idempotencyKey": a_key(), "partner": partner_id(1), "reason": "it leaves"}
    await coalition.do("suspendPartner", "userErrors { code }", suspended, as_="operator")
    given["idempotencyKey"] = a_key()
    begun = await coalition.do("novatePartner", NOVATION, given, as_="operator")
    back = {"idempotencyKey": a_key(), "partner": partner_id(1)}
    hasty = await coalition.do("reinstatePartner", "userErrors { code }", back, as_="operator")
    again = await coalition.do("novatePartner", NOVATION, given, as_="operator")

    assert [error["code"] for error in too_early["userErrors"]] == ["PARTNER_STILL_TRADING"]
    assert begun["userErrors"] == []
    assert begun["novation"]["pointsLeft"] == 0
    assert begun["novation"]["successor"] is None
    assert hasty == {"userErrors": [{"code": "NOVATION_UNDER_WAY"}]}
    assert again["replayed"]
    assert again["novation"]["doneAt"] is not None
    listed = await coalition.ask(
        "query($p: ID!) { novations(partner: $p) { doneAt pointsLeft reason } }",
        {"p": partner_id(1)},
        as_="operator",
    )
    assert [each["reason"] for each in listed.data["novations"]] == ["the contract ended"]


async def test_what_is_posted_late_for_a_partner_that_left_follows_the_rest(coalition: Coalition) -> None:
    """A gateway that was cut off for a while posts what it had accepted before the partner was suspended."""
    services = coalition.services
    suspended = {"idempotencyKey": a_key(), "partner": partner_id(1), "reason": "it leaves"}
    await coalition.do("suspendPartner", "userErrors { code }", suspended, as_="operator")
    given = {"idempotencyKey": a_key(), "partner": partner_id(1), "reason": "the contract ended"}
    await coalition.do("novatePartner", NOVATION, given, as_="operator")
    await drive_novations(services)
    at = services.clock.now()
    common: dict[str, Any] = {
        "member": coalition.member,
        "occurred_at": at,
        "expires_at": at + timedelta(days=99),
    }
    await services.ledger.submit(builders.an_earn(70, partner=1, obligor=1, tariff=1, terms=1, **common))

    await drive_novations(services)
    await drive_novations(services)

    listed = await coalition.ask(
        "query($p: ID!) { novations(partner: $p) { doneAt pointsLeft } }",
        {"p": partner_id(1)},
        as_="operator",
    )
    assert listed.data["novations"] == [{"doneAt": "2026-01-01T00:00:00Z", "pointsLeft": 0}]
    async with services.database.writer.connect() as connection:
        outstanding = {cell.obligor: cell.points for cell in await stock.live(connection) if cell.points}
    assert outstanding == {0: 70}


async def test_nothing_is_armed_where_nobody_is_told(coalition: Coalition) -> None:
    given = {"idempotencyKey": a_key(), "expiringBefore": "2027-01-01"}

    armed = await coalition.do("armExpiry", ARMING, given, as_="operator")

    assert [error["code"] for error in armed["userErrors"]] == ["NO_NOTICES"]


async def test_scopes_name_who_may(coalition: Coalition) -> None:
    weaker = {name: _without(caller, "members:manage") for name, caller in coalition.callers.items()}
    coalition.callers.update(weaker)
    document = "mutation($i: ArmExpiryInput!) { armExpiry(input: $i) { userErrors { code } } }"

    answer = await coalition.ask(
        document, {"i": {"idempotencyKey": "k", "expiringBefore": "2027-01-01"}}, as_="operator"
    )

    assert (answer.status, answer.code) == (403, "FORBIDDEN")


def _without(caller: Caller, scope: str) -> Caller:
    return Caller(
        client_id=caller.client_id,
        kind=caller.kind,
        partner=caller.partner,
        scopes=caller.scopes - {scope},
        outlets=caller.outlets,
        principal=caller.principal,
    )
