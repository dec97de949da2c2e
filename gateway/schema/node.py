"""Opaque ids, the node interface, and pages by key."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final

import strawberry

from ledger.kernel.ids import BUCKETS, compose
from ledger.kernel.refusals import InvalidInput

MOST: Final = 100
"""The largest page."""

_LONGEST_ID: Final = 80
_ROW: Final = 2**31
_BIG_ROW: Final = 2**63
_OF_A_BUCKET: Final = compose(BUCKETS, 0)
"""Numbers are below these: of rows, of rows of which there may be very many, of what a bucket holds."""

_BELOW: Final = {
    "Operation": _OF_A_BUCKET,
    "Hold": _OF_A_BUCKET,
    "Lot": _BIG_ROW,
    "Adjustment": _BIG_ROW,
    "KnownFinding": _BIG_ROW,
    "Cursor": _BIG_ROW,
}
"""Of every other kind there are rows."""

First = Annotated[int, strawberry.argument(description="How many to give, from 1 to 100.")]
After = Annotated[
    str | None,
    strawberry.argument(description="The `endCursor` of the page before; none for the first page."),
]
Id = Annotated[strawberry.ID, strawberry.argument(description="The thing's opaque id.")]


@strawberry.interface(description="Anything that can be fetched again by its id.")
class Node:
    """What has a global id."""

    id: strawberry.ID = strawberry.field(
        description="Opaque, the same for ever; tells the kind of thing to `node(id:)`."
    )


@strawberry.type(description="Where a page stands in the whole list.")
class PageInfo:
    """The state of a connection."""

    has_next_page: bool = strawberry.field(description="Whether more follows.")
    end_cursor: str | None = strawberry.field(
        description="Give this as `after` for the next page; null when the page is empty."
    )


def global_id(kind: str, number: int) -> strawberry.ID:
    """The id of the `number`-th thing of a kind."""
    return strawberry.ID(urlsafe_b64encode(f"{kind}:{number}".encode()).decode().rstrip("="))


def read_id(id_: str) -> tuple[str, int] | None:
    """The kind and number in an id; None for what is no id, or has a number that its kind never has."""
    if len(id_) > _LONGEST_ID:
        return None
    try:
        text = urlsafe_b64decode(id_.encode("ascii") + b"=" * (-len(id_) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        return None
    kind, _, digits = text.partition(":")
    if not (digits.isascii() and digits.isdecimal()) or id_ != global_id(kind, int(digits)):
        return None
    number = int(digits)
    return (kind, number) if number < _BELOW.get(kind, _ROW) else None


def number_of(id_: str, kind: str, *, field: str) -> int:
    """The number in an id of this kind. Raises `InvalidInput` at `field` for any other text."""
    found = read_id(id_)
    if found is None or found[0] != kind:
        raise InvalidInput(f"not the id of a {kind}", field=(field,))
    return found[1]


def page_size(first: int) -> int:
    """How many items to give. Raises `InvalidInput` unless it is from 1 to 100."""
    if not 1 <= first <= MOST:
        raise InvalidInput(f"a page has 1 to {MOST} items", field=("first",))
    return first
