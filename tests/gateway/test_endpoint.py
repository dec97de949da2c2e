"""What the view answers: media types, status codes, permission, limits, cost, masked faults."""

from __future__ import annotations

from importlib import import_module
from unittest.mock import Mock

import pytest
import strawberry
from structlog.testing import capture_logs

from gateway.http import Limits
from gateway.http.binding import UnguardedField, bind
from gateway.http.negotiation import GRAPHQL, HTML, JSON, negotiate
from tests.gateway.calls import ask, send
from tests.gateway.toy import EARN, an_earn, an_endpoint

POST = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, JSON),
        ("*/*", JSON),
        (f"{GRAPHQL}, {JSON}", GRAPHQL),
        (f"{JSON}, {GRAPHQL}", JSON),
        (f"{JSON};q=0.5, {GRAPHQL};q=0.9", GRAPHQL),
        (f"{GRAPHQL};charset=utf-8", GRAPHQL),
        ("text/html,application/xhtml+xml,*/*;q=0.8", HTML),
        (f"text/event-stream, {JSON}", JSON),
        ("image/png", None),
        (f"{JSON};q=0", None),
    ],
)
def test_the_media_type_follows_the_order_and_weight_of_accept(
    accept: str | None, media_type: str | None
) -> None:
    assert negotiate(accept) == media_type


async def test_nothing_acceptable_is_406() -> None:
    assert (await ask(an_endpoint(), "{ hello }", accept="image/png")).status == 406


async def test_a_get_runs_a_query_and_never_a_mutation() -> None:
    endpoint = an_endpoint()

    query = await send(endpoint, b"", method="GET", query_string=b"query=%7Bhello%7D")
    mutation = await send(endpoint, b"", method="GET", query_string=b"query=mutation%7B__typename%7D")

    assert query.data == {"hello": "hello, world"}
    assert (mutation.status, mutation.headers["allow"]) == (405, "POST")


async def test_a_browser_gets_graphiql_in_development_only() -> None:
    browser = {"accept": "text/html"}

    development = await send(an_endpoint(), b"", method="GET", headers=browser)
    production = await send(an_endpoint(is_development=False), b"", method="GET", headers=browser)

    assert development.status == 200
    assert b"/static/graphiql/" in development.body
    assert b"//" not in development.body.replace(b"<!--", b"")  # nothing comes from elsewhere
    assert production.status == 406


