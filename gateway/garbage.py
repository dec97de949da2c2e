"""How often a server process looks for garbage: rarely, since what a request makes has no cycles."""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 50_000
"""Allocations between looks; the default of 700 would visit a batch of commands again and again."""


def look_rarely() -> None:
    """Leave what has been loaded so far out of every look to come, and look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)
