"""Roll-forward: how the points owed to members went from a period's opening to its closing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from .cells import Cell

_FIELD: Final = {
    "release": "issued",
    "opening": "brought",
    "claw_back": "clawed_back",
    "burn": "redeemed",
    "burn_return": "redeemed",
    "recover": "recovered",
    "expire": "expired",
    "adjust": "adjusted",
    "adjust_down": "adjusted",
    "novate_in": "novated",
    "novate_out": "novated",
    "transfer_in": "transferred",
    "transfer_out": "transferred",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RollForward:
    """Points of one obligor. Every change is signed as it changes what is owed: redeemed is < 0."""

    opening: int
    issued: int = 0
    brought: int = 0
    clawed_back: int = 0
    redeemed: int = 0
    recovered: int = 0
    expired: int = 0
    adjusted: int = 0
    novated: int = 0
    transferred: int = 0

    @property
    def before_novation(self) -> int:
        """What is owed before other obligors' points come or go."""
        return self.closing - self.novated

    @property
    def closing(self) -> int:
        """What is owed at the end."""
        return (
            self.opening
            + self.issued
            + self.brought
            + self.clawed_back
            + self.redeemed
            + self.recovered
            + self.expired
            + self.adjusted
            + self.novated
            + self.transferred
        )


def roll_forward(opening: int, cells: Iterable[Cell]) -> RollForward:
    """From `opening` points through the cells of one obligor."""
    result = RollForward(opening=opening)
    for cell in cells:
        field = _FIELD.get(cell.operation)
        if field:
            result = replace(result, **{field: getattr(result, field) + cell.outstanding})
    return result
