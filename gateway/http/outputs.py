"""Turns what resolvers give back into JSON values: one closure per (type, selection), made once.

A closure does what graphql-core's completion does for the cases that occur, and raises on
everything else (a null where none may be, a value of the wrong class, a raising property). Then
graphql-core completes the same resolved values and words the error. So every closure but that
of `nullable` raises when it is given None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLOutputType,
    GraphQLScalarType,
    is_list_type,
    is_non_null_type,
)

Completer = Callable[[Any], Any]


class Uncertain(Exception):
    """A value that the compiled way does not complete; graphql-core decides about it."""


def nullable(complete: Completer) -> Completer:
    """A completer that lets null pass."""

    def complete_nullable(value: Any) -> Any:
        return None if value is None else complete(value)

    return complete_nullable


def each(complete: Completer) -> Completer:
    """A completer of lists and tuples."""

    def complete_list(value: Any) -> Any:
        if value.__class__ is not list and value.__class__ is not tuple:
            raise Uncertain
        return [complete(item) for item in value]

    return complete_list


Read = str | Callable[[Any], Any]
"""Where a field's value comes from: the name of an attribute, or a function of the object."""


def mapping(fields: Sequence[tuple[str, Read, Completer]]) -> Completer:
    """A completer of an object: for each key of the answer, what to read and how to complete it."""
    names = [read for _, read, _ in fields if isinstance(read, str)]
    if len(names) == len(fields) > 1:
        return _of_attributes(attrgetter(*names), tuple((key, complete) for key, _, complete in fields))
    readers = (attrgetter(read) if isinstance(read, str) else read for _, read, _ in fields)
    return _of_readers(
        tuple((key, read, complete) for (key, _, complete), read in zip(fields, readers, strict=True))
    )


def _of_attributes(read: Callable[[Any], Any], steps: tuple[tuple[str, Completer], ...]) -> Completer:
    def complete_object(value: Any) -> Any:
        if value is None:
            raise Uncertain
        return {key: complete(item) for (key, complete), item in zip(steps, read(value), strict=True)}

    return complete_object


def _of_readers(steps: tuple[tuple[str, Callable[[Any], Any], Completer], ...]) -> Completer:
    def complete_object(value: Any) -> Any:
        if value is None:
            raise Uncertain
        return {key: complete(read(value)) for key, read, complete in steps}

    return complete_object


def constant(value: Any) -> Completer:
    """A completer that answers the same whatever it is given: `__typename`."""
    return lambda _: value


def of_type(type_: GraphQLOutputType, named: Completer) -> Completer:
    """Wrap the completer of a named type as the lists and non-nulls around it demand."""
    if is_non_null_type(type_):
        return _inside(type_.of_type, named)
    return nullable(_inside(type_, named))


def _inside(type_: GraphQLOutputType, named: Completer) -> Completer:
    return each(of_type(type_.of_type, named)) if is_list_type(type_) else named


def leaf(type_: GraphQLScalarType | GraphQLEnumType) -> Completer:
    """The completer of a scalar or an enum."""
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)
    if type_.name in _PLAIN:
        return _PLAIN[type_.name]
    return _scalar(type_)


def _text(value: Any) -> Any:
    if value.__class__ is not str:
        raise Uncertain
    return value


def _flag(value: Any) -> Any:
    if value.__class__ is not bool:
        raise Uncertain
    return value


def _small(value: Any) -> Any:
    if value.__class__ is not int or not -(2**31) <= value < 2**31:
        raise Uncertain
    return value


_PLAIN: Final[dict[str, Completer]] = {"String": _text, "ID": _text, "Boolean": _flag, "Int": _small}


def _enum(type_: GraphQLEnumType) -> Completer:
    names = {value.value: name for name, value in type_.values.items()}
    definition = type_.extensions.get("strawberry-definition")
    members = {member: names[member.value] for member in getattr(definition, "wrapped_cls", ())}
    names |= members

    def complete_enum(value: Any) -> Any:
        name = names.get(value)
        if name is None:
            raise Uncertain
        return name

    return complete_enum


def _scalar(type_: GraphQLScalarType) -> Completer:
    coerce = type_.coerce_output_value
    assert coerce is not None

    def complete_scalar(value: Any) -> Any:
        coerced = coerce(value)
        if coerced is None:
            raise Uncertain
        return coerced

    return complete_scalar
