"""Text that cannot be kept, in whatever field it comes: PostgreSQL has no NUL, UTF-8 no lone surrogates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ledger.kernel.refusals import InvalidInput

_encode: Final = msgspec.json.Encoder(enc_hook=lambda _: None).encode
_NUL: Final = rb"\u0000"


def check_text(given: object) -> None:
    """Raise `InvalidInput` at the first text in an input that holds a NUL or half of a character.

    Encoding the whole of it is many times faster than looking at each of its values, and nearly always
    enough to know that there is none.
    """
    try:
        if _NUL not in _encode(given):
            return
    except UnicodeEncodeError:
        pass
    path = _unkeepable(given)
    if path is not None:
        raise InvalidInput("contains control characters", field=path)


def _unkeepable(given: object) -> tuple[str, ...] | None:
    """The path to such a text; None if there is none."""
    if isinstance(given, str):
        return () if any(each == "\0" or "\ud800" <= each <= "\udfff" for each in given) else None
    for name, each in _parts(given):
        path = _unkeepable(each)
        if path is not None:
            return (str(name), *path)
    return None


def _parts(given: object) -> Iterable[tuple[Any, object]]:
    if isinstance(given, list):
        return enumerate(given)
    if isinstance(given, msgspec.Struct):
        return [(name, getattr(given, name)) for name in given.__struct_fields__]
    return ()
