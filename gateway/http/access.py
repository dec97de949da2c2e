"""What a root field demands of its caller: a scope, a price, and how often a document may hold it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import strawberry
from graphql import GraphQLField
from strawberry.types.field import StrawberryField

PUBLIC: Final = "PUBLIC"
"""Said of a field that anyone may ask for, so that forgetting a scope is never the same as it."""

_KEY: Final = "access"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The terms on which a field is given.

    The token must have one of `scopes`, unless they are `PUBLIC`. `price` is what the field
    costs the client's budget. A document holds at most one field that `looks_up` a member and
    one that `burns`, so that aliases cannot multiply guesses.
    """

    scopes: tuple[str, ...]
    price: int = 1
    looks_up: bool = False
    burns: bool = False


def guarded(
    *scopes: str,
    description: str,
    price: int = 1,
    looks_up: bool = False,
    burns: bool = False,
    deprecation_reason: str | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """Make a resolver a root field that any one of `scopes` opens, under the given terms."""
    if not scopes:
        raise ValueError("a guarded field names a scope, or PUBLIC")
    access = Access(scopes=scopes, price=price, looks_up=looks_up, burns=burns)

    def field_of(resolver: Callable[..., Any]) -> Any:
        return strawberry.field(
            resolver=resolver,
            description=description,
            deprecation_reason=deprecation_reason,
            metadata={_KEY: access},
        )

    return field_of


def access_of(field: GraphQLField) -> Access | None:
    """The terms a field was declared with, None for one that has none of its own."""
    definition = field.extensions.get("strawberry-definition")
    access = definition.metadata.get(_KEY) if isinstance(definition, StrawberryField) else None
    return access if isinstance(access, Access) else None
