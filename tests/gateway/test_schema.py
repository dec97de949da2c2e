"""The published contract: current, guarded, described, and without a float."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    is_introspection_type,
    is_specified_scalar_type,
)

import ledger.refusals  # noqa: F401
import settlement  # noqa: F401
from gateway.commands.schema import _breaking
from gateway.http import access_of
from gateway.http.binding import bind
from gateway.schema import make_schema, published
from gateway.schema.errors import ErrorCode, path_of
from ledger.kernel.refusals import Refusal
from partners.clients import SCOPES

SCHEMA, _ = bind(make_schema())


def own_types() -> Iterator[GraphQLNamedType]:
    for type_ in SCHEMA.type_map.values():
        if not is_introspection_type(type_) and not is_specified_scalar_type(type_):
            yield type_


def test_schema_graphql_is_current() -> None:
    assert (Path(__file__).parents[2] / "schema.graphql").read_text() == published()


def test_a_removed_field_is_named_as_breaking() -> None:
    before, after = "type Query { a: Int b: Int }", "type Query { a: Int }"

    assert _breaking(before, after) == ["Field Query.b was removed."]


def test_every_root_field_demands_a_scope_that_exists() -> None:
    for root in (SCHEMA.query_type, SCHEMA.mutation_type):
        assert root is not None
        for name, field in root.fields.items():
            access = access_of(field)
            assert access is not None, f"{root}.{name} is unguarded"
            assert set(access.scopes) <= SCOPES, f"{root}.{name} demands an unknown scope"


def test_every_mutation_has_one_input_and_one_payload_with_user_errors() -> None:
    assert SCHEMA.mutation_type is not None
    for name, field in SCHEMA.mutation_type.fields.items():
        assert list(field.args) == ["input"], name
        payload = str(field.type)
        assert payload.endswith("Payload!"), name
        type_ = SCHEMA.type_map[payload.rstrip("!")]
        assert isinstance(type_, GraphQLObjectType)
        assert str(type_.fields["userErrors"].type) == "[UserError!]!", name


def test_every_write_takes_an_idempotency_key_unless_it_is_its_own() -> None:
    assert SCHEMA.mutation_type is not None
    without = set()
    for name, field in SCHEMA.mutation_type.fields.items():
        input_type = SCHEMA.type_map[str(field.args["input"].type).rstrip("!")]
        assert isinstance(input_type, GraphQLInputObjectType)
        if "idempotencyKey" not in input_type.fields:
            without.add(name)

    # Two write nothing, a batch has a key in each item, a clock and a period move one way only.
    assert without == {"quote", "memberResolve", "postBatch", "advanceClock", "closePeriod"}


def test_every_type_field_argument_and_value_is_described() -> None:
    undescribed = []
    for type_ in own_types():
        described: dict[str, Any] = {type_.name: type_}
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            described |= {f"{type_}.{name}": field for name, field in type_.fields.items()}
        if isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                arguments = {key: argument for key, argument in field.args.items() if key != "input"}
                described |= {f"{type_}.{name}({key}:)": argument for key, argument in arguments.items()}
        if isinstance(type_, GraphQLEnumType):
            described |= {f"{type_}.{name}": value for name, value in type_.values.items()}
        undescribed += [name for name, each in described.items() if not each.description]

    assert undescribed == []


def test_nothing_is_a_float_and_no_points_are_an_int() -> None:
    assert "Float" not in SCHEMA.type_map
    for type_ in own_types():
        if isinstance(type_, GraphQLObjectType | GraphQLInputObjectType):
            for name, field in type_.fields.items():
                if "points" in name.lower() and str(field.type).rstrip("!") == "Int":
                    pytest.fail(f"{type_}.{name} is an Int")


def test_every_refusal_of_every_room_has_a_published_code() -> None:
    def families(base: type[Refusal]) -> Iterator[type[Refusal]]:
        for child in base.__subclasses__():
            yield child
            yield from families(child)

    codes = {family.code for family in families(Refusal) if isinstance(getattr(family, "code", None), str)}
    ours = {family.__module__.split(".")[0] for family in families(Refusal)}

    assert "ledger" in ours
    assert codes - {code.value for code in ErrorCode} - {"TOY"} == set()


def test_a_path_is_told_in_the_names_of_the_schema() -> None:
    assert path_of(("terms", "burn_money_floor_micro")) == ["terms", "burnMoneyFloor"]
    assert path_of(("receiptNumber",)) == ["receipt", "number"]
    assert path_of(("receipt", "lines", "3", "unitPrice")) == ["receipt", "lines", "3", "unitPrice"]
