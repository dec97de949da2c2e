"""An adjustment: what was proposed, by whom, and what became of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from .digest import digest_of


class AdjustmentReason(StrEnum):
    """Why points are corrected; each has an account of its own in the ledger."""

    CORRECTION = "correction"
    MISSING_POINTS = "missing_points"
    GOODWILL = "goodwill"
    FRAUD = "fraud"
    TECHNICAL = "technical"


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as it was made, and what became of it.

    `tariff` is 0 for points that are taken, of whichever tariff. `operation` and `period` are
    set once it is posted, `refusal` once the ledger has refused it for good.
    """

    id: int
    member: int
    points: int
    obligor: int
    tariff: int
    expires_at: datetime
    reason: AdjustmentReason
    text: str
    proposed_at: datetime
    proposed_by: str
    lapses_at: datetime
    approved_at: datetime | None = None
    approved_by: str | None = None
    operation: int | None = None
    period: int | None = None
    refusal: str | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 over what was proposed, and by whom: what an approval is bound to."""
        return digest_of(
            "adjust",
            self.id,
            self.member,
            self.points,
            self.obligor,
            self.tariff,
            self.expires_at,
            self.reason.value,
            self.text,
            self.proposed_by,
            self.proposed_at,
        )
