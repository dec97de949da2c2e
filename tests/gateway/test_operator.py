"""The operator through the published schema: programme, partners, terms, outlets, clients, the clock."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import select

from gateway.context import ContextMaker
from gateway.http import GraphQLEndpoint
from gateway.schema import make_schema
from gateway.schema.node import global_id
from gateway.services import Services
from ledger.kernel.clock import WallClock
from partners import read_events
from partners.clients import find_client
from partners.tables import requests
from tests.gateway.calls import ask
from tests.gateway.coalition import Coalition, a_caller, a_key, an_earn, partner_id

PARTNER = "replayed userErrors { code field } partner { id name suspendedAt }"
AGREEMENT = """replayed userErrors { code field } agreement { id startsAt terms {
  funding issuePrice { amount currency } earnRate burnCap burnLimit fee pendingDays
  excludedCategories refundOrder } }"""
CLIENT = (
    "replayed secret userErrors { code field } client { clientId kind scopes outlets createdAt revokedAt }"
)


async def test_a_coalition_is_made_from_nothing(services: Services) -> None:
    operator = a_caller("operator")
    endpoint = GraphQLEndpoint(
        make_schema(), verify=lambda _: operator, make_context=ContextMaker(services), is_development=True
    )
    empty = await ask(endpoint, "{ programme { name } partner { id } partners { nodes { id } } }")
    document = """mutation($p: CreateProgrammeInput!, $b: CreatePartnerInput!) {
      createProgramme(input: $p) { userErrors { code } programme { name currency timeZone openedAt
        pointValue { amount } defaults { pendingDays burnCap settlementCurrency } } }
      createPartner(input: $b) { userErrors { code } partner { id name } } }"""
    programme = {
        "idempotencyKey": "p",
        "name": "Копилка",
        "currency": "RUB",
        "timeZone": "Europe/Moscow",
        "defaults": {"pendingDays": 3, "burnCap": "0.5"},
        "opensOn": "2025-12-01",
    }

    made = await ask(endpoint, document, {"p": programme, "b": {"idempotencyKey": "b", "name": "Лавка 🥖"}})

    assert empty.data == {"programme": None, "partner": None, "partners": {"nodes": []}}
    assert made.data["createProgramme"]["programme"] == {
        "name": "Копилка",
        "currency": "RUB",
        "timeZone": "Europe/Moscow",
        "openedAt": "2025-11-30T21:00:00Z",
        "pointValue": {"amount": "1.00"},
        "defaults": {"pendingDays": 3, "burnCap": "0.50", "settlementCurrency": "RUB"},
    }
    assert made.data["createPartner"]["partner"] == {"id": partner_id(1), "name": "Лавка 🥖"}


async def test_an_installation_has_one_programme(coalition: Coalition) -> None:
    given = {"idempotencyKey": "p", "name": "Another", "currency": "RUB", "timeZone": "UTC"}

    payload = await coalition.do(
        "createProgramme", "programme { name } userErrors { code }", given, as_="operator"
    )

    assert payload == {"programme": None, "userErrors": [{"code": "PROGRAMME_EXISTS"}]}


async def test_a_repeated_write_is_the_first_answer(coalition: Coalition) -> None:
    given = {"idempotencyKey": a_key(), "name": "Pharmacy"}
    first = await coalition.do("createPartner", PARTNER, given, as_="operator")

    again = await coalition.do("createPartner", PARTNER, given, as_="operator")
    other = await coalition.do("createPartner", PARTNER, given | {"name": "Fuel"}, as_="operator")

    assert again == first | {"replayed": True}
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]


async def test_a_partner_is_suspended_and_reinstated(coalition: Coalition) -> None:
    id_ = partner_id(1)
    given = {"idempotencyKey": a_key(), "partner": id_, "reason": "arrears"}

    suspended = await coalition.do("suspendPartner", PARTNER, given, as_="operator")
    refused = await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    back = await coalition.do(
        "reinstatePartner", PARTNER, {"idempotencyKey": a_key(), "partner": id_}, as_="operator"
    )
    earned = await coalition.do("earn", "userErrors { code }", an_earn(coalition))

    assert suspended["partner"]["suspendedAt"] == "2026-01-01T00:00:00Z"
    assert refused["userErrors"] == [{"code": "PARTNER_SUSPENDED"}]
    assert back["partner"]["suspendedAt"] is None
    assert earned["userErrors"] == []


async def test_terms_are_agreed_and_dated(coalition: Coalition) -> None:
    given = {
        "idempotencyKey": a_key(),
        "partner": partner_id(1),
        "startsAt": "2026-02-01T00:00:00+03:00",
        "terms": {
            "funding": "AT_ISSUE",
            "issuePrice": "1.05",
            "earnRate": "0.03",
            "burnCap": "0.99",
            "burnLimit": 500,
            "fee": "0.015",
            "pendingDays": 7,
            "excludedCategories": ["tobacco"],
            "refundOrder": "PROPORTIONAL",
        },
    }

    payload = await coalition.do("makeAgreement", AGREEMENT, given, as_="operator")

    assert payload["userErrors"] == []
    assert payload["agreement"]["startsAt"] == "2026-01-31T21:00:00Z"
    assert payload["agreement"]["terms"] == {
        "funding": "AT_ISSUE",
        "issuePrice": {"amount": "1.05", "currency": "RUB"},
        "earnRate": "0.03",
        "burnCap": "0.99",
        "burnLimit": 500,
        "fee": "0.015",
        "pendingDays": 7,
        "excludedCategories": ["tobacco"],
        "refundOrder": "PROPORTIONAL",
    }


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"fee": "1.5"}, ["terms", "fee"]),
        ({"fee": "0.0000001"}, ["terms", "fee"]),
        ({"burnMoneyFloor": "-1"}, ["terms", "burnMoneyFloor"]),
        ({"burnStep": 0}, ["terms", "burnStep"]),
        ({"pendingDays": 400}, ["terms", "lotLifetimeDays"]),
        ({"settlementCurrency": "rub"}, ["terms", "settlementCurrency"]),
    ],
)
async def test_terms_that_make_no_sense_are_refused_at_their_place(
    coalition: Coalition, terms: dict[str, Any], field: list[str]
) -> None:
    given = {"idempotencyKey": a_key(), "partner": partner_id(1), "terms": terms}

    payload = await coalition.do("makeAgreement", AGREEMENT, given, as_="operator")

    assert payload["userErrors"] == [{"code": "INVALID_INPUT", "field": field}]


async def test_outlets_open_close_and_open_again(coalition: Coalition) -> None:
    selection = "replayed userErrors { code field } outlet { id code name suspendedAt }"
    given = {"idempotencyKey": a_key(), "partner": partner_id(1), "code": "18", "name": "Вокзал"}

    opened = await coalition.do("openOutlet", selection, given, as_="operator")
    twice = await coalition.do("openOutlet", selection, given | {"idempotencyKey": a_key()}, as_="operator")
    outlet = {"outlet": opened["outlet"]["id"]}
    closed = await coalition.do(
        "suspendOutlet", selection, outlet | {"idempotencyKey": a_key()}, as_="operator"
    )
    again = await coalition.do(
        "reinstateOutlet", selection, outlet | {"idempotencyKey": a_key()}, as_="operator"
    )

    assert twice["userErrors"] == [{"code": "OUTLET_EXISTS", "field": ["code"]}]
    assert closed["outlet"]["suspendedAt"] == "2026-01-01T00:00:00Z"
    assert again["outlet"] == opened["outlet"]


async def test_many_outlets_are_opened_together_or_not_at_all(coalition: Coalition) -> None:
    selection = "replayed userErrors { code field } outlets { code name }"
    given = {
        "idempotencyKey": a_key(),
        "partner": partner_id(1),
        "outlets": [{"code": "21", "name": "North"}, {"code": "22", "name": "South"}],
    }

    opened = await coalition.do("openOutlets", selection, given, as_="operator")
    again = await coalition.do("openOutlets", selection, given, as_="operator")
    half_known = {"outlets": [{"code": "23", "name": "East"}, {"code": "22", "name": "South"}]}
    refused = await coalition.do(
        "openOutlets", selection, given | half_known | {"idempotencyKey": a_key()}, as_="operator"
    )
    alone = {"idempotencyKey": a_key(), "partner": partner_id(1), "code": "23", "name": "East"}
    free = await coalition.do("openOutlet", "userErrors { code }", alone, as_="operator")

    assert opened["outlets"] == [{"code": "21", "name": "North"}, {"code": "22", "name": "South"}]
    assert (again["replayed"], again["outlets"]) == (True, opened["outlets"])
    assert refused["userErrors"] == [{"code": "OUTLET_EXISTS", "field": ["outlets", "1", "code"]}]
    assert free["userErrors"] == []


async def test_a_client_shows_its_secret_once(coalition: Coalition) -> None:
    outlet = global_id("Outlet", 1)
    given = {
        "idempotencyKey": a_key(),
        "kind": "PARTNER",
        "name": "Tills",
        "scopes": ["earn", "burn"],
        "partner": partner_id(1),
        "outlets": [outlet],
    }

    made = await coalition.do("createClient", CLIENT, given, as_="operator")
    again = await coalition.do("createClient", CLIENT, given, as_="operator")

    assert (made["client"]["kind"], made["client"]["scopes"]) == ("PARTNER", ["burn", "earn"])
    assert made["client"]["outlets"] == [outlet]
    assert len(made["secret"]) > 40
    assert again == made | {"secret": None, "replayed": True}
    async with coalition.services.database.writer.connect() as connection:
        (kept,) = (await connection.execute(select(requests.c.answer))).all()
    assert made["secret"].encode() not in kept.answer


async def test_a_clients_secret_is_changed_and_the_client_ended(coalition: Coalition) -> None:
    given = {"idempotencyKey": a_key(), "kind": "FINANCE", "name": "Books", "scopes": ["settlement:read"]}
    made = await coalition.do("createClient", CLIENT, given, as_="operator")
    which = {"clientId": made["client"]["clientId"]}

    changed = await coalition.do(
        "rotateClientSecret", CLIENT, which | {"idempotencyKey": a_key()}, as_="operator"
    )
    ended = await coalition.do("revokeClient", CLIENT, which | {"idempotencyKey": a_key()}, as_="operator")
    late = await coalition.do(
        "rotateClientSecret", CLIENT, which | {"idempotencyKey": a_key()}, as_="operator"
    )

    assert changed["secret"] != made["secret"]
    assert ended["client"]["revokedAt"] is not None
    assert late["userErrors"] == [{"code": "CLIENT_UNKNOWN", "field": ["clientId"]}]


async def test_what_is_done_to_clients_is_in_the_log_of_events_without_their_secrets(
    coalition: Coalition,
) -> None:
    jwks = json.dumps(
        {"keys": [ECKey.generate_key("P-256", {"kid": "own", "alg": "ES256"}).as_dict(private=False)]}
    )
    given = {"kind": "PARTNER", "name": "Tills", "scopes": ["earn"], "partner": partner_id(1)}
    secrets = []

    async def change(field: str, **given: object) -> Any:
        asked = {"idempotencyKey": a_key(), **given}
        for _ in range(2):  # a repeat adds nothing
            answer = await coalition.do(field, CLIENT, asked, as_="operator")
            secrets.append(answer["secret"])
        return answer["client"]["clientId"]

    client = await change("createClient", **given)
    for field in ("rotateClientSecret", "revokeClient", "revokeClient"):
        await change(field, clientId=client)
    other = await change("createClient", **given)
    await change("rotateClientKeys", clientId=other, jwks=jwks)

    async with coalition.services.database.writer.connect() as connection:
        log = await read_events(connection, after=0)
    events = [event for event in log if event.kind.startswith("client.")]
    assert [(event.kind, event.body["client"]) for event in events] == [
        ("client.created", client),
        ("client.secret_rotated", client),
        ("client.revoked", client),
        ("client.created", other),
        ("client.keys_replaced", other),
    ]
    assert {(event.partner, event.body["by"]) for event in events} == {(1, "staff:operator")}
    assert (events[0].body["name"], events[0].body["scopes"]) == ("Tills", ["earn"])
    assert not any(secret in str(events) for secret in secrets if secret is not None)


async def test_a_clients_keys_are_changed(coalition: Coalition) -> None:
    old, new = (ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256"}) for kid in ("old", "new"))
    sets = [json.dumps({"keys": [key.as_dict(private=False)]}) for key in (old, new)]
    given = {"kind": "FINANCE", "name": "Books", "scopes": ["settlement:read"], "jwks": sets[0]}
    made = await coalition.do("createClient", CLIENT, given | {"idempotencyKey": a_key()}, as_="operator")
    which = {"clientId": made["client"]["clientId"], "idempotencyKey": a_key()}

    changed = await coalition.do("rotateClientKeys", CLIENT, which | {"jwks": sets[1]}, as_="operator")
    again = await coalition.do("rotateClientKeys", CLIENT, which | {"jwks": sets[1]}, as_="operator")
    wrong = await coalition.do(
        "rotateClientKeys", CLIENT, which | {"jwks": "{}", "idempotencyKey": a_key()}, as_="operator"
    )

    assert changed["secret"] is None
    assert again == changed | {"replayed": True}
    assert wrong["userErrors"] == [{"code": "INVALID_INPUT", "field": ["jwks", "keys"]}]
    async with coalition.services.database.writer.connect() as connection:
        known = await find_client(connection, made["client"]["clientId"])
    assert known is not None
    assert known.jwks == json.loads(sets[1])


async def test_a_client_that_makes_no_sense_is_refused(coalition: Coalition) -> None:
    good = {"kind": "PARTNER", "name": "Tills", "scopes": ["earn"], "partner": partner_id(1)}
    wrong: list[tuple[dict[str, Any], str, list[str]]] = [
        ({"scopes": ["earn", "everything"]}, "INVALID_INPUT", ["scopes"]),
        ({"scopes": ["clock"]}, "INVALID_INPUT", ["scopes"]),
        ({"scopes": []}, "INVALID_INPUT", ["scopes"]),
        ({"partner": None}, "INVALID_INPUT", ["partner"]),
        ({"partner": partner_id(99)}, "PARTNER_UNKNOWN", ["partner"]),
        ({"outlets": [global_id("Outlet", 2)]}, "INVALID_INPUT", ["outlets"]),
        ({"name": "x" * 100_000}, "INVALID_INPUT", ["name"]),
        ({"jwks": "not json"}, "INVALID_INPUT", ["jwks"]),
    ]
    for changes, code, field in wrong:
        given = good | {"idempotencyKey": a_key()} | changes

        payload = await coalition.do("createClient", CLIENT, given, as_="operator")

        assert payload["userErrors"] == [{"code": code, "field": field}], changes


async def test_a_partner_sees_itself_and_the_operator_everyone(coalition: Coalition) -> None:
    await coalition.do("earn", "userErrors { code }", an_earn(coalition))
    document = """query($id: ID) { partner(id: $id) { name agreement { terms { earnRate } } agreements { id }
        outlets(first: 1) { nodes { code } pageInfo { hasNextPage endCursor } }
        position { period issued pending redeemed } clients { name } } }"""

    own = await coalition.ask(document)
    foreign = await coalition.ask(document, {"id": partner_id(2)})
    operator = await coalition.ask(document, {"id": partner_id(2)}, as_="operator")
    listed = "{ partners(first: 1) { nodes { name } pageInfo { hasNextPage endCursor } } }"
    page = (await coalition.ask(listed, as_="operator")).data["partners"]
    rest = await coalition.ask(
        "query($after: String) { partners(after: $after) { nodes { name } pageInfo { hasNextPage } } }",
        {"after": page["pageInfo"]["endCursor"]},
        as_="operator",
    )
    alone = await coalition.ask(listed)

    assert own.data["partner"]["name"] == "Bakery"
    assert own.data["partner"]["agreement"]["terms"]["earnRate"] == "0.10"
    assert own.data["partner"]["outlets"]["nodes"] == [{"code": "17"}]
    assert own.data["partner"]["position"] == {"period": 1, "issued": 100, "pending": 0, "redeemed": 0}
    assert foreign.data == {"partner": None}
    assert operator.data["partner"]["name"] == "Cinema"
    assert page["nodes"] == [{"name": "Bakery"}]
    assert rest.data["partners"] == {"nodes": [{"name": "Cinema"}], "pageInfo": {"hasNextPage": False}}
    assert alone.data["partners"]["pageInfo"]["hasNextPage"] is False


async def test_a_node_is_given_only_to_who_may_see_it(coalition: Coalition) -> None:
    document = "query($id: ID!) { node(id: $id) { id __typename } }"
    things = [("Partner", 1), ("Outlet", 1), ("Agreement", 1)]
    for kind, number in things:
        id_ = global_id(kind, number)

        own = await coalition.ask(document, {"id": id_})
        foreign = await coalition.ask(document, {"id": id_}, as_="cinema")
        operator = await coalition.ask(document, {"id": id_}, as_="operator")

        assert own.data["node"] == operator.data["node"] == {"id": id_, "__typename": kind}
        assert foreign.data["node"] is None
    for other in (
        global_id("Period", 1),
        global_id("Partner", 99),
        global_id("Nothing", 1),
        "nonsense",
        "🎈",
    ):
        assert (await coalition.ask(document, {"id": other})).data["node"] is None


async def test_a_page_has_1_to_100_items(coalition: Coalition) -> None:
    for first in (0, -1, 101, 2**31 - 1):
        answer = await coalition.ask("query($n: Int!) { partners(first: $n) { nodes { id } } }", {"n": first})

        assert answer.code == "INVALID_INPUT"


async def test_a_driven_clock_goes_one_way(coalition: Coalition) -> None:
    selection = "now userErrors { code }"
    later = (coalition.now + timedelta(days=3)).isoformat()

    on = await coalition.do("advanceClock", selection, {"to": later}, as_="operator")
    back = await coalition.do("advanceClock", selection, {"to": "2020-01-01T00:00:00Z"}, as_="operator")

    assert on == {"now": "2026-01-04T00:00:00Z", "userErrors": []}
    assert back == on


async def test_a_wall_clock_is_not_driven(coalition: Coalition) -> None:
    services = replace(coalition.services, clock=WallClock())
    endpoint = GraphQLEndpoint(
        make_schema(), verify=lambda _: a_caller("operator"), make_context=ContextMaker(services)
    )
    document = 'mutation { advanceClock(input: {to: "2030-01-01T00:00:00Z"}) { now userErrors { code } } }'

    answer = await ask(endpoint, document)

    assert answer.data["advanceClock"] == {"now": None, "userErrors": [{"code": "CLOCK_NOT_DRIVEN"}]}
