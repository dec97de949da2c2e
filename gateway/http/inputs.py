"""Reads the variables of a request straight from JSON into the values a resolver takes.

For every input type of the schema there is one frozen msgspec struct with the Python names of
the Strawberry input. msgspec decodes into it at the speed of C. The structs accept less than
GraphQL does and never more: whatever they refuse goes to graphql-core, which either coerces it
(a lone item where a list is meant, say) or words the error. Both ways end in the same structs.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final

import msgspec
from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.utilities import value_from_ast_untyped
from strawberry import UNSET
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField
from strawberry.types.scalar import ScalarDefinition

_BUILT_IN: Final[dict[str, Any]] = {
    "String": str,
    "ID": str,
    "Boolean": bool,
    "Int": Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)],
}


class Exactly:
    """A scalar's parser that takes what msgspec takes for `annotation`, and nothing else."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def __call__(self, value: object) -> Any:
        """The value itself, checked. Raises `msgspec.ValidationError`."""
        return msgspec.convert(value, self.annotation, strict=True)


class Inputs:
    """The structs of a schema's input types, made once when the schema is bound."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._structs: dict[str, type[msgspec.Struct]] = {}
        for type_ in schema.type_map.values():
            if isinstance(type_, GraphQLInputObjectType):
                self._bind(type_)

    def decoder(self, operation: OperationDefinitionNode) -> msgspec.json.Decoder[Any] | None:
        """What decodes an operation's variables, or None when graphql-core has to do it.

        The result has one attribute a variable, `msgspec.UNSET` when it was not given.
        """
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for definition in operation.variable_definitions or ():
            type_ = type_from_ast(self._schema, definition.type)
            name = definition.variable.name.value
            if name.startswith("_") or not name.isidentifier():
                return None
            annotation = self._annotation(type_)  # type: ignore[arg-type]  # validated to be an input type
            if definition.default_value is not None:
                default = self._plain_default(type_, definition.default_value)  # type: ignore[arg-type]  # as above
                if default is UNSET:
                    return None
                fields.append((name, annotation, default))
            elif is_non_null_type(type_):
                fields.append((name, annotation))
            else:
                fields.append((name, annotation | msgspec.UnsetType, msgspec.UNSET))
        return msgspec.json.Decoder(msgspec.defstruct("Variables", fields, frozen=True, kw_only=True))

    def _plain_default(self, type_: GraphQLInputType, node: Any) -> Any:
        """The default of a variable of a scalar type, UNSET when it is anything richer."""
        inner = type_.of_type if is_non_null_type(type_) else type_
        if not isinstance(inner, GraphQLScalarType):
            return UNSET
        try:
            return msgspec.convert(value_from_ast_untyped(node), self._annotation(type_), strict=True)
        except (msgspec.ValidationError, GraphQLError):
            return UNSET

    def _annotation(self, type_: GraphQLInputType) -> Any:
        if is_non_null_type(type_):
            return self._non_null(type_.of_type)
        return self._non_null(type_) | None

    def _non_null(self, type_: GraphQLInputType) -> Any:
        if is_list_type(type_):
            return list[self._annotation(type_.of_type)]  # type: ignore[misc]  # a type made at run time
        if isinstance(type_, GraphQLScalarType):
            return _scalar_annotation(type_)
        if isinstance(type_, GraphQLEnumType):
            return _enum_annotation(type_)
        if isinstance(type_, GraphQLInputObjectType):
            return self._bind(type_)
        raise TypeError(f"{type_} is no input type")

    def _bind(self, type_: GraphQLInputObjectType) -> type[msgspec.Struct]:
        """The struct of an input type, which from now on graphql-core makes too."""
        known = self._structs.get(type_.name)
        if known is not None:
            return known
        definition = type_.extensions["strawberry-definition"]
        assert isinstance(definition, StrawberryObjectDefinition)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        names: dict[str, str] = {}
        for graphql_name, field in type_.fields.items():
            python_name = _python_name(field)
            field.out_name = python_name
            names[python_name] = graphql_name
            fields.append(self._struct_field(python_name, field, is_one_of=definition.is_one_of))
        struct = msgspec.defstruct(
            type_.name,
            fields,
            frozen=True,
            kw_only=True,
            rename=names,
            forbid_unknown_fields=True,
            namespace={"__post_init__": _exactly_one} if definition.is_one_of else {},
        )
        type_.is_one_of = definition.is_one_of
        type_.out_type = lambda value: struct(**value)  # type: ignore[method-assign]  # graphql-core's hook
        self._structs[type_.name] = struct
        return struct

    def _struct_field(
        self, name: str, field: GraphQLInputField, *, is_one_of: bool
    ) -> tuple[str, Any] | tuple[str, Any, Any]:
        if is_one_of:
            # null is refused here as GraphQL refuses it, and None means "another one was given"
            return name, self._non_null(field.type), None
        annotation = self._annotation(field.type)
        default = field.extensions["strawberry-definition"].default_value
        if default is not UNSET and default is not dataclasses.MISSING:
            return name, annotation, default
        return (name, annotation) if is_non_null_type(field.type) else (name, annotation, None)


def _exactly_one(value: msgspec.Struct) -> None:
    given = sum(getattr(value, name) is not None for name in value.__struct_fields__)
    if given != 1:
        raise ValueError("exactly one key must be given")


def _python_name(field: GraphQLInputField) -> str:
    definition = field.extensions["strawberry-definition"]
    assert isinstance(definition, StrawberryField)
    return definition.python_name


def _scalar_annotation(type_: GraphQLScalarType) -> Any:
    if type_.name in _BUILT_IN:
        return _BUILT_IN[type_.name]
    definition = type_.extensions.get("strawberry-definition")
    parser = definition.parse_value if isinstance(definition, ScalarDefinition) else None
    if isinstance(parser, Exactly):
        return parser.annotation
    raise TypeError(f"the scalar {type_.name} says nothing exact about its input")


def _enum_annotation(type_: GraphQLEnumType) -> Any:
    """The Python enum, whose values must be the names that travel, so that msgspec may read them."""
    definition = type_.extensions["strawberry-definition"]
    assert isinstance(definition, StrawberryEnumDefinition)
    if any(value.value != name for name, value in type_.values.items()):
        raise TypeError(f"the values of {type_.name} differ from their names")
    return definition.wrapped_cls


def unwrapped(type_: Any) -> Any:
    """The named type inside lists and non-nulls."""
    while is_non_null_type(type_) or is_list_type(type_):
        type_ = type_.of_type
    return type_
