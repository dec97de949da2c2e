"""What a decision may know besides the wallet and the command."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from ledger.allowances import Allowance, Place


class Situation(msgspec.Struct, frozen=True, gc=False):
    """The id the operation will have, the instant it is recorded, the programme's time zone.

    `escrow` is what buckets may still spend of shared counters.
    """

    operation: int
    at: datetime
    zone: ZoneInfo
    escrow: Mapping[Place, Allowance] = {}
