"""Purchases: the operations posted for one receipt, as a return finds them again."""

from __future__ import annotations

from typing import Final

import msgspec

from .commands import Authorize, Burn, Capture, Command, Earn, Item
from .outcomes import Outcome, SliceTaken
from .returned import WHOLE, Mark

PURCHASED: Final = ("earn", "burn", "authorize")
"""The kinds of operations that a purchase is made of; captures belong to their authorisation."""


class Original(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An operation that may come back. `hold` is that which it made or used, 0 for none.

    `slices` are those of a burn or a capture, in the order in which the lots were taken.
    """

    id: int
    kind: str
    partner: int
    outlet: int
    terms: int
    origin_period: int
    points: int
    terminal: str = ""
    receipt: str = ""
    is_refused: bool = False
    hold: int = 0
    items: tuple[Item, ...] = ()
    slices: tuple[SliceTaken, ...] = ()

    @classmethod
    def posted(cls, command: Command, outcome: Outcome, origin_period: int) -> Original:
        """The operation that a command of the same batch has just made."""
        receipt = getattr(command, "receipt", None)
        return cls(
            id=outcome.operation,
            kind=outcome.kind,
            partner=command.partner,
            outlet=command.outlet,
            terms=command.terms,
            origin_period=origin_period,
            points=outcome.points,
            terminal=receipt.terminal if receipt else "",
            receipt=receipt.number if receipt else "",
            hold=outcome.hold or 0,
            items=getattr(command, "items", ()),
            slices=outcome.slices,
        )

    @property
    def place(self) -> tuple[int, int, str, str]:
        """The receipt that it was posted for."""
        return self.partner, self.outlet, self.terminal, self.receipt

    @property
    def is_purchase(self) -> bool:
        """Whether goods were bought with it."""
        return self.kind in PURCHASED and not self.is_refused


class Purchases(msgspec.Struct):
    """A member's operations that this batch's returns may be about, and what came back of them so far.

    `captured` is what each hold among them was captured for, in the order of the captures, with who paid for
    each part. `forfeited` are the points of each lot they earned, and of its children, that left before this
    batch without having been of use to the member.
    """

    originals: dict[int, Original]
    marks: dict[tuple[int, int], Mark]
    forfeited: dict[int, int] = {}
    captured: dict[int, tuple[SliceTaken, ...]] = {}

    def copy(self) -> Purchases:
        """One that may be changed without changing this."""
        return Purchases(dict(self.originals), dict(self.marks), self.forfeited, dict(self.captured))

    def note(self, command: Command, outcome: Outcome, origin_period: int) -> None:
        """Remember what a command of the same batch has posted."""
        if type(command) in (Earn, Burn, Authorize):
            self.originals[outcome.operation] = Original.posted(command, outcome, origin_period)
        elif type(command) is Capture:
            self.captured[command.hold] = (*self.captured.get(command.hold, ()), *outcome.slices)

    def of_receipt(self, original: Original) -> list[Original]:
        """What was posted for the same receipt, first things first, without what was reversed."""
        if not original.receipt:
            return [] if self.is_reversed(original.id) else [original]
        return sorted(
            (
                each
                for each in self.originals.values()
                if each.is_purchase and each.place == original.place and not self.is_reversed(each.id)
            ),
            key=lambda each: each.id,
        )

    def is_reversed(self, operation: int) -> bool:
        """Whether the operation was undone whole."""
        return (operation, WHOLE) in self.marks

    def has_come_back(self, operation: int) -> bool:
        """Whether anything of the operation was returned."""
        return any(mark.operation == operation for mark in self.marks.values())

    def points_back(self, operation: int) -> int:
        """Points of the operation taken back or restored so far."""
        return sum(mark.points for mark in self.marks.values() if mark.operation == operation)
