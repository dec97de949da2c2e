"""Ties a schema built by Strawberry to graphql-core directly, past Strawberry's own execution.

Afterwards a field calls its resolver as it was written, with the input structs of `inputs`
as arguments; a field without a resolver reads an attribute. Both ways of executing use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import strawberry
from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema
from strawberry.types.field import StrawberryField

from .access import access_of
from .inputs import Inputs


class UnguardedField(Exception):
    """A root field says nothing about who may ask for it."""


class RootInfo:
    """What a resolver's `Info` reads when no graphql-core executor stands behind it."""

    __slots__ = ("context",)

    def __init__(self, context: object) -> None:
        self.context = context


def graphql_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """The graphql-core schema that Strawberry built."""
    return schema._schema  # noqa: SLF001  # Strawberry has no public name for it


def bind(schema: strawberry.Schema) -> tuple[GraphQLSchema, Inputs]:
    """Make graphql-core call resolvers directly. Raises `UnguardedField`: default is deny."""
    core = graphql_schema(schema)
    inputs = Inputs(core)
    for root in (core.query_type, core.mutation_type):
        for name, field in root.fields.items() if root else ():
            if access_of(field) is None:
                raise UnguardedField(f"{root}.{name} declares neither a scope nor PUBLIC")
    for type_ in core.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__"):
            for field in type_.fields.values():
                _bind_field(field)
    return core, inputs


def resolver_of(field: GraphQLField) -> Callable[..., Any] | None:
    """The field's resolver as `(source, info, **arguments)`, None when it reads an attribute."""
    definition = _definition(field)
    if definition.base_resolver is None:
        return None
    resolver = definition.base_resolver
    function: Any = resolver.wrapped_func
    info_name = resolver.info_parameter.name if resolver.info_parameter else None
    takes_source = resolver.self_parameter is not None

    def resolve(source: object, info: object, **arguments: Any) -> Any:
        if info_name is not None:
            arguments[info_name] = info
        return function(source, **arguments) if takes_source else function(**arguments)

    return resolve


def reader_of(field: GraphQLField) -> str | Callable[[Any], Any] | None:
    """What reads the field off an object at once: an attribute's name, or a plain method.

    None for a resolver that waits, takes arguments, or looks at the request.
    """
    definition = _definition(field)
    resolver = definition.base_resolver
    if resolver is None:
        return definition.python_name
    if resolver.is_async or resolver.arguments or resolver.info_parameter or not resolver.self_parameter:
        return None
    function: Any = resolver.wrapped_func
    return cast("Callable[[Any], Any]", function)


def _definition(field: GraphQLField) -> StrawberryField:
    definition = field.extensions["strawberry-definition"]
    assert isinstance(definition, StrawberryField)
    return definition


def _bind_field(field: GraphQLField) -> None:
    definition = _definition(field)
    for argument in field.args.values():
        argument.out_name = argument.extensions["strawberry-definition"].python_name
    call = resolver_of(field)
    if call is None:
        name = definition.python_name
        field.resolve = lambda source, _info: getattr(source, name)
        return

    def resolve(source: object, raw_info: Any, **arguments: Any) -> Any:
        info: strawberry.Info[Any, Any] = strawberry.Info(_raw_info=raw_info, _field=definition)
        return call(source, info, **arguments)

    field.resolve = resolve
