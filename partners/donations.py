"""Donations: a member's points given to a charity, which is a partner, and settled as a burn there."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from ledger import Donate, Ledger, Refused

from .answer import Answer, answer_of
from .digest import digest_of
from .directory import Agreement, Directory
from .holds import check_points
from .names import idempotency_key
from .notes import Note, check_reason, encode_note
from .till import PARTNER_SUSPENDED

NOT_A_CHARITY: Final = Refused(
    code="NOT_A_CHARITY", message="this partner takes no donations", field=("charity",)
)


class DonationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`points` of a member for the partner `charity`; `reason` says at whose word they are given."""

    key: str
    member: int
    charity: int
    points: int
    reason: str


async def donate_points(
    ledger: Ledger, directory: Directory, request: DonationRequest, *, by: str, at: datetime
) -> Answer:
    """Give points to a charity on a member's behalf. Raises `InvalidInput`, `Throttled`."""
    check_points(request.points)
    agreement = directory.agreement_at(request.charity, at)
    command = Donate(
        principal=by,
        key=idempotency_key(request.key),
        digest=digest_of(
            "donate", request.member, request.charity, request.points, check_reason(request.reason)
        ),
        member=request.member,
        occurred_at=at,
        partner=request.charity,
        terms=agreement.id if agreement else 0,
        detail=encode_note(Note(by=by, reason=request.reason)),
        refused=_refused(directory, request.charity, agreement),
        points=request.points,
    )
    return answer_of(await ledger.submit(command))


def _refused(directory: Directory, charity: int, agreement: Agreement | None) -> Refused | None:
    if agreement is None or not agreement.terms.is_charity:
        return NOT_A_CHARITY
    return PARTNER_SUSPENDED if directory.partner(charity).is_suspended else None
