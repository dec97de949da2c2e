"""A journal: the lines of one accepted operation, and the lots and holds it makes or closes."""

from __future__ import annotations

from datetime import datetime

import msgspec

from .dues import Due
from .lots import Lot
from .outcomes import Counted, Returned, SliceTaken
from .returned import Mark
from .transits import Conclusion, Transit


class Line(msgspec.Struct, frozen=True, gc=False):
    """`points` (> 0) from the account kind `debit` to the account kind `credit`.

    One line cannot be unbalanced. The owners of its accounts follow from its dimensions.
    `lot` is the lot that the points belong to; `hold` with `slice_no` the hold slice.
    `expired_at` is set when the points change the instant they expire at: the one they had before.
    `counterpart` is the owner of `in_transit`, the reason of an adjustment, or the obligor that
    another one relieves.
    """

    debit: int
    credit: int
    points: int
    issuer: int
    obligor: int
    tariff: int
    lot: int
    earned_at: datetime
    expires_at: datetime
    redeemer: int = 0
    terms: int = 0
    hold: int = 0
    slice_no: int = 0
    expired_at: datetime | None = None
    counterpart: int = 0


def of_lot(
    debit: int,
    credit: int,
    lot: Lot,
    points: int,
    *,
    obligor: int | None = None,
    redeemer: int = 0,
    terms: int = 0,
    counterpart: int = 0,
) -> Line:
    """A line that moves `points` of `lot`; `obligor` where it is not the lot's own any more, or not yet."""
    return Line(
        debit,
        credit,
        points,
        lot.issuer,
        lot.obligor if obligor is None else obligor,
        lot.tariff,
        lot.id,
        lot.earned_at,
        lot.expires_at,
        redeemer,
        terms,
        counterpart=counterpart,
    )


class LotChange(msgspec.Struct, frozen=True, gc=False):
    """What a lot, and what holds have pinned of it, is from now on."""

    lot: int
    obligor: int
    expires_at: datetime
    armed_at: datetime | None


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A hold to be made: its id is the operation's own."""

    partner: int
    outlet: int
    terms: int
    expires_at: datetime
    slices: tuple[SliceTaken, ...]


class Undoing(msgspec.Struct, frozen=True):
    """What a return or a reversal does besides its lines: it marks what came back, and may leave a debt.

    `origin_period` is that in which the purchase happened.
    """

    returned: Returned
    marks: tuple[Mark, ...]
    origin_period: int
    due: Due | None = None


class Journal(msgspec.Struct, frozen=True):
    """What an accepted command does. Applying it to the wallet is the only way a wallet changes.

    `points` is the headline figure of the outcome. `new_lots` come without points: the lines
    fill them. `opens` makes a hold; `hold` names the one used, `hold_left` what it has left after,
    `closes` ends it. `occurred_at` is set on what happens by itself: the instant it was due.
    `sends` puts points on their way, `concludes` says how a way ended; `reference` is the operation
    that set out on it. `merges_into` gives the wallet a survivor. `changes` are made to lots,
    `restocks` are lines that only move stock from one month of expiry to another. `owes` is a debt
    that came from another wallet.
    `undoes` is set on returns and reversals; `recovers` says of which dues (by their operations)
    how many points came in.
    `freezes` stops the wallet or lets it go on; `counted` is what its counters came to.
    """

    kind: str
    points: int
    lines: tuple[Line, ...] = ()
    new_lots: tuple[Lot, ...] = ()
    opens: Opened | None = None
    hold: int = 0
    hold_left: int = 0
    closes: bool = False
    lapses: bool = False
    available_at: datetime | None = None
    expires_at: datetime | None = None
    occurred_at: datetime | None = None
    reference: int = 0
    sends: Transit | None = None
    concludes: Conclusion | None = None
    merges_into: int = 0
    changes: tuple[LotChange, ...] = ()
    restocks: tuple[Line, ...] = ()
    owes: Due | None = None
    undoes: Undoing | None = None
    recovers: tuple[tuple[int, int], ...] = ()
    freezes: bool | None = None
    counted: tuple[Counted, ...] = ()
