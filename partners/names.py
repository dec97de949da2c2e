"""What a name may look like: one line of readable text, emoji included, at most 200 characters."""

from __future__ import annotations

from typing import Final

from ledger.kernel.refusals import InvalidInput
from ledger.kernel.text import is_readable

MAX_NAME: Final = 200
MAX_KEY: Final = 255


def name(text: str, *, field: str, longest: int = MAX_NAME) -> str:
    """`text` itself, when it is 1 to `longest` characters on one readable line.

    Raises `InvalidInput` at `field` otherwise. Nothing is trimmed or changed: what a partner
    calls a thing is what it reads back.
    """
    if 0 < len(text) <= longest and is_readable(text) and not text.isspace():
        return text
    raise InvalidInput(_complaint(text, longest), field=(field,))


def optional_name(text: str, *, field: str) -> str:
    """The same for a text that may be empty."""
    return name(text, field=field) if text else text


def idempotency_key(text: str) -> str:
    """A caller's key of 1 to 255 characters; raises `InvalidInput` otherwise."""
    return name(text, field="idempotencyKey", longest=MAX_KEY)


def _complaint(text: str, longest: int) -> str:
    if not text or text.isspace():
        return "must not be empty"
    if len(text) > longest:
        return f"longer than {longest} characters"
    return "contains control characters"
