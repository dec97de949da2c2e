"""What has come back of an operation's lines so far: the ground on which the next return is decided."""

from __future__ import annotations

from typing import Final

import msgspec

WHOLE: Final = -1
"""The line number under which an operation is marked as reversed."""


class Mark(msgspec.Struct, frozen=True, gc=False):
    """How far a line of an operation has come back, all returns together.

    `points` were taken back of an earn, restored of a burn or a hold. Quantity and money are the
    purchase's, so they stand in the marks of each of its operations. A reversed operation has
    one mark, at the line `WHOLE`.
    """

    operation: int
    line: int
    quantity_milli: int
    points: int
    money_micro: int
