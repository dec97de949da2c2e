"""What a decision may know besides the wallet and the command."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec


class Situation(msgspec.Struct, frozen=True, gc=False):
    """The id the operation will have, the instant it is recorded, the programme's time zone."""

    operation: int
    at: datetime
    zone: ZoneInfo
