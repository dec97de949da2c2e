"""Staff through the published schema: limits, freezing, grants, donations, and adjustments by two people."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ledger import invariants, proof
from partners import Terms, make_agreement, read_events
from tests.gateway.coalition import (
    BY,
    Coalition,
    a_burn,
    a_caller,
    a_key,
    a_receipt,
    an_earn,
    partner_id,
)

OPERATION = (
    "replayed userErrors { code field limit message } "
    "operation { id kind state points reason balance { available } expiresAt }"
)
ADJUSTMENT = (
    "replayed userErrors { code field } adjustment { id digest state points obligor reason text "
    "proposedBy approvedBy operation refusal }"
)
PHONE = {"phone": "+79161234567"}


def errors(payload: dict[str, Any]) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


async def holds(coalition: Coalition) -> None:
    found = await proof.prove(coalition.services.database.writer, invariants.INVARIANTS)
    assert found.is_ok, found.findings


def a_proposal(points: int = 40, **changes: object) -> dict[str, Any]:
    good = {
        "idempotencyKey": a_key(),
        "member": PHONE,
        "points": points,
        "obligor": partner_id(1),
        "reason": "MISSING_POINTS",
        "text": "receipt 77 was not credited",
    }
    return good | changes


def an_approval(proposed: dict[str, Any], **changes: object) -> dict[str, Any]:
    good = {
        "idempotencyKey": a_key(),
        "adjustment": proposed["id"],
        "digest": proposed["digest"],
    }
    return good | changes


async def test_support_freezes_a_member_and_lets_it_go(coalition: Coalition) -> None:
    coalition.callers["support"] = a_caller("support")
    given = {"idempotencyKey": "f", "member": PHONE, "reason": "a stolen phone"}

    frozen = await coalition.do("freezeMember", OPERATION, given, as_="support")
    again = await coalition.do("freezeMember", OPERATION, given, as_="support")
    refused = await coalition.do("earn", OPERATION, an_earn(coalition))
    free = await coalition.do("unfreezeMember", OPERATION, given | {"idempotencyKey": "u"}, as_="operator")
    earned = await coalition.do("earn", OPERATION, an_earn(coalition))

    assert (frozen["operation"]["kind"], frozen["operation"]["state"]) == ("FREEZE", "DONE")
    assert frozen["operation"]["reason"] == "a stolen phone"
    assert (again["replayed"], again["operation"]["id"]) == (True, frozen["operation"]["id"])
    assert errors(refused) == ["MEMBER_FROZEN"]
    assert (free["operation"]["kind"], earned["operation"]["points"]) == ("UNFREEZE", 100)
    await holds(coalition)


async def test_a_freeze_needs_a_reason(coalition: Coalition) -> None:
    given = {"idempotencyKey": "f", "member": PHONE, "reason": ""}

    refused = await coalition.do("freezeMember", OPERATION, given, as_="operator")

    assert (errors(refused), refused["userErrors"][0]["field"]) == (["INVALID_INPUT"], ["reason"])


async def test_no_partner_and_no_app_may_do_what_staff_does(coalition: Coalition) -> None:
    freeze = "mutation($i: FreezeInput!) { freezeMember(input: $i) { userErrors { code } } }"
    given = {"i": {"idempotencyKey": "f", "member": PHONE, "reason": "x"}}

    for who in ("bakery", "app", "finance"):
        answer = await coalition.ask(freeze, given, as_=who)
        assert answer.json["errors"][0]["extensions"]["code"] == "FORBIDDEN", who


async def test_the_operator_grants_points_in_a_merchants_name(coalition: Coalition) -> None:
    given = {
        "idempotencyKey": "g",
        "member": PHONE,
        "points": 250,
        "partner": partner_id(2),
        "lifetimeDays": 10,
        "reason": "spring campaign",
    }

    granted = await coalition.do("grantPoints", OPERATION, given, as_="operator")
    again = await coalition.do("grantPoints", OPERATION, given, as_="operator")
    own = await coalition.do(
        "grantPoints",
        OPERATION,
        {"idempotencyKey": "o", "member": PHONE, "points": 1, "reason": "welcome"},
        as_="operator",
    )
    burned = await coalition.do("burn", OPERATION, a_burn(coalition, 251))

    assert granted["operation"] | {"id": ""} == {
        "id": "",
        "kind": "GRANT",
        "state": "AVAILABLE",
        "points": 250,
        "reason": "spring campaign",
        "balance": {"available": 250},
        "expiresAt": "2026-01-11T21:00:00Z",
    }
    assert again["operation"]["id"] == granted["operation"]["id"]
    assert (own["operation"]["balance"]["available"], errors(burned)) == (251, [])
    directory = await coalition.services.directories.reload()
    assert [tariff.obligor for tariff in directory.tariffs.values()].count(0) == 1
    await holds(coalition)


async def test_a_grant_that_makes_no_sense_is_refused(coalition: Coalition) -> None:
    good: dict[str, Any] = {"idempotencyKey": "g", "member": PHONE, "points": 1, "reason": "x"}
    wrong: list[dict[str, Any]] = [
        {"points": 0},
        {"points": -5},
        {"lifetimeDays": 0},
        {"partner": partner_id(99)},
        {"reason": "x" * 201},
        {"member": {"phone": "+79990000000"}},
    ]

    answers = [await coalition.do("grantPoints", OPERATION, good | each, as_="operator") for each in wrong]

    assert [errors(answer)[0] for answer in answers] == [
        "INVALID_INPUT",
        "INVALID_INPUT",
        "INVALID_INPUT",
        "PARTNER_UNKNOWN",
        "INVALID_INPUT",
        "MEMBER_NOT_FOUND",
    ]


async def test_points_are_donated_to_a_charity_and_to_nobody_else(coalition: Coalition) -> None:
    async with coalition.services.database.writer.begin() as connection:
        terms = Terms(is_charity=True)
        await make_agreement(connection, 2, terms=terms, at=coalition.now, by=BY)
    await coalition.services.directories.reload()
    await coalition.do("earn", OPERATION, an_earn(coalition))

    def a_donation(points: int, charity: int) -> dict[str, Any]:
        return {
            "idempotencyKey": a_key(),
            "member": PHONE,
            "charity": partner_id(charity),
            "points": points,
            "reason": "letter 12",
        }

    answers = [
        await coalition.do("donatePoints", OPERATION, a_donation(points, charity), as_="operator")
        for points, charity in ((60, 2), (60, 2), (1, 1), (0, 2))
    ]

    assert [errors(answer) for answer in answers] == [
        [],
        ["INSUFFICIENT_POINTS"],
        ["NOT_A_CHARITY"],
        ["INVALID_INPUT"],
    ]
    assert answers[0]["operation"]["kind"] == "DONATE"
    assert answers[0]["operation"]["balance"]["available"] == 40
    await holds(coalition)


async def test_two_people_adjust(coalition: Coalition) -> None:
    proposed = (await coalition.do("adjust", ADJUSTMENT, a_proposal(), as_="operator"))["adjustment"]
    before = await coalition.services.ledger.balance(coalition.member)
    own = await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(proposed), as_="operator")
    given = an_approval(proposed)
    posted = await coalition.do("approveAdjustment", ADJUSTMENT, given, as_="finance")
    again = await coalition.do("approveAdjustment", ADJUSTMENT, given, as_="finance")

    assert (proposed["state"], before.available) == ("PROPOSED", 0)
    assert errors(own) == ["APPROVER_IS_MAKER"]
    assert posted["adjustment"] | {"id": "", "digest": "", "operation": ""} == {
        "id": "",
        "digest": "",
        "state": "POSTED",
        "points": 40,
        "obligor": partner_id(1),
        "reason": "MISSING_POINTS",
        "text": "receipt 77 was not credited",
        "proposedBy": "staff:operator",
        "approvedBy": "staff:finance",
        "operation": "",
        "refusal": None,
    }
    assert again["replayed"]
    assert (await coalition.services.ledger.balance(coalition.member)).available == 40
    adjusters = await coalition.ask("{ adjusters(period: 1) }", as_="finance")
    assert adjusters.data["adjusters"] == ["staff:finance", "staff:operator"]
    await holds(coalition)


async def test_a_proposal_and_its_approval_are_in_the_log_of_events_once_each(coalition: Coalition) -> None:
    async with coalition.services.database.writer.connect() as connection:
        before = (await read_events(connection, after=0))[-1].height
    given = a_proposal()
    made = (await coalition.do("adjust", ADJUSTMENT, given, as_="operator"))["adjustment"]
    await coalition.do("adjust", ADJUSTMENT, given, as_="operator")
    await coalition.do("adjust", ADJUSTMENT, a_proposal(0), as_="operator")
    await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(made), as_="operator")
    for _ in range(2):  # the second goes on with what was approved, under a key of its own
        await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(made), as_="finance")
    own = a_proposal(3, obligor=None)
    await coalition.do("adjust", ADJUSTMENT, own, as_="finance")

    async with coalition.services.database.writer.connect() as connection:
        events = [each for each in await read_events(connection, after=before) if "adjust" in each.kind]

    told = [(each.kind, each.partner, each.body["by"], each.body["points"]) for each in events]
    assert told == [
        ("adjustment.proposed", 1, "staff:operator", 40),
        ("adjustment.approved", 1, "staff:finance", 40),
        ("adjustment.proposed", None, "staff:finance", 3),
    ]
    assert {each.body["digest"] for each in events[:2]} == {made["digest"]}
    assert "receipt 77" not in str(events)


async def test_a_client_and_whoever_registered_it_are_one_person(coalition: Coalition) -> None:
    """Down to the client of a client. Two that somebody else has registered are two people."""
    await register(coalition, "child", by="operator")
    await register(coalition, "sister", by="operator")
    await register(coalition, "grandchild", by="child")
    pairs = [
        ("operator", "child"),
        ("child", "operator"),
        ("operator", "grandchild"),
        ("grandchild", "operator"),
    ]

    refused = [await adjusted(coalition, *pair) for pair in pairs]
    posted = await adjusted(coalition, "child", "sister")

    assert [errors(each) for each in refused] == [["APPROVER_IS_MAKER"]] * 4
    assert errors(posted) == []
    assert (await coalition.services.ledger.balance(coalition.member)).available == 40
    await holds(coalition)


async def register(coalition: Coalition, name: str, *, by: str) -> None:
    """Let a client register another one of the operator's kind, which asks under `name` from then on."""
    given = {"kind": "OPERATOR", "name": name, "scopes": ["points:approve", "programme:manage"]}
    made = await coalition.do(
        "createClient", "client { clientId }", given | {"idempotencyKey": a_key()}, as_=by
    )
    id_ = made["client"]["clientId"]
    coalition.callers[name] = a_caller("operator", client_id=id_, principal=f"staff:{id_}")


