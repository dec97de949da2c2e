"""Variables read by msgspec are the variables graphql-core reads, or are left to it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.binding import bind
from tests.gateway.calls import ask
from tests.gateway.toy import CALLS, EARN, a_schema, an_earn, an_endpoint

SCHEMA, INPUTS = bind(a_schema())
OPERATION = next(node for node in parse(EARN).definitions if isinstance(node, OperationDefinitionNode))
DECODER = INPUTS.decoder(OPERATION)

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.just({"qr": "x", "handle": None}),
    st.just({"qr": "x", "handle": "y"}),
    st.just(["a", None]),
)
keys = st.sampled_from(
    [
        "idempotencyKey",
        "member",
        "points",
        "lines",
        "note",
        "unknown",
        "quantity",
        "sku",
        "colour",
        "tags",
        "unitPrice",
    ]
)


@st.composite
def variables(draw: st.DrawFn) -> dict[str, Any]:
    """A good request with a few things in it replaced, removed or added."""
    given_input = an_earn()["input"]
    for _ in range(draw(st.integers(0, 2))):
        lines = given_input.get("lines")
        parts = (
            [given_input, *(line for line in lines if isinstance(line, dict))]
            if isinstance(lines, list)
            else [given_input]
        )
        target: dict[str, Any] = draw(st.sampled_from(parts))
        key = draw(keys)
        if draw(st.booleans()):
            target[key] = draw(odd)
        else:
            target.pop(key, None)
    return {"input": given_input}


@given(variables())
def test_what_msgspec_accepts_graphql_core_reads_the_same(given_variables: dict[str, Any]) -> None:
    assert DECODER is not None
    try:
        fast = DECODER.decode(msgspec.json.encode(given_variables))
    except msgspec.ValidationError:
        return

    slow = get_variable_values(SCHEMA, OPERATION.variable_definitions or (), given_variables)

    assert isinstance(slow, VariableValues), slow
    assert slow.coerced["input"] == fast.input


async def test_a_lone_item_is_a_list_as_the_specification_says() -> None:
    CALLS.clear()
    loose = an_earn()
    loose["input"]["lines"] = loose["input"]["lines"][0]

    answer = await ask(an_endpoint(), EARN, loose)

    assert answer.status == 200
    assert [line.sku for line in CALLS[0].lines] == ["a"]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("points", 1.5, "float"),
        ("points", -(2**53) - 1, ">="),
        ("points", "5", "str"),
        ("idempotencyKey", None, "idempotencyKey"),
        ("member", {"qr": "x", "handle": "y"}, "exactly one"),
        ("surprise", 1, "surprise"),
        ("note", "x" * 100_000 + "🎈", None),
    ],
)
async def test_a_wrong_variable_is_named(field: str, value: object, says: str | None) -> None:
    answer = await ask(
        an_endpoint(), EARN, an_earn(**{field: value}), accept="application/graphql-response+json"
    )

    if says is None:
        assert answer.status == 200
    else:
        assert (answer.status, answer.code) == (400, "INVALID_INPUT")
        assert says in answer.json["errors"][0]["message"]
        assert "data" not in answer.json
