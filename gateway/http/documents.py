"""Documents parsed, validated, measured and compiled once, and kept while they are in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)

from .access import PUBLIC, Access
from .inputs import Inputs
from .limits import Limits
from .plan import Plan, compile_operation
from .shape import Shape, TooMuch, check_crowd, is_paged, price_of, shape_of, terms_of


class InvalidDocument(Exception):
    """A document that cannot run, with the errors that say why."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a document, ready to run.

    `demands` are the scopes: one of each tuple. `price` is None when it depends on how many
    items its variables ask for. `plan` is None when graphql-core runs it.
    """

    document: DocumentNode
    name: str | None
    is_mutation: bool
    roots: tuple[Shape, ...]
    demands: tuple[tuple[str, ...], ...]
    price: int | None
    plan: Plan | None

    @property
    def is_paged(self) -> bool:
        """Whether it may cost less than was asked for."""
        return self.price is None

    def cost(self, variables: Callable[[], Mapping[str, Any]]) -> int:
        """What running it is expected to cost; the variables are read only if they matter."""
        return price_of(self.roots, variables()) if self.price is None else self.price


class Documents:
    """The documents of a schema, the least recently used forgotten first."""

    def __init__(
        self, schema: GraphQLSchema, inputs: Inputs, limits: Limits, *, allow_introspection: bool
    ) -> None:
        self._schema = schema
        self._inputs = inputs
        self._limits = limits
        self._rules = (
            specified_rules if allow_introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
        )
        self._known: OrderedDict[str, Mapping[str | None, Operation]] = OrderedDict()
        self._characters = 0

    def operation(self, source: str, name: str | None, charge: Callable[[int], None]) -> Operation:
        """The operation `name` of the document, its only one when `name` is None.

        One that is not known has to be read, its characters charged for, whatever comes of it. Raises
        `InvalidDocument` when it does not parse, validate, or stay within the limits.
        """
        operations = self._known.get(source)
        if operations is None:
            operations = self._known[source] = self._read(source, charge)
            self._forget(len(source))
        else:
            self._known.move_to_end(source)
        operation = operations.get(name)
        if operation is None:
            raise InvalidDocument([GraphQLError(_why_missing(name))])
        return operation

    def _forget(self, added: int) -> None:
        """Make room: what is kept is measured by its source, of which the rest is a multiple."""
        self._characters += added
        while self._characters > self._limits.remembered_characters and len(self._known) > 1:
            forgotten, _ = self._known.popitem(last=False)
            self._characters -= len(forgotten)

    def _read(self, source: str, charge: Callable[[int], None]) -> Mapping[str | None, Operation]:
        if len(source) > self._limits.source_characters:
            message = f"The document is longer than {self._limits.source_characters} characters."
            raise InvalidDocument([TooMuch(message)])
        charge(max(len(source), self._limits.read_characters_at_least))
        try:
            document = parse(source, max_tokens=self._limits.tokens)
            check_crowd(document, self._limits)
        except GraphQLError as error:
            raise InvalidDocument([error]) from None
        # the first mistake alone: graphql-core prints a wrong value whole for each of its mistakes
        errors = validate(self._schema, document, self._rules, max_errors=1)
        if errors:
            raise InvalidDocument(errors[:1])
        definitions = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        operations: dict[str | None, Operation] = {}
        for definition in definitions:
            operation = self._operation(document, definition)
            operations[operation.name] = operation
        if len(definitions) == 1:
            operations[None] = operations[operation.name]
        return operations

    def _operation(self, document: DocumentNode, definition: OperationDefinitionNode) -> Operation:
        try:
            roots = shape_of(self._schema, document, definition, self._limits)
        except TooMuch as error:
            raise InvalidDocument([error]) from None
        decoder = self._inputs.decoder(definition) if definition.variable_definitions else None
        return Operation(
            document=document,
            name=definition.name.value if definition.name else None,
            is_mutation=definition.operation is OperationType.MUTATION,
            roots=roots,
            demands=_demands(terms_of(roots)),
            price=None if is_paged(roots) else price_of(roots, {}),
            plan=compile_operation(self._schema, definition, roots, decoder),
        )


def _demands(terms: Iterable[Access]) -> tuple[tuple[str, ...], ...]:
    return tuple(dict.fromkeys(access.scopes for access in terms if PUBLIC not in access.scopes))


def _why_missing(name: str | None) -> str:
    if name is None:
        return "Must provide operation name if query contains multiple operations."
    return f"Unknown operation named '{name}'."
