"""What the ledger answers: an outcome per command, stored with it and given again on a repeat."""

from __future__ import annotations

from datetime import datetime

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


class Outcome(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """The one answer to a command.

    `operation` is the id of the stored operation, 0 when a retryable refusal stored nothing.
    `refused` tells a refusal; then nothing moved. `balance` is the member's after it.
    `points` is what the operation moved: earned, held, redeemed or given back. `hold`,
    `hold_left` and `hold_expires_at` tell the hold it made or used, `available_at` when
    earned points are released (None: at once), `slices` which lots gave how much.
    `detail` is the command's own detail as first stored. `replayed` is said of a repeat.
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