async def test_introspection_is_off_in_production() -> None:
    question = "{ __schema { queryType { name } } }"

    assert (await ask(an_endpoint(), question)).data == {"__schema": {"queryType": {"name": "Query"}}}
    assert (await ask(an_endpoint(is_development=False), question)).code == "INVALID_DOCUMENT"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"[]", POST, 400),
        (b'[{"query":"{hello}"}]', POST, 400),
        (b'{"query":"{hello}"', POST, 400),
        (b'{"query":"\xff"}', POST, 400),
        (b'{"query":"{hello}","variables":"x"}', POST, 400),
        (b'{"query":"{hello}"}', {"content-type": "text/plain"}, 415),
        (b'{"query":"{hello}"}', {"content-type": "application/json; charset=koi8-r"}, 415),
        (b" " * 2000, POST, 413),
        (b"{}", {**POST, "content-length": "2000"}, 413),
    ],
)
async def test_what_is_no_request_is_refused_with_its_status(
    body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await send(an_endpoint(Limits(body_bytes=1000)), body, headers=headers)

    assert (answer.status, answer.code) == (status, "BAD_REQUEST")


_DEEP = b"[" * 100_000 + b"]" * 100_000
"""Deeper than any version of Python reads; 3.13 takes ten times as much as 3.11 does."""


@pytest.mark.parametrize(
    "body",
    [
        b'{"query":"{hello}","more":%s}',
        b'{"query":"{hello}","extensions":{"x":%s}}',
        b'{"query":"{hello}","variables":{"x":%s}}',
        b'{"query":"query($n: String) { hello(name: $n) }","variables":{"n":%s}}',
        b'{"query":"query($f: Int) { lines(first: $f) { isLast } }","variables":{"f":%s}}',
    ],
)
async def test_json_too_deep_to_be_read_is_no_request(body: bytes) -> None:
    with capture_logs() as logged:
        answer = await send(an_endpoint(), body % _DEEP, headers=POST)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert logged == []


async def test_without_a_token_a_guarded_field_is_401_and_nothing_runs() -> None:
    answer = await ask(an_endpoint(), EARN, an_earn(), token=None)

    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "data" not in answer.json


async def test_a_bad_token_is_401_even_for_what_is_public() -> None:
    answer = await ask(an_endpoint(), "{ hello }", token="bad")

    assert answer.status == 401
    assert "invalid_token" in answer.headers["www-authenticate"]


async def test_a_scope_that_the_token_lacks_is_403() -> None:
    answer = await ask(an_endpoint(), "{ hello ...F } fragment F on Query { s: secret }")

    assert (answer.status, answer.code) == (403, "FORBIDDEN")


def test_a_root_field_without_terms_cannot_be_served() -> None:
    @strawberry.type
    class Query:
        @strawberry.field
        def forgotten(self) -> str:
            return ""

    with pytest.raises(UnguardedField, match=r"Query\.forgotten"):
        bind(strawberry.Schema(query=Query))


@pytest.mark.parametrize(
    ("limits", "document"),
    [
        (Limits(depth=2), "{ lines { nodes { sku } } }"),
        (Limits(aliases=2), "{ a: hello b: hello c: hello }"),
        (
            Limits(fields=3),
            "{ hello ...A ...B } fragment A on Query { hello hello } fragment B on Query { hello }",
        ),
        (Limits(repeats=2), "{ hello hello ...A } fragment A on Query { hello }"),
        (Limits(), "{" + "lines { nodes { sku } }" * 500 + "}"),
        (Limits(), "{" + "nothing { here }" * 500 + "}"),
        (Limits(), "{ hello ...A } fragment A on Query { a { ...A } b { ...A } }"),
        (Limits(definitions=2), "query A { hello } query B { hello } query C { hello }"),
        (Limits(source_characters=10), "{ hello hello }"),
        (Limits(), "{ hello }" + " " * 300_000),
        (Limits(), 'mutation { a: look(who: {qr: "1"}) b: look(who: {qr: "2"}) }'),
    ],
)
async def test_a_document_that_asks_for_too_much_is_refused(limits: Limits, document: str) -> None:
    answer = await ask(an_endpoint(limits), document, accept=GRAPHQL)

    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")


async def test_tokens_are_limited() -> None:
    answer = await ask(an_endpoint(Limits(tokens=5)), "{ hello hello hello hello hello }")

    assert answer.code == "INVALID_DOCUMENT"


async def test_fragments_that_multiply_are_cut_off() -> None:
    pieces = [
        f"fragment F{n} on Page {{ a{n}: nodes {{ sku }} b{n}: nodes {{ sku }} ...F{n + 1} }}"
        for n in range(12)
    ]
    document = f"{{ lines {{ ...F0 }} }} {' '.join(pieces)} fragment F12 on Page {{ isLast }}"

    answer = await ask(an_endpoint(Limits(aliases=20)), document)

    assert answer.code == "LIMIT_EXCEEDED"


async def test_documents_that_are_not_known_have_a_budget_of_their_own() -> None:
    endpoint = an_endpoint(
        Limits(read_characters=102, read_characters_per_second=1, read_characters_at_least=1)
    )
    fresh = [await ask(endpoint, f"query Q{number} {{ hello }}") for number in range(7)]
    wrong = await ask(endpoint, "{ nothing }")
    known = await ask(endpoint, "query Q0 { hello }")

    assert [answer.status for answer in fresh] == [200] * 5 + [429] * 2
    assert (wrong.status, wrong.code) == (200, "INVALID_DOCUMENT")
    assert known.json["data"] == {"hello": "hello, world"}


async def test_a_short_document_that_is_not_known_counts_as_a_longer_one() -> None:
    endpoint = an_endpoint(Limits(read_characters=250, read_characters_per_second=1))

    answers = [await ask(endpoint, document) for document in ("{ hello }", "{ hello hello }")]

    assert [answer.status for answer in answers] == [200, 429]


async def test_a_document_of_many_mistakes_is_told_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    document = "mutation { earn(input: {" + "x: 1 " * 20 + "a: [" + "[] " * 1_000 + "]}) { a } }"
    validation = import_module("graphql.utilities.validate_input_value")  # hidden by its function
    print_value = Mock(wraps=validation.print_for_error)
    monkeypatch.setattr(validation, "print_for_error", print_value)

    answer = await ask(an_endpoint(), document)

    assert print_value.call_count <= 2  # the second one ends it
    assert answer.code == "INVALID_DOCUMENT"
    assert [error["message"][:53] for error in answer.json["errors"]] == [
        "Expected value of type 'EarnInput' to include require"
    ]


async def test_every_answer_says_what_it_cost() -> None:
    answer = await ask(an_endpoint(), EARN, an_earn())

    cost = answer.json["extensions"]["cost"]
    assert (cost["requested"], cost["actual"]) == (13, 13)
    assert cost["throttle"] == {
        "maximum": 1_000_000,
        "available": cost["throttle"]["available"],
        "restoreRate": 100_000,
    }


async def test_a_page_costs_what_came_of_what_was_asked_for() -> None:
    source = "query($first: Int!) { lines(first: $first) { nodes { sku } } }"

    cost = (await ask(an_endpoint(), source, {"first": 50})).json["extensions"]["cost"]

    assert (cost["requested"], cost["actual"]) == (52, 4)


async def test_over_budget_is_throttled_with_the_seconds_to_wait() -> None:
    endpoint = an_endpoint(Limits(budget=20, restore_per_second=1))
    await ask(endpoint, EARN, an_earn())

    answer = await ask(endpoint, EARN, an_earn())

    assert (answer.status, answer.code) == (429, "THROTTLED")
    assert 5 < answer.json["errors"][0]["extensions"]["seconds"] <= 6
    assert answer.headers["retry-after"] == "6"


async def test_variables_that_are_refused_cost_by_their_size() -> None:
    wrong = {"input": {f"unknown{number}": 1 for number in range(100)}}

    told = await ask(an_endpoint(), EARN, wrong)
    too_dear = await ask(an_endpoint(Limits(budget=250)), EARN, wrong)

    assert told.code == "INVALID_INPUT"
    assert told.json["extensions"]["cost"]["requested"] > 250
    assert (too_dear.status, too_dear.code) == (429, "THROTTLED")


async def test_what_has_run_is_never_answered_with_over_budget() -> None:
    answer = await ask(an_endpoint(Limits(budget=20)), EARN, an_earn(note="no"))

    assert (answer.status, answer.code) == (200, "INVALID_INPUT")
    assert answer.json["extensions"]["cost"]["requested"] == 13


async def test_a_fault_is_masked_and_logged_once_under_its_reference() -> None:
    with capture_logs() as logged:
        answer = await ask(an_endpoint(), EARN, an_earn(note="boom"))

    error = answer.json["errors"][0]
    assert answer.status == 200
    assert "secret" not in answer.body.decode()
    assert error["path"] == ["earn"]
    assert [entry["reference"] for entry in logged] == [error["extensions"]["reference"]]


async def test_a_refusal_is_told_in_full_and_not_logged() -> None:
    with capture_logs() as logged:
        answer = await ask(an_endpoint(), EARN, an_earn(note="no"))

    assert (answer.code, answer.json["errors"][0]["message"]) == ("INVALID_INPUT", "not this one")
    assert logged == []


async def test_an_operation_is_chosen_by_name() -> None:
    both = "query A { hello } query B { other: hello }"
    endpoint = an_endpoint()

    assert (await ask(endpoint, both, operation="B")).data == {"other": "hello, world"}
    assert (await ask(endpoint, both)).code == "INVALID_DOCUMENT"
    assert (await ask(endpoint, both, operation="C")).code == "INVALID_DOCUMENT"


async def test_documents_are_forgotten_when_too_many_are_remembered() -> None:
    endpoint = an_endpoint(Limits(remembered_characters=40))
    for name in ("A", "B", "C", "A"):
        answer = await ask(endpoint, f"query {name} {{ hello }}")

        assert answer.data == {"hello": "hello, world"}


async def test_text_that_is_no_unicode_is_no_request() -> None:
    query = rb'{"query":"query($n: String!) { hello(name: $n) }","variables":{"n":"\ud800"}}'

    answer = await send(an_endpoint(), query, headers=POST)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
