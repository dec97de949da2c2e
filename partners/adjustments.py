"""Adjustments: one of staff proposes to correct a member's points, another one approves exactly that.

What is approved is bound by its digest. The approval is written before the points move, and the
points move under a key made of the proposal, so that whoever is interrupted goes on by asking again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Adjust, Ledger, Refused
from ledger.kernel.database import Database
from ledger.kernel.ids import OPERATOR
from ledger.kernel.refusals import InvalidInput, Refusal, Throttled
from ledger.kernel.values import MAX_POINTS

from . import adjustment_store as store
from .adjustment import Adjustment, AdjustmentReason
from .adjustment_store import adjusters, page
from .clients import creators_of
from .days import end_of_day, local_day
from .directory import Directory
from .events import record
from .names import name
from .notes import MAX_TEXT, Note, encode_note
from .till import PARTNER_SUSPENDED

__all__ = ["LIFETIME", "Proposal", "adjusters", "approve", "page", "post", "propose"]

LIFETIME: Final = timedelta(days=7)
"""How long a proposal waits for its approval."""

PRINCIPAL: Final = "adjustments"
"""Who owns the keys of adjustments in the ledger: no caller, whose names all have a colon."""


_ACCOUNTS: Final = {reason: number for number, reason in enumerate(AdjustmentReason, start=1)}


class AdjustmentUnknown(Refusal):
    """No proposal has this id."""

    code = "ADJUSTMENT_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("no such adjustment", field=("adjustment",))


class ApproverIsMaker(Refusal):
    """Two people adjust: who proposed does not approve, nor does a client that either has registered."""

    code = "APPROVER_IS_MAKER"

    def __init__(self) -> None:
        super().__init__(
            "whoever proposed an adjustment cannot approve it, nor a client that registered the other"
        )


class ProposalChanged(Refusal):
    """The approver did not see what is proposed."""

    code = "PROPOSAL_CHANGED"

    def __init__(self) -> None:
        super().__init__("this is not what was proposed: look at it again", field=("digest",))


class ProposalExpired(Refusal):
    """The proposal has waited too long."""

    code = "PROPOSAL_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the proposal has expired: make a new one", field=("adjustment",))


class AlreadyApproved(Refusal):
    """Somebody else has approved it."""

    code = "ALREADY_APPROVED"

    def __init__(self) -> None:
        super().__init__("somebody else has approved this adjustment", field=("adjustment",))


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """`points` to be given to `member`, or taken when negative, at the cost or for the good of `obligor`."""

    member: int
    points: int
    obligor: int
    reason: AdjustmentReason
    text: str


async def propose(
    connection: AsyncConnection,
    directory: Directory,
    proposal: Proposal,
    *,
    tariff: int,
    by: str,
    at: datetime,
) -> Adjustment:
    """Store a proposal, with its event; nothing moves. `tariff` prices what is given, 0 for what is taken.

    Raises `PartnerUnknown` and `InvalidInput`.
    """
    if not 0 < abs(proposal.points) <= MAX_POINTS:
        raise InvalidInput("an adjustment gives or takes points", field=("points",))
    if proposal.obligor != OPERATOR:
        directory.partner(proposal.obligor)
    if proposal.points > 0 and _is_suspended(directory, proposal.obligor):
        raise InvalidInput("a suspended partner pays for no new points", field=("obligor",))
    zone, terms = directory.programme.zone, directory.programme.defaults
    agreement = directory.agreement_at(proposal.obligor, at)
    days = (agreement.terms if agreement else terms).lot_lifetime_days
    proposed = await store.add(
        connection,
        member=proposal.member,
        points=proposal.points,
        obligor=proposal.obligor,
        tariff=tariff if proposal.points > 0 else 0,
        expires_at=end_of_day(local_day(at, zone) + timedelta(days=days), zone),
        reason=proposal.reason.value,
        text=name(proposal.text, field="text", longest=MAX_TEXT),
        proposed_at=at,
        proposed_by=by,
        lapses_at=at + LIFETIME,
    )
    await _record(connection, "adjustment.proposed", proposed, by=by, at=at)
    return proposed


async def approve(
    connection: AsyncConnection, id_: int, *, digest: bytes, by: str, at: datetime
) -> Adjustment:
    """Approve what has this digest, with its event; the same approver may say so again. `post` moves points.

    Raises `AdjustmentUnknown`, `ApproverIsMaker`, `ProposalChanged`, `AlreadyApproved`, `ProposalExpired`.
    """
    found = await store.find(connection, id_, locked=True)
    if found is None:
        raise AdjustmentUnknown
    if await _is_one_person(connection, found.proposed_by, by):
        raise ApproverIsMaker
    if found.digest != digest:
        raise ProposalChanged
    if found.approved_by == by:
        return found
    if found.approved_by is not None:
        raise AlreadyApproved
    if at >= found.lapses_at:
        raise ProposalExpired
    approved = await store.approve(connection, id_, by=by, at=at)
    await _record(connection, "adjustment.approved", approved, by=by, at=at)
    return approved


def _is_suspended(directory: Directory, obligor: int) -> bool:
    return obligor != OPERATOR and directory.partner(obligor).is_suspended


async def _is_one_person(connection: AsyncConnection, maker: str, approver: str) -> bool:
    """Whether two principals are one pair of eyes: the same, or one has the secret of the other.

    A client that registers another is shown its secret, and so is whoever stands behind both.
    """
    if maker == approver or maker in await creators_of(connection, approver):
        return True
    return approver in await creators_of(connection, maker)


async def post(
    database: Database, ledger: Ledger, directory: Directory, adjustment: Adjustment, *, at: datetime
) -> Adjustment:
    """Move the points of an approved adjustment, if that has not been done, and tell what became of it.

    A partner that was suspended meanwhile, perhaps for good, pays for no new points: `PARTNER_SUSPENDED`.

    Raises `Throttled` when the ledger cannot take it now: the approval stands, and asking again goes on.
    """
    assert adjustment.approved_by is not None, "only what is approved is posted"
    if adjustment.operation is not None or adjustment.refusal is not None:
        return adjustment
    pays = adjustment.points > 0 and _is_suspended(directory, adjustment.obligor)
    command = _command(adjustment, adjustment.approved_by, at, PARTNER_SUSPENDED if pays else None)
    outcome = await ledger.submit(command)
    if outcome.refused is not None and outcome.refused.retryable:
        raise Throttled(outcome.refused.message)
    recorded = await ledger.operation(outcome.operation)
    assert recorded is not None, "what is not retryable is stored"
    async with database.writer.begin() as connection:
        return await store.finish(
            connection,
            adjustment.id,
            operation=None if outcome.refused else outcome.operation,
            period=None if outcome.refused else recorded.period,
            refusal=outcome.refused.code if outcome.refused else None,
        )


async def _record(
    connection: AsyncConnection, kind: str, adjustment: Adjustment, *, by: str, at: datetime
) -> None:
    """Neither the member nor the words: the digest says which proposal it was, and both are kept with it."""
    body = {
        "adjustment": adjustment.id,
        "digest": adjustment.digest.hex(),
        "points": adjustment.points,
        "reason": adjustment.reason.value,
        "by": by,
    }
    partner = None if adjustment.obligor == OPERATOR else adjustment.obligor
    await record(connection, kind, at=at, partner=partner, body=body)


def _command(adjustment: Adjustment, approved_by: str, at: datetime, refused: Refused | None) -> Adjust:
    note = Note(
        by=adjustment.proposed_by,
        approved_by=approved_by,
        approved_at=adjustment.approved_at,
        reason=adjustment.reason.value,
        text=adjustment.text,
    )
    return Adjust(
        principal=PRINCIPAL,
        key=str(adjustment.id),
        digest=adjustment.digest,
        member=adjustment.member,
        occurred_at=at,
        partner=adjustment.obligor,
        detail=encode_note(note),
        refused=refused,
        points=adjustment.points,
        obligor=adjustment.obligor,
        tariff=adjustment.tariff,
        reason=_ACCOUNTS[adjustment.reason],
        expires_at=adjustment.expires_at,
    )
