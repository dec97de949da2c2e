"""Holds: what a partner may do with points that were set aside for it: capture them, or give them back."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ledger import Ledger
from ledger.commands import Capture, Void
from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import MAX_POINTS

from .answer import Answer, answer_of
from .counting import counters_of_act
from .digest import digest_of
from .directory import Directory
from .names import idempotency_key
from .till import PARTNER_SUSPENDED, Till


class CaptureRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Redeem `points` of a hold, all that is left when None; `final` gives the rest back."""

    key: str
    hold: int
    points: int | None = None
    final: bool = False


class VoidRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Give a hold's points back to the member."""

    key: str
    hold: int


async def capture_burn(
    ledger: Ledger, directory: Directory, till: Till, request: CaptureRequest, *, at: datetime
) -> Answer:
    """Redeem part or all of a hold of this partner."""
    return answer_of(await ledger.submit(prepare_capture(directory, till, request, at=at)))


async def void_burn(ledger: Ledger, till: Till, request: VoidRequest, *, at: datetime) -> Answer:
    """Give back what is left of a hold of this partner."""
    return answer_of(await ledger.submit(prepare_void(till, request, at=at)))


def prepare_capture(directory: Directory, till: Till, request: CaptureRequest, *, at: datetime) -> Capture:
    """The ledger's command for a capture. Whose hold it is and from where, the ledger knows."""
    if request.points is not None:
        check_points(request.points)
    partner = directory.partners.get(till.partner)
    return Capture(
        principal=till.principal,
        key=idempotency_key(request.key),
        digest=digest_of("capture", request.hold, request.points, request.final),
        member=0,
        occurred_at=at,
        partner=till.partner,
        refused=PARTNER_SUSPENDED if partner is None or partner.is_suspended else None,
        counters=counters_of_act(directory, till.partner, at=at),
        hold=request.hold,
        points=request.points,
        final=request.final,
        outlets=till.outlets,
    )


def prepare_void(till: Till, request: VoidRequest, *, at: datetime) -> Void:
    """The ledger's command for a void. A suspended partner may still give points back."""
    return Void(
        principal=till.principal,
        key=idempotency_key(request.key),
        digest=digest_of("void", request.hold),
        member=0,
        occurred_at=at,
        partner=till.partner,
        hold=request.hold,
        outlets=till.outlets,
    )


def check_points(points: int) -> None:
    """Raises `InvalidInput` unless points are a whole number from 1 to `MAX_POINTS`."""
    if not 0 < points <= MAX_POINTS:
        raise InvalidInput("points must be a whole number above zero", field=("points",))
