"""An operation compiled: root resolvers called one after another, answers built by closures.

`compile_operation` takes what occurs on the hot path (arguments that are variables or constants,
objects whose fields are plain attributes, no directives) and returns None for the rest, which
graphql-core executes. Whatever goes wrong inside a plan is handed to graphql-core as well, with
the values already resolved, so that every error has the words and the path it would have had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from operator import attrgetter
from typing import Any, Final

import msgspec
import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    TypeNode,
    VariableNode,
    execute,
    is_non_null_type,
    type_from_ast,
)
from graphql.execution import Middleware
from graphql.execution.values import get_argument_values

from . import outputs
from .binding import RootInfo, reader_of, resolver_of
from .inputs import unwrapped
from .shape import Shape

Arguments = Callable[[Any], dict[str, Any]]
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class RootStep:
    """One root field of a plan."""

    key: str
    arguments: Arguments
    resolve: Callable[..., Any]
    field: Any
    complete: outputs.Completer


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled operation. `variables` decodes the request's variables, or refuses them."""

    steps: tuple[RootStep, ...]
    variables: msgspec.json.Decoder[Any] | None

    async def run(
        self, context: object, variables: object, resolved: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The data of the answer, or None when graphql-core must go on from what is `resolved`.

        A resolver's value, or the exception it raised, is kept in `resolved` by response key,
        so that nothing is ever done twice.
        """
        data: dict[str, Any] = {}
        raw_info: Any = RootInfo(context)
        for step in self.steps:
            info: strawberry.Info[Any, Any] = strawberry.Info(_raw_info=raw_info, _field=step.field)
            try:
                value = step.resolve(None, info, **step.arguments(variables))
                if isawaitable(value):
                    value = await value
            except Exception as error:  # noqa: BLE001  # graphql-core words it, the endpoint masks and logs it
                resolved[step.key] = error
                return None
            resolved[step.key] = value
            try:
                data[step.key] = step.complete(value)
            except Exception:  # noqa: BLE001  # graphql-core meets the same fault and reports it
                return None
        return data


def resume(
    schema: GraphQLSchema,
    document: DocumentNode,
    *,
    context: object,
    variables: Mapping[str, Any] | None,
    operation_name: str | None,
    resolved: Mapping[str, Any],
) -> Any:
    """Execute by graphql-core, taking root fields from `resolved` where they stand there."""

    def recorded(next_: Callable[..., Any], source: object, info: Any, **arguments: Any) -> Any:
        value = resolved.get(info.path.key, _MISSING) if info.path.prev is None else _MISSING
        if value is _MISSING:
            return next_(source, info, **arguments)
        if isinstance(value, Exception):
            raise value
        return value

    middleware: Middleware = [recorded] if resolved else None
    result: Any = execute(
        schema,
        document,
        context_value=context,
        variable_values=dict(variables or {}),
        operation_name=operation_name,
        middleware=middleware,
    )
    assert isinstance(result, ExecutionResult) or isawaitable(result)
    return result


def compile_operation(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    roots: tuple[Shape, ...],
    variables: msgspec.json.Decoder[Any] | None,
) -> Plan | None:
    """The plan of an operation, None when it has something the compiler does not take."""
    if operation.directives or (variables is None and operation.variable_definitions):
        return None
    is_mutation = operation.operation is OperationType.MUTATION
    types = {
        definition.variable.name.value: definition.type for definition in operation.variable_definitions or ()
    }
    steps = []
    for root in roots:
        step = _root_step(schema, root, types)
        if step is None:
            return None
        steps.append(step)
    if len(steps) > 1 and not is_mutation:
        return None  # the fields of a query run at the same time, which graphql-core does well
    return Plan(tuple(steps), variables)


def _root_step(schema: GraphQLSchema, shape: Shape, types: Mapping[str, TypeNode]) -> RootStep | None:
    if shape.is_conditional:
        return None
    if shape.node.name.value == "__typename":
        name = shape.parent.name
        return RootStep(shape.key, _no_arguments, lambda _source, _info: name, None, outputs.constant(name))
    if shape.node.name.value.startswith("__"):
        return None
    arguments = _arguments(schema, shape, types)
    resolve = resolver_of(shape.definition)
    complete = _completer(shape)
    if arguments is None or resolve is None or complete is None:
        return None
    field = shape.definition.extensions["strawberry-definition"]
    return RootStep(shape.key, arguments, resolve, field, complete)


def _no_arguments(_: object) -> dict[str, Any]:
    return {}


def _arguments(schema: GraphQLSchema, shape: Shape, types: Mapping[str, TypeNode]) -> Arguments | None:
    """What builds a field's keyword arguments from the decoded variables."""
    nodes = shape.node.arguments or ()
    if not any(_holds_variable(argument.value) for argument in nodes):
        constants = get_argument_values(shape.definition, shape.node)
        return lambda _: dict(constants)
    names: list[str] = []
    variables: list[str] = []
    for argument in nodes:
        definition = shape.definition.args[argument.name.value]
        if not isinstance(argument.value, VariableNode):
            return None
        variable = argument.value.name.value
        if _may_be_refused(schema, definition, types[variable]):
            return None
        names.append(definition.out_name or argument.name.value)
        variables.append(variable)
    return _from_variables(tuple(names), tuple(variables))


def _from_variables(names: tuple[str, ...], variables: tuple[str, ...]) -> Arguments:
    if len(names) == 1:
        name, read = names[0], attrgetter(variables[0])

        def one(values: Any) -> dict[str, Any]:
            value = read(values)
            return {} if value is msgspec.UNSET else {name: value}

        return one
    pairs = tuple(zip(names, variables, strict=True))

    def several(values: Any) -> dict[str, Any]:
        read = ((name, getattr(values, variable)) for name, variable in pairs)
        return {name: value for name, value in read if value is not msgspec.UNSET}

    return several


def _may_be_refused(schema: GraphQLSchema, definition: GraphQLArgument, variable: TypeNode) -> bool:
    """A nullable variable for an argument that takes no null, which only a default makes valid."""
    type_ = type_from_ast(schema, variable)
    return is_non_null_type(definition.type) and not is_non_null_type(type_)


def _holds_variable(node: Any) -> bool:
    if isinstance(node, VariableNode):
        return True
    items = getattr(node, "values", None) or [field.value for field in getattr(node, "fields", None) or ()]
    return any(_holds_variable(item) for item in items)


def _completer(shape: Shape) -> outputs.Completer | None:
    named = unwrapped(shape.definition.type)
    if isinstance(named, GraphQLScalarType | GraphQLEnumType):
        return outputs.of_type(shape.definition.type, outputs.leaf(named))
    if not isinstance(named, GraphQLObjectType):
        return None
    fields: list[tuple[str, outputs.Read, outputs.Completer]] = []
    for child in shape.children:
        if child.is_conditional:
            return None
        if child.node.name.value == "__typename":
            fields.append((child.key, "__class__", outputs.constant(named.name)))
            continue
        read, complete = reader_of(child.definition), _completer(child)
        if read is None or complete is None:
            return None
        fields.append((child.key, read, complete))
    return outputs.of_type(shape.definition.type, outputs.mapping(fields))
