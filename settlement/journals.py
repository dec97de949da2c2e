"""Money journals: a closed period's movements, posted once through the ledger's treasury."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from .closing import Closing
from .money import Posting


class Treasury(Protocol):
    """The ledger's door for money: one bucket, one journal a key."""

    async def post(
        self, *, key: str, digest: bytes, postings: Sequence[Posting], period: int, at: datetime
    ) -> None:
        """Post all of `postings` as one journal; a key that was posted before changes nothing."""
        ...


class MoneyLedger(Protocol):
    """What closing a period needs of the ledger."""

    @property
    def treasury(self) -> Treasury:
        """Where money is posted."""
        ...

    async def pass_fences(self, period: int) -> None:
        """Take every idle bucket past the end of `period`."""
        ...

    async def reload_calendar(self) -> None:
        """Read the periods again after the calendar grew."""
        ...


async def post_money(ledger: MoneyLedger, closing: Closing, *, at: datetime) -> None:
    """Post what the period's points moved in money. The key names the figures, so it happens once."""
    postings = closing.postings
    if not postings:
        return
    await ledger.treasury.post(
        key=f"period:{closing.span.period}:{closing.hash.hex()}",
        digest=closing.hash,
        postings=postings,
        period=closing.span.period,
        at=at,
    )
