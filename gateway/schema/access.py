"""How root fields are declared here: a query or a mutation, its scopes, its payload for refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import strawberry

from gateway.http import PUBLIC, guarded
from ledger.kernel.refusals import Refusal

from .errors import user_error
from .text import check_text


def query(*scopes: str, description: str, price: int = 1) -> Callable[[Callable[..., Any]], Any]:
    """A field of `Query` that any one of `scopes` opens."""
    return guarded(*scopes, description=description, price=price)


def computed(description: str, *, price: int | None = None) -> Callable[[Callable[..., Any]], Any]:
    """A field below the roots that a method answers; one that costs more than others has a price."""
    if price is not None:
        return guarded(PUBLIC, description=description, price=price)  # whoever came to it passed its root

    def field_of(resolver: Callable[..., Any]) -> Any:
        return strawberry.field(resolver=resolver, description=description)

    return field_of


def mutation(
    *scopes: str,
    payload: Callable[..., Any],
    description: str,
    price: int = 10,
    looks_up: bool = False,
    burns: bool = False,
    item_by_item: bool = False,
) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """A field of `Mutation` that any one of `scopes` opens. A refusal becomes `userErrors` of `payload`.

    Text that cannot be kept is refused here, for every mutation. What works `item_by_item` refuses it
    in the item itself, which is no matter to the others.
    """
    declare = guarded(*scopes, description=description, price=price, looks_up=looks_up, burns=burns)

    def field_of(resolver: Callable[..., Awaitable[Any]]) -> Any:
        @wraps(resolver)
        async def answer(*args: Any, **kwargs: Any) -> Any:
            try:
                if not item_by_item:
                    check_text(kwargs["input"])
                return await resolver(*args, **kwargs)
            except Refusal as refusal:
                return payload(user_errors=[user_error(refusal)])

        return declare(answer)

    return field_of