async def adjusted(coalition: Coalition, maker: str, approver: str) -> dict[str, Any]:
    """What an approver is answered about what a maker has proposed."""
    proposed = (await coalition.do("adjust", ADJUSTMENT, a_proposal(), as_=maker))["adjustment"]
    answer: dict[str, Any] = await coalition.do(
        "approveAdjustment", ADJUSTMENT, an_approval(proposed), as_=approver
    )
    return answer


async def test_an_approval_is_bound_to_what_was_proposed(coalition: Coalition) -> None:
    proposed = (await coalition.do("adjust", ADJUSTMENT, a_proposal(), as_="operator"))["adjustment"]
    other = (await coalition.do("adjust", ADJUSTMENT, a_proposal(4_000), as_="operator"))["adjustment"]
    wrong = [
        {"digest": other["digest"]},
        {"digest": "00" * 32},
        {"digest": "nonsense"},
        {"adjustment": partner_id(1)},
        {"adjustment": "QWRqdXN0bWVudDo5OQ"},
    ]

    answers = [
        await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(proposed, **each), as_="finance")
        for each in wrong
    ]

    assert [errors(answer)[0] for answer in answers] == [
        "PROPOSAL_CHANGED",
        "PROPOSAL_CHANGED",
        "INVALID_INPUT",
        "INVALID_INPUT",
        "ADJUSTMENT_UNKNOWN",
    ]
    assert (await coalition.services.ledger.balance(coalition.member)).available == 0


