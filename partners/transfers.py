"""Transfers: a member sends points to another member, who has them under the same terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from ledger import Ledger, Outcome, Transfer, Transit
from ledger.commands import Refused
from ledger.kernel.ids import OPERATOR

from .digest import digest_of
from .holds import check_points
from .names import idempotency_key


class TransferRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`points` (> 0) from `sender` to `recipient`, both member ids.

    `presence` is the fingerprint (16 bytes) of the token that the sender presented; it is no part
    of what is asked. `refused` is what an earlier room had against the request; it counts only if
    the key is new.
    """

    key: str
    sender: int
    recipient: int
    points: int
    presence: bytes = b""
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The outcome for the sender, and how far the points have come; None when nothing was sent."""

    outcome: Outcome
    transit: Transit | None


async def transfer_points(ledger: Ledger, request: TransferRequest, *, principal: str, at: datetime) -> Sent:
    """Send points. Raises `InvalidInput` for a request that makes no sense, and `Throttled`."""
    check_points(request.points)
    outcome, transit = await ledger.transfer(
        Transfer(
            principal=principal,
            key=idempotency_key(request.key),
            digest=digest_of("transfer", request.sender, request.recipient, request.points),
            member=request.sender,
            occurred_at=at,
            partner=OPERATOR,
            refused=request.refused,
            points=request.points,
            to_member=request.recipient,
            token=request.presence,
        )
    )
    return Sent(outcome, transit)
