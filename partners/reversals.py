"""Reversing: an operation that was posted by mistake is undone whole."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import msgspec

from ledger import Ledger
from ledger.commands import Refused, Reverse
from ledger.records import Recorded
from ledger.refusals import OperationNotFound

from .answer import Answer, answer_of, unreadable
from .detail import Detail, encode_detail
from .digest import digest_of
from .directory import Directory
from .names import idempotency_key, name
from .receipts import Receipt
from .till import PARTNER_SUSPENDED, Till

LEAST_DAYS: Final = 1
"""How long a mistake can be undone even where no receipt is taken late."""


class ReverseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An operation to undo, and why: a sentence for those who read the books."""

    key: str
    operation: int
    reason: str


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """What a reversal names, and where it was posted: of a capture, where its hold was made."""

    recorded: Recorded
    outlet: int


async def reverse(
    ledger: Ledger, directory: Directory, till: Till, request: ReverseRequest, *, at: datetime
) -> Answer:
    """Undo an operation of this partner. Raises `InvalidInput` and `Throttled`."""
    named = (await find_mistakes(ledger, {request.operation})).get(request.operation)
    command = prepare_reverse(directory, till, request, named, at=at)
    if isinstance(command, Refused):
        return unreadable(command, at=at)
    return answer_of(await ledger.submit(command))


async def reverse_for_operator(
    ledger: Ledger, directory: Directory, principal: str, request: ReverseRequest, *, at: datetime
) -> Answer:
    """Undo an operation of any partner, in the operator's name, whenever it was posted."""
    named = (await find_mistakes(ledger, {request.operation})).get(request.operation)
    till = Till(partner=named.recorded.partner if named else 0, principal=principal)
    command = _reversal(directory, till, request, named, at=at)
    if isinstance(command, Refused):
        return unreadable(command, at=at)
    return answer_of(await ledger.submit(command))


async def find_mistakes(ledger: Ledger, ids: Collection[int]) -> dict[int, Mistake]:
    """Those of the operations that exist, by their ids; a question for them and one for their holds."""
    found = await ledger.operations(ids)
    holds = await ledger.operations({each.reference for each in found.values() if not each.outlet} - {0})
    return {
        id_: Mistake(recorded=each, outlet=each.outlet or holds.get(each.reference, each).outlet)
        for id_, each in found.items()
    }


def prepare_reverse(
    directory: Directory, till: Till, request: ReverseRequest, named: Mistake | None, *, at: datetime
) -> Reverse | Refused:
    """The ledger's command for a reversal, refused already when a rule says so. Pure."""
    command = _reversal(directory, till, request, named, at=at)
    if named is None or isinstance(command, Refused):
        return command
    return msgspec.structs.replace(command, refused=_refused(directory, named.recorded, at=at))


def _reversal(
    directory: Directory, till: Till, request: ReverseRequest, named: Mistake | None, *, at: datetime
) -> Reverse | Refused:
    """The command for a reversal of what `till` may see; a refusal for anything else."""
    key, reason = idempotency_key(request.key), name(request.reason, field="reason")
    if named is None or not _is_own(till, named):
        return Refused.of(OperationNotFound())
    recorded, outlet = named.recorded, directory.outlets.get(named.outlet)
    receipt = Receipt(
        outlet=outlet.code if outlet else "",
        terminal=recorded.terminal,
        number=recorded.receipt,
        currency=directory.programme.currency,
        lines=(),
    )
    return Reverse(
        principal=till.principal,
        key=key,
        digest=digest_of("reverse", request.operation, request.reason),
        member=recorded.member,
        occurred_at=at,
        partner=till.partner,
        outlet=named.outlet,
        terms=recorded.terms,
        detail=encode_detail(Detail(receipt=receipt, rulings=(), lines=(), ruleset=0, reason=reason)),
        operation=recorded.id,
    )


def _refused(directory: Directory, recorded: Recorded, *, at: datetime) -> Refused | None:
    """Why the till cannot undo it by itself.

    What was given may be spent elsewhere by now. Called in long after, or by a partner that was suspended,
    it would cost others, and no goods come back. What was taken, a suspended partner may give back.
    """
    partner = directory.partners.get(recorded.partner)
    if recorded.kind == "earn" and (partner is None or partner.is_suspended):
        return PARTNER_SUSPENDED
    days = max(directory.terms(recorded.terms).late_window_days, LEAST_DAYS)
    if at - recorded.recorded_at > timedelta(days=days):
        return Refused(
            code="LATE_WINDOW_PASSED",
            message=f"mistakes are undone until {days} days after they were posted; then ask the operator",
            field=("operation",),
        )
    return None


def _is_own(till: Till, named: Mistake) -> bool:
    """A partner's own, made in an outlet that its client may use; what fell due by itself is nobody's."""
    recorded = named.recorded
    if not recorded.principal or recorded.partner != till.partner or not recorded.member:
        return False
    return till.outlets is None or named.outlet in till.outlets