async def test_a_proposal_expires_and_a_second_approver_is_too_late(coalition: Coalition) -> None:
    coalition.callers["second"] = a_caller("finance", principal="staff:second")
    old = (await coalition.do("adjust", ADJUSTMENT, a_proposal(), as_="operator"))["adjustment"]
    await coalition.services.ledger.advance(coalition.now + timedelta(days=7))
    new = (await coalition.do("adjust", ADJUSTMENT, a_proposal(), as_="operator"))["adjustment"]
    await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(new), as_="finance")

    expired = await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(old), as_="finance")
    late = await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(new), as_="second")
    listed = await coalition.ask(
        "{ adjustments { nodes { state } } waiting: adjustments(waiting: true) { nodes { state } } }",
        as_="finance",
    )

    assert (errors(expired), errors(late)) == (["PROPOSAL_EXPIRED"], ["ALREADY_APPROVED"])
    assert [node["state"] for node in listed.data["adjustments"]["nodes"]] == ["POSTED", "EXPIRED"]
    assert [node["state"] for node in listed.data["waiting"]["nodes"]] == ["EXPIRED"]


async def test_an_adjustment_below_zero_is_refused_for_good(coalition: Coalition) -> None:
    await coalition.do("earn", OPERATION, an_earn(coalition))
    made = (await coalition.do("adjust", ADJUSTMENT, a_proposal(-101), as_="operator"))["adjustment"]
    fits = (await coalition.do("adjust", ADJUSTMENT, a_proposal(-100), as_="operator"))["adjustment"]

    refused = await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(made), as_="finance")
    taken = await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(fits), as_="finance")

    assert (refused["adjustment"]["state"], refused["adjustment"]["refusal"]) == (
        "REFUSED",
        "INSUFFICIENT_POINTS",
    )
    assert taken["adjustment"]["state"] == "POSTED"
    assert (await coalition.services.ledger.balance(coalition.member)).available == 0
    await holds(coalition)


