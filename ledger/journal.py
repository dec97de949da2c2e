"""A journal: the lines of one accepted operation, and the lots and holds it makes or closes."""

from __future__ import annotations

from datetime import datetime

import msgspec

from .lots import Lot
from .outcomes import SliceTaken


class Line(msgspec.Struct, frozen=True, gc=False):
    """`points` (> 0) from the account kind `debit` to the account kind `credit`.

    One line cannot be unbalanced. The owners of its accounts follow from its dimensions.
    `lot` is the lot that the points belong to; `hold` with `slice_no` the hold slice.
    `expired_at` is set when the points leave an expired lot for its child: the parent's expiry.
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


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A hold to be made: its id is the operation's own."""

    partner: int
    outlet: int
    terms: int
    expires_at: datetime
    slices: tuple[SliceTaken, ...]


class Journal(msgspec.Struct, frozen=True):
    """What an accepted command does. Applying it to the wallet is the only way a wallet changes.

    `points` is the headline figure of the outcome. `new_lots` come without points: the lines
    fill them. `opens` makes a hold; `hold` names the one used, `hold_left` what it has left after,
    `closes` ends it. `occurred_at` is set on what happens by itself: the instant it was due.
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
