"""A till at the door: whom a request comes from, and whether partner, outlet, date and terms let it in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from ledger.commands import Refused

from .directory import Agreement, Directory

AHEAD: Final = timedelta(minutes=5)
"""How far a till's clock may be ahead of programme time."""


class Till(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a partner, the principal that owns its idempotency keys, the outlets its client may use.

    `outlets` are ids; None means all of the partner's.
    """

    partner: int
    principal: str
    outlets: frozenset[int] | None = None


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may count on: where, when, under which terms; or the rule that refuses it."""

    occurred_at: datetime
    outlet: int = 0
    agreement: Agreement | None = None
    refused: Refused | None = None


def admit(
    directory: Directory,
    till: Till,
    *,
    outlet: str,
    occurred_at: datetime | None,
    terms_at: datetime,
    at: datetime,
) -> Admission:
    """Whether `till` may post something that occurred at `occurred_at` (now, when None) in `outlet`.

    It counts under the terms in force at `terms_at`.

    Never raises for a rule: a refusal is data, since a repeat of an accepted request must be
    answered before any rule counts.
    """
    when = occurred_at or at
    partner = directory.partners.get(till.partner)
    if partner is None or partner.is_suspended:
        return Admission(occurred_at=when, refused=PARTNER_SUSPENDED)
    found = directory.outlet(till.partner, outlet)
    if found is None or (till.outlets is not None and found.id not in till.outlets):
        return Admission(occurred_at=when, refused=OUTLET_UNKNOWN)
    if found.is_suspended:
        return Admission(occurred_at=when, outlet=found.id, refused=OUTLET_SUSPENDED)
    if when > at + AHEAD:
        return Admission(occurred_at=when, outlet=found.id, refused=AHEAD_OF_TIME)
    agreement = directory.agreement_at(till.partner, terms_at)
    window = agreement or directory.agreement_at(till.partner, at)
    if window is not None and at - when > timedelta(days=window.terms.late_window_days):
        return Admission(occurred_at=when, outlet=found.id, refused=_late(window.terms.late_window_days))
    if agreement is None:
        return Admission(occurred_at=when, outlet=found.id, refused=AGREEMENT_MISSING)
    return Admission(occurred_at=when, outlet=found.id, agreement=agreement)


PARTNER_SUSPENDED: Final = Refused(
    code="PARTNER_SUSPENDED", message="this partner neither gives nor takes points at present"
)
OUTLET_UNKNOWN: Final = Refused(
    code="OUTLET_UNKNOWN", message="this partner has no such outlet", field=("receipt", "outlet")
)
OUTLET_SUSPENDED: Final = Refused(
    code="OUTLET_UNKNOWN", message="this outlet is suspended", field=("receipt", "outlet")
)
AHEAD_OF_TIME: Final = Refused(
    code="OCCURRED_AT_OUT_OF_RANGE",
    message="the receipt is dated more than 5 minutes ahead",
    field=("receipt", "occurredAt"),
)
AGREEMENT_MISSING: Final = Refused(
    code="AGREEMENT_MISSING", message="this partner had no agreement at that time"
)


def _late(days: int) -> Refused:
    return Refused(
        code="LATE_WINDOW_PASSED",
        message=f"receipts are taken until {days} days after the purchase",
        field=("receipt", "occurredAt"),
    )
