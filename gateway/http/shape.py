"""The fields a document asks for, fragments spread out and merged, and what they cost.

One tree serves four readers: the limits, the scopes demanded, the price, and the compiler.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)

from .access import Access, access_of
from .inputs import unwrapped
from .limits import Limits

PAGE: Final = "first"
"""The argument that says how many items of a connection are wanted (1–100)."""

MOST_ITEMS: Final = 100


@dataclass(frozen=True, slots=True)
class Shape:
    """One field of the answer: where it stands, what it is, what it holds.

    `is_conditional` is said of a field that is or stands under something skipped or included
    by a directive, or that an abstract type gives only for some of its objects.
    """

    key: str
    parent: GraphQLNamedType
    definition: GraphQLField
    node: FieldNode
    is_conditional: bool
    children: tuple[Shape, ...] = ()

    @property
    def price(self) -> int:
        """The cost of this field alone: its declared price, 1 for an object, 0 for a leaf."""
        access = access_of(self.definition)
        if access is not None:
            return access.price
        return 1 if is_composite_type(unwrapped(self.definition.type)) else 0

    def walk(self) -> Iterator[Shape]:
        """This field and everything below it."""
        yield self
        for child in self.children:
            yield from child.walk()


class TooMuch(GraphQLError):
    """The document asks for more than a request may."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "LIMIT_EXCEEDED"})


@dataclass(slots=True)
class _Reader:
    """Reads one operation of a document that `check_crowd` has let pass: how much there is of it is known."""

    schema: GraphQLSchema
    fragments: dict[str, FragmentDefinitionNode]
    limits: Limits
    aliases: int = 0

    def selection(
        self, parent: GraphQLNamedType, sets: list[SelectionSetNode], *, conditional: bool
    ) -> tuple[Shape, ...]:
        found: dict[tuple[str, str], _Merged] = {}
        seen: set[str] = set()
        for selection_set in sets:
            self.collect(parent, selection_set, found, seen, conditional)
        shapes = []
        for (key, _), merged in found.items():
            inner = unwrapped(merged.definition.type)
            children = self.selection(inner, merged.sets, conditional=False) if merged.sets else ()
            shapes.append(
                Shape(key, merged.parent, merged.definition, merged.node, merged.is_conditional, children)
            )
        return tuple(shapes)

    def collect(
        self,
        parent: GraphQLNamedType,
        selection_set: SelectionSetNode,
        found: dict[tuple[str, str], _Merged],
        seen: set[str],
        conditional: bool,
    ) -> None:
        for node in selection_set.selections:
            under_condition = conditional or bool(node.directives)
            if isinstance(node, FieldNode):
                self.add(parent, node, found, under_condition)
                continue
            condition = None
            inner: SelectionSetNode
            if isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in seen:
                    continue
                seen.add(name)
                fragment = self.fragments[name]
                condition, inner = fragment.type_condition, fragment.selection_set
            else:
                assert isinstance(node, InlineFragmentNode)
                condition, inner = node.type_condition, node.selection_set
            target = type_from_ast(self.schema, condition) if condition else parent
            assert target is not None
            if target is not parent and is_abstract_type(parent):
                under_condition = True
            self.collect(
                parent if is_abstract_type(target) and not is_abstract_type(parent) else target,
                inner,
                found,
                seen,
                under_condition,
            )

    def add(
        self,
        parent: GraphQLNamedType,
        node: FieldNode,
        found: dict[tuple[str, str], _Merged],
        conditional: bool,
    ) -> None:
        self.aliases += node.alias is not None
        if self.aliases > self.limits.aliases:
            raise TooMuch(f"The document has more than {self.limits.aliases} aliases.")
        definition = self.schema.get_field(parent, node.name.value)  # type: ignore[arg-type]  # validated
        assert definition is not None
        key = node.alias.value if node.alias else node.name.value
        merged = found.setdefault((key, parent.name), _Merged(parent, definition, node, conditional))
        merged.is_conditional |= conditional
        if node.selection_set:
            merged.sets.append(node.selection_set)


