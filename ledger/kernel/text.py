"""Which text can be kept and shown: one readable line, emoji included."""

from __future__ import annotations

import unicodedata
from typing import Final

_UNREADABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Controls (PostgreSQL refuses NUL), lone surrogates (no UTF-8 for them), line separators."""


def is_readable(text: str) -> bool:
    """Whether `text` is on one line and without control characters; it may be empty."""
    return text.isprintable() or not any(unicodedata.category(each) in _UNREADABLE for each in text)
