"""A compiled operation answers what graphql-core answers, or hands the work over."""

from __future__ import annotations

from enum import Enum
from inspect import isawaitable
from typing import Any

import msgspec
import strawberry
from graphql import ExecutionResult
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import PUBLIC, Limits, guarded
from gateway.http.binding import bind
from gateway.http.documents import Documents
from gateway.http.plan import resume
from tests.gateway.calls import ask
from tests.gateway.toy import CALLS, EARN, a_schema, an_earn, an_endpoint


@strawberry.enum
class Kind(Enum):
    BIG = "BIG"
    SMALL = "SMALL"


@strawberry.type
class Leaf:
    name: str
    size: int | None
    kinds: list[Kind | None]


@strawberry.type
class Branch:
    leaf: Leaf
    spare: Leaf | None
    leaves: list[Leaf | None] | None
    grid: list[list[int]]
    is_green: bool

    @strawberry.field
    def height(self) -> int | None:
        """A field that is computed on the spot."""
        return len(self.grid)


@strawberry.type
class Query:
    @guarded(PUBLIC, description="A tree, well or ill.")
    def tree(self, depth: int = 1, ill: bool = False) -> Branch:
        leaf = Leaf(name="a", size=depth, kinds=[Kind.BIG, None])
        worm = Leaf(name=None, size="x", kinds=[])  # type: ignore[arg-type]  # what a bug would give
        return Branch(
            leaf=leaf,
            spare=worm if ill else None,
            leaves=[leaf, None, worm if ill else leaf],
            grid=[[1, 2], []],
            is_green=True,
        )


SCHEMA, INPUTS = bind(strawberry.Schema(query=Query))
DOCUMENTS = Documents(SCHEMA, INPUTS, Limits(repeats=1_000), allow_introspection=True)

leaf_fields = st.sampled_from(["name", "size", "kinds", "__typename", "n: name"])


def selections(fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(fields, min_size=1, max_size=4).map(lambda chosen: "{" + " ".join(chosen) + "}")


leaf_selections = selections(leaf_fields | selections(leaf_fields).map(lambda inner: f"... on Leaf {inner}"))
branch_fields = st.one_of(
    st.sampled_from(["grid", "isGreen", "height", "__typename"]),
    st.tuples(st.sampled_from(["leaf", "spare", "leaves", "l: leaf"]), leaf_selections).map(" ".join),
)
arguments = st.sampled_from(
    ["", "(depth: 2)", "(depth: $depth)", "(ill: true)", "(ill: $ill, depth: $depth)"]
)


@given(arguments, selections(branch_fields), st.booleans(), st.sampled_from([None, 1, 7]))
async def test_a_plan_answers_what_graphql_core_answers(
    argument: str, selection: str, ill: bool, depth: int | None
) -> None:
    used = [
        f"${name}: {type_}"
        for name, type_ in (("ill", "Boolean!"), ("depth", "Int!"))
        if f"${name}" in argument
    ]
    source = f"query{'(' + ', '.join(used) + ')' if used else ''} {{ tree{argument} {selection} }}"
    operation = DOCUMENTS.operation(source, None, lambda _: None)
    assert operation.plan is not None
    given_variables = {"ill": ill, "depth": depth or 3}
    decoder = operation.plan.variables
    values = decoder.decode(msgspec.json.encode(given_variables)) if decoder else None
    arrangement: dict[str, Any] = {
        "context": None,
        "variables": given_variables,
        "operation_name": None,
    }

    resolved: dict[str, Any] = {}
    data = await operation.plan.run(None, values, resolved)

    expected = resume(SCHEMA, operation.document, resolved={}, **arrangement)
    if data is None:
        handed_over = resume(SCHEMA, operation.document, resolved=resolved, **arrangement)
        assert isinstance(handed_over, ExecutionResult)
        assert handed_over == expected
    else:
        assert not isawaitable(expected)
        assert (data, None) == (expected.data, expected.errors)


async def test_a_mutation_whose_answer_does_not_complete_is_not_done_twice() -> None:
    CALLS.clear()

    answer = await ask(an_endpoint(), EARN, an_earn(note="null"))

    assert answer.code == "FAULT"
    assert len(CALLS) == 1


async def test_the_fields_of_a_mutation_run_one_after_another_up_to_the_one_that_fails() -> None:
    CALLS.clear()
    source = """mutation($a: EarnInput!, $b: EarnInput!) {
      a: earn(input: $a) { userErrors { code } } b: earn(input: $b) { userErrors { code } }
    }"""
    boom = {"a": an_earn(note="boom")["input"], "b": an_earn()["input"]}

    answer = await ask(an_endpoint(), source, boom)

    assert answer.data is None
    assert [call.note for call in CALLS] == ["boom"]


def test_what_the_compiler_does_not_take_has_no_plan() -> None:
    schema, inputs = bind(a_schema())
    documents = Documents(schema, inputs, Limits(), allow_introspection=True)

    for source in (
        "query($yes: Boolean!) { hello @include(if: $yes) }",
        "{ __schema { queryType { name } } }",
        "query($key: String!) { hello other: hello(name: $key) }",
    ):
        assert documents.operation(source, None, lambda _: None).plan is None