async def test_a_suspended_partner_pays_for_no_new_points(coalition: Coalition) -> None:
    """Once it has left nobody would take them over; what is taken from it still goes."""
    await coalition.do("earn", OPERATION, an_earn(coalition))
    gives, takes = [
        (await coalition.do("adjust", ADJUSTMENT, a_proposal(points), as_="operator"))["adjustment"]
        for points in (40, -40)
    ]
    suspension = {"idempotencyKey": a_key(), "partner": partner_id(1), "reason": "it leaves"}
    await coalition.do("suspendPartner", "userErrors { code }", suspension, as_="operator")

    late = await coalition.do("adjust", ADJUSTMENT, a_proposal(), as_="operator")
    refused = await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(gives), as_="finance")
    taken = await coalition.do("approveAdjustment", ADJUSTMENT, an_approval(takes), as_="finance")

    assert late["userErrors"] == [{"code": "INVALID_INPUT", "field": ["obligor"]}]
    assert (refused["adjustment"]["state"], refused["adjustment"]["refusal"]) == (
        "REFUSED",
        "PARTNER_SUSPENDED",
    )
    assert taken["adjustment"]["state"] == "POSTED"
    assert (await coalition.services.ledger.balance(coalition.member)).available == 60
    await holds(coalition)


async def test_the_operator_limits_the_programme_and_an_agreement(coalition: Coalition) -> None:
    limited = await coalition.do(
        "limitProgramme",
        "userErrors { code field } programme { limits { earnedPerDay windowSeconds burnedPerDay } }",
        {"idempotencyKey": "l", "limits": {"earnedPerDay": 150}},
        as_="operator",
    )
    terms = {"earnRate": "0.1", "pendingDays": 0, "limits": {"operationsPerMinute": 2}}
    agreed = await coalition.do(
        "makeAgreement",
        "userErrors { code field } agreement { terms { limits { operationsPerMinute } issuanceWindow } }",
        {"idempotencyKey": "a", "partner": partner_id(1), "terms": terms | {"issuanceWindow": "MONTH"}},
        as_="operator",
    )

    answers = [await coalition.do("earn", OPERATION, an_earn(coalition)) for _ in range(2)]
    zero = await coalition.do("earn", OPERATION, an_earn(coalition, receipt=a_receipt("0.10")))
    third = await coalition.do("earn", OPERATION, an_earn(coalition, receipt=a_receipt("0.10")))

    assert limited["programme"]["limits"] == {
        "earnedPerDay": 150,
        "windowSeconds": 2_592_000,
        "burnedPerDay": None,
    }
    assert agreed["agreement"]["terms"] == {
        "limits": {"operationsPerMinute": 2},
        "issuanceWindow": "MONTH",
    }
    assert [error["limit"] for error in answers[1]["userErrors"]] == ["programme/earned_per_day"]
    assert errors(zero) == []
    assert [error["limit"] for error in third["userErrors"]] == ["partner:1/operations_per_minute"]
    await holds(coalition)


async def test_a_limit_that_makes_no_sense_says_where(coalition: Coalition) -> None:
    negative = await coalition.do(
        "limitProgramme",
        "userErrors { code field }",
        {"idempotencyKey": "l", "limits": {"earnedPerDay": -1}},
        as_="operator",
    )
    in_terms = await coalition.do(
        "makeAgreement",
        "userErrors { code field }",
        {
            "idempotencyKey": "a",
            "partner": partner_id(1),
            "terms": {"limits": {"earnedPerDay": 1, "windowSeconds": 0}},
        },
        as_="operator",
    )

    assert negative["userErrors"] == [{"code": "INVALID_INPUT", "field": ["limits", "earnedPerDay"]}]
    assert in_terms["userErrors"] == [
        {"code": "INVALID_INPUT", "field": ["terms", "limits", "windowSeconds"]}
    ]