@dataclass(slots=True)
class _Crowd:
    """Counts what stands where before it is known to be valid: names that mean nothing are passed over."""

    fragments: dict[str, SelectionSetNode]
    limits: Limits
    fields: int = 0

    def count(self, sets: list[SelectionSetNode], depth: int) -> None:
        if depth > self.limits.depth:
            raise TooMuch(f"The document is more than {self.limits.depth} fields deep.")
        below: dict[str, list[SelectionSetNode]] = {}
        times: Counter[str] = Counter()
        spread: set[str] = set()
        waiting = [*sets]
        while waiting:
            for node in waiting.pop().selections:
                if isinstance(node, FieldNode):
                    self.fields += 1
                    key = node.alias.value if node.alias else node.name.value
                    times[key] += 1
                    self.check(key, times[key])
                    if node.selection_set:
                        below.setdefault(key, []).append(node.selection_set)
                elif isinstance(node, InlineFragmentNode):
                    waiting.append(node.selection_set)
                elif isinstance(node, FragmentSpreadNode) and node.name.value not in spread:
                    spread.add(node.name.value)
                    if node.name.value in self.fragments:
                        waiting.append(self.fragments[node.name.value])
        for inner in below.values():
            self.count(inner, depth + 1)

    def check(self, key: str, times: int) -> None:
        if self.fields > self.limits.fields:
            raise TooMuch(f"The document asks for more than {self.limits.fields} fields.")
        if times > self.limits.repeats:
            raise TooMuch(f"The document asks for {key} more than {self.limits.repeats} times at one place.")


def check_crowd(document: DocumentNode, limits: Limits) -> None:
    """Raise `TooMuch` for a document that it would take long to validate.

    Validating compares every two fields that stand at one place, which grows with their square.
    """
    if len(document.definitions) > limits.definitions:
        raise TooMuch(f"The document has more than {limits.definitions} operations and fragments.")
    fragments = {
        each.name.value: each.selection_set
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    crowd = _Crowd(fragments, limits)
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode | FragmentDefinitionNode):
            crowd.count([each.selection_set], 1)


@dataclass(slots=True)
class _Merged:
    parent: GraphQLNamedType
    definition: GraphQLField
    node: FieldNode
    is_conditional: bool
    sets: list[SelectionSetNode] = field(default_factory=list)


def shape_of(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, limits: Limits
) -> tuple[Shape, ...]:
    """The root fields of a valid operation. Raises `TooMuch` for too many aliases, or what is done once."""
    fragments = {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    root = schema.get_root_type(operation.operation)
    assert isinstance(root, GraphQLObjectType)
    reader = _Reader(schema, fragments, limits)
    roots = reader.selection(root, [operation.selection_set], conditional=False)
    _check_multiplicity(roots)
    return roots


def _check_multiplicity(roots: tuple[Shape, ...]) -> None:
    terms = [access for shape in roots if (access := access_of(shape.definition)) is not None]
    if sum(access.looks_up for access in terms) > 1:
        raise TooMuch("A document looks up at most one member.")
    if sum(access.burns for access in terms) > 1:
        raise TooMuch("A document burns at most once.")


def terms_of(roots: tuple[Shape, ...]) -> list[Access]:
    """What the fields of a document demand. Fields below a guarded one share its terms."""
    return [
        access
        for root in roots
        for shape in root.walk()
        if (access := access_of(shape.definition)) is not None
    ]


def is_paged(roots: tuple[Shape, ...]) -> bool:
    """Whether the price depends on how many items are asked for."""
    return any(PAGE in shape.definition.args for root in roots for shape in root.walk())


def price_of(roots: tuple[Shape, ...], variables: Mapping[str, Any]) -> int:
    """The cost of a document before it runs: the sum of its fields, once per item of a page."""
    return sum(_price(root, variables) for root in roots)


def _price(shape: Shape, variables: Mapping[str, Any]) -> int:
    below = sum(_price(child, variables) for child in shape.children)
    if PAGE in shape.definition.args:
        return shape.price + 1 + below * _page(shape, variables)
    return shape.price + below


def _page(shape: Shape, variables: Mapping[str, Any]) -> int:
    """How many items a connection is asked for; as many as it ever gives, if that is unsaid."""
    given: Any = shape.definition.args[PAGE].default_value
    for argument in shape.node.arguments or ():
        if argument.name.value == PAGE:
            if isinstance(argument.value, VariableNode):
                given = variables.get(argument.value.name.value)
            elif isinstance(argument.value, IntValueNode):
                given = int(argument.value.value)
    return min(max(given, 1), MOST_ITEMS) if isinstance(given, int) else MOST_ITEMS


def spent_on(roots: tuple[Shape, ...], data: Mapping[str, Any] | None) -> int:
    """What a paged document has really cost, counted from its answer."""
    return sum(_spent(root, (data or {}).get(root.key)) for root in roots)


def _spent(shape: Shape, value: Any) -> int:
    if isinstance(value, list):
        return sum(_spent(shape, item) for item in value) if not _is_leaf_list(shape) else 0
    if not isinstance(value, Mapping):
        return shape.price
    return shape.price + sum(_spent(child, value.get(child.key)) for child in shape.children)


def _is_leaf_list(shape: Shape) -> bool:
    """Whether the field is a list of scalars, whose items cost nothing."""
    type_ = (
        shape.definition.type.of_type if is_non_null_type(shape.definition.type) else shape.definition.type
    )
    return is_list_type(type_) and not shape.children
