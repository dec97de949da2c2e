"""What the ledger answers: an outcome per command, stored with it and given again on a repeat."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from .commands import Refused


class Balance(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """A member's points. `available` may be spent; what is shown is available − clawback_due."""

    pending: int = 0
    available: int = 0
    held: int = 0
    clawback_due: int = 0

    def __add__(self, other: Balance) -> Balance:
        """What somebody has who has both."""
        return Balance(
            pending=self.pending + other.pending,
            available=self.available + other.available,
            held=self.held + other.held,
            clawback_due=self.clawback_due + other.clawback_due,
        )

    @property
    def shown(self) -> int:
        """The balance a member sees."""
        return self.available - self.clawback_due


class SliceTaken(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """Points that one lot gave to a hold or a burn."""

    lot: int
    issuer: int
    obligor: int
    tariff: int
    points: int


class LineBack(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """What the return of a line (its quantity in thousandths) took back, gave back, and leaves to pay."""

    line: int
    quantity_milli: int
    points_taken: int
    points_restored: int
    money_micro: int


class LotBack(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """Points that went back to a lot, and when they expire there."""

    lot: int
    points: int
    expires_at: datetime


class Returned(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """What a return or a reversal did.

    `purchase` is the first operation of the receipt, of a reversal the one undone. Of the points
    earned, `cancelled` were still pending, `taken` were available, `due` are owed from now on, and
    `forfeited` had expired or been corrected away, so nothing is taken for them. `lots` got the burned
    points back. Money is in micro-units.
    """

    purchase: int
    lines: tuple[LineBack, ...] = ()
    cancelled: int = 0
    taken: int = 0
    due: int = 0
    lots: tuple[LotBack, ...] = ()
    forfeited: int = 0

    @property
    def restored(self) -> int:
        """Burned points that the member has again."""
        return sum(lot.points for lot in self.lots)

    @property
    def money_micro(self) -> int:
        """Money to be paid back."""
        return sum(line.money_micro for line in self.lines)


class Counted(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """What one counter of an accepted command came to: `total` after it, and the thresholds it reached.

    `cell` is the part of the window it was counted in. Of a shared counter `total` is the bucket's.
    """

    name: str
    window: str
    cell: int
    increment: int
    total: int
    crossed: tuple[int, ...] = ()
    is_shared: bool = False


class LotMade(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """What a lot was when the operation that made it was done, besides its points."""

    lot: int
    obligor: int
    earned_at: datetime
    expires_at: datetime
    earned: int
    available_at: datetime | None
    armed_at: datetime | None
    parent: int | None


class LotSet(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """What an operation made of a lot that was there before: a novation or an arming."""

    lot: int
    obligor: int
    expires_at: datetime
    armed_at: datetime | None


class Kept(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """What state keeps of an operation and neither its lines nor its outcome say: the proof compares.

    `made` are its new lots, unless `Outcome.expires_at` says all of its one lot; `changed` the lots that it
    changed. `to_member` is where its points set off to, or the survivor that it named; `parts` the SHA-256
    of the parts as the transit keeps them; `token` the fingerprint that its member token claimed.
    """

    made: tuple[LotMade, ...] = ()
    changed: tuple[LotSet, ...] = ()
    to_member: int = 0
    parts: bytes = b""
    token: bytes = b""


class Outcome(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """The one answer to a command.

    `operation` is the id of the stored operation, 0 when a retryable refusal stored nothing.
    `refused` tells a refusal; then nothing moved. `balance` is the member's after it.
    `points` is what the operation moved: earned, held, redeemed or given back. `hold`,
    `hold_left` and `hold_expires_at` tell the hold it made or used, `available_at` when
    earned points are released (None: at once), `slices` which lots gave how much, `returned`
    what a return or reversal did.
    `detail` is the command's own detail as first stored. `replayed` is said of a repeat.
    `counted` tells what became of the command's counters. `kept` is for the proof, None where there is
    nothing more to say.
    """

    operation: int
    kind: str
    recorded_at: datetime
    balance: Balance
    points: int = 0
    refused: Refused | None = None
    hold: int | None = None
    hold_left: int = 0
    hold_expires_at: datetime | None = None
    available_at: datetime | None = None
    expires_at: datetime | None = None
    slices: tuple[SliceTaken, ...] = ()
    detail: bytes = b""
    replayed: bool = False
    returned: Returned | None = None
    counted: tuple[Counted, ...] = ()
    kept: Kept | None = None


class OutcomeUnreadable(ValueError):
    """Bytes that are no outcome: nobody stored them so."""

    def __init__(self, operation: int, reason: Exception) -> None:
        super().__init__(f"the outcome of operation {operation} cannot be read: {reason}")
        self.operation = operation


_decode: Final = msgspec.msgpack.Decoder(Outcome).decode


def read_outcome(operation: int, stored: bytes) -> Outcome:
    """The outcome that is stored with `operation`. Raises `OutcomeUnreadable`, which names it."""
    try:
        return _decode(stored)
    except msgspec.DecodeError as reason:
        raise OutcomeUnreadable(operation, reason) from None
