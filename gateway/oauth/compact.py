"""The compact form of a signed JWT, cut open before its signature is known to be good."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import Final

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


class NotCompact(Exception):
    """The text is no signed JWT in compact form, or longer than any that is expected."""


def segment(token: str, index: int, *, longest: int) -> bytes:
    """Part 0 (header) or 1 (claims) of a JWT, decoded; not to be trusted yet. Raises `NotCompact`."""
    if len(token) > longest or not _COMPACT.fullmatch(token):
        raise NotCompact
    part = token.split(".")[index]
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise NotCompact from None
