"""Members through the published schema: enrolled, found, and known to a partner no more than is needed."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from gateway.http import Limits
from members import consents_of, find, forget, make_token
from partners.tables import requests
from tests.gateway.coalition import PHONE, Coalition, a_burn, a_key, an_earn

ENROLMENT = "replayed userErrors { code field } enrolment { handle cardNumber cardKey isNew }"
MEMBER = """userErrors { code field } member { handle maskedName enrolledAt mayBurn balance { available } }"""
NEW_PHONE = "+79160000001"


def an_enrolment(**changes: object) -> dict[str, Any]:
    good = {
        "idempotencyKey": a_key(),
        "identifier": {"phone": NEW_PHONE},
        "name": "Ёлка 🎄",
        "consents": [{"purpose": "marketing_sms", "granted": True}],
    }
    return good | changes


async def test_the_same_phone_is_the_same_member(coalition: Coalition) -> None:
    first = await coalition.do("memberEnrol", ENROLMENT, an_enrolment())
    again = await coalition.do("memberEnrol", ENROLMENT, an_enrolment())

    assert first["enrolment"]["isNew"]
    assert again["enrolment"] == first["enrolment"] | {"isNew": False}
    assert not again["replayed"]


async def test_a_repeated_enrolment_is_the_first_answer(coalition: Coalition) -> None:
    given = an_enrolment()
    first = await coalition.do("memberEnrol", ENROLMENT, given)

    again = await coalition.do("memberEnrol", ENROLMENT, given)

    assert again == first | {"replayed": True}


async def test_a_repeat_brings_back_nobody_who_was_erased(coalition: Coalition) -> None:
    given = an_enrolment()
    enrolment = (await coalition.do("memberEnrol", ENROLMENT, given))["enrolment"]
    database = coalition.services.database
    async with database.writer.begin() as connection:
        member = await find(connection, coalition.services.keys, phone=NEW_PHONE)
        assert member is not None
        await forget(connection, member, at=coalition.now)

    again = await coalition.do("memberEnrol", ENROLMENT, given)
    anew = await coalition.do("memberEnrol", ENROLMENT, an_enrolment())

    assert [error["code"] for error in again["userErrors"]] == ["MEMBER_FORGOTTEN"]
    assert anew["enrolment"]["isNew"]
    assert anew["enrolment"]["cardNumber"] != enrolment["cardNumber"]


async def test_an_enrolment_under_a_used_key_is_a_conflict(coalition: Coalition) -> None:
    given = an_enrolment()
    await coalition.do("memberEnrol", ENROLMENT, given)

    other = given | {"identifier": {"phone": "+79160000002"}}

    payload = await coalition.do("memberEnrol", ENROLMENT, other)
    assert payload["userErrors"][0]["code"] == "IDEMPOTENCY_CONFLICT"


async def test_what_is_kept_of_an_enrolment_tells_no_phone(coalition: Coalition) -> None:
    await coalition.do("memberEnrol", ENROLMENT, an_enrolment())

    async with coalition.services.database.writer.connect() as connection:
        (kept,) = (await connection.execute(select(requests.c.answer))).all()
    assert b"9160000001" not in kept.answer


async def test_only_the_members_app_is_given_the_key_of_the_card(coalition: Coalition) -> None:
    at_till = await coalition.do("memberEnrol", ENROLMENT, an_enrolment())
    in_app = await coalition.do("memberEnrol", ENROLMENT, an_enrolment(), as_="app")

    assert at_till["enrolment"]["cardKey"] is None
    key = urlsafe_b64decode(in_app["enrolment"]["cardKey"])
    code = make_token(key, in_app["enrolment"]["cardNumber"], coalition.now)
    await coalition.do("earn", "userErrors { code }", an_earn(coalition, member={"qr": code}))
    burned = await coalition.do("burn", "operation { points }", a_burn(coalition, 100, member={"qr": code}))
    assert burned["operation"] == {"points": 100}


async def test_a_member_is_resolved_by_what_is_presented(coalition: Coalition) -> None:
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    old = coalition.qr(coalition.now - timedelta(minutes=5))
    presented = [
        ({"qr": coalition.qr()}, True),
        ({"qr": old}, False),
        ({"card": coalition.card_number}, False),
        ({"phone": PHONE}, False),
        ({"handle": coalition.handle()}, False),
    ]
    for member, may_burn in presented:
        payload = await coalition.do("memberResolve", MEMBER, {"member": member})

        assert payload["member"] == {
            "handle": coalition.handle(),
            "maskedName": "А••• П•••",
            "enrolledAt": "2026-01-01T00:00:00Z",
            "mayBurn": may_burn,
            "balance": {"available": 100},
        }


async def test_a_handle_is_of_one_partner(coalition: Coalition) -> None:
    payload = await coalition.do("memberResolve", MEMBER, {"member": {"phone": PHONE}}, as_="cinema")

    assert payload["member"]["handle"] == coalition.handle(partner=2) != coalition.handle()


async def test_who_is_no_member_is_not_found(coalition: Coalition) -> None:
    for member in ({"phone": NEW_PHONE}, {"qr": "A" * 40}, {"handle": coalition.handle(partner=2)}):
        payload = await coalition.do("memberResolve", MEMBER, {"member": member})

        assert payload["member"] is None
        assert payload["userErrors"][0]["code"] == "MEMBER_NOT_FOUND"


async def test_a_wrong_enrolment_says_where(coalition: Coalition) -> None:
    wrong: list[tuple[dict[str, Any], list[str]]] = [
        ({"identifier": {"phone": "12"}}, ["identifier", "phone"]),
        ({"identifier": {"card": "1234567890123456"}}, ["identifier", "card"]),
        ({"name": "x" * 100_000}, ["name"]),
        ({"consents": [{"purpose": "Not a purpose", "granted": True}]}, ["consents"]),
        ({"idempotencyKey": ""}, ["idempotencyKey"]),
    ]
    for changes, field in wrong:
        payload = await coalition.do("memberEnrol", ENROLMENT, an_enrolment(**changes))

        assert payload["userErrors"] == [{"code": "INVALID_INPUT", "field": field}]
    async with coalition.services.database.writer.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM members")) == 1


async def test_a_partner_only_withdraws_consents_of_a_member_who_was_there_before(
    coalition: Coalition,
) -> None:
    async def says(as_: str, **consents: bool) -> dict[str, bool]:
        stated = [{"purpose": purpose, "granted": granted} for purpose, granted in consents.items()]
        await coalition.do("memberEnrol", ENROLMENT, an_enrolment(consents=stated), as_=as_)
        async with coalition.services.database.writer.connect() as connection:
            member = await find(connection, coalition.services.keys, phone=NEW_PHONE)
            assert member is not None
            return {each.purpose: each.granted for each in await consents_of(connection, member)}

    assert await says("bakery", sms=True, email=False) == {"sms": True, "email": False}
    assert await says("cinema", sms=True, email=True, post=True) == {"sms": True, "email": False}
    assert await says("cinema", sms=False, email=True) == {"sms": False, "email": False}
    assert await says("app", sms=True, post=True) == {"sms": True, "email": False, "post": True}


@pytest.fixture
def few_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two identifiers of nobody at once."""
    monkeypatch.setattr("gateway.context.MISSES_PER_CLIENT", Limits(budget=2, restore_per_second=1))


@pytest.mark.usefixtures("few_misses")
async def test_a_partner_enrols_no_faster_than_it_may_look_for_members(coalition: Coalition) -> None:
    async def refusals(phones: range, as_: str) -> list[str]:
        asked = [an_enrolment(identifier={"phone": f"+7916{number:07}"}) for number in phones]
        answers = [await coalition.do("memberEnrol", ENROLMENT, each, as_=as_) for each in asked]
        return [error["code"] for each in answers for error in each["userErrors"]]

    assert await refusals(range(10, 20), "app") == []
    assert await refusals(range(10, 20), "bakery") == []  # all of them were there
    assert "THROTTLED" in await refusals(range(20, 30), "bakery")


async def test_one_member_is_looked_up_in_a_document(coalition: Coalition) -> None:
    document = """mutation($a: MemberResolveInput!) {
      a: memberResolve(input: $a) { userErrors { code } }
      b: memberResolve(input: $a) { userErrors { code } } }"""

    answer = await coalition.ask(document, {"a": {"member": {"phone": PHONE}}})

    assert answer.code == "LIMIT_EXCEEDED"


async def test_enrolling_needs_its_scope(coalition: Coalition) -> None:
    coalition.callers["bakery"] = replace(coalition.callers["bakery"], scopes=frozenset({"members:resolve"}))
    document = "mutation($a: MemberEnrolInput!) { memberEnrol(input: $a) { replayed } }"

    answer = await coalition.ask(document, {"a": an_enrolment()})

    assert (answer.status, answer.code) == (403, "FORBIDDEN")
