"""Reversing: an operation that was posted by mistake is undone whole."""

from __future__ import annotations

from datetime import datetime

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
from .till import Till


class ReverseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An operation to undo, and why: a sentence for those who read the books."""

    key: str
    operation: int
    reason: str


async def reverse(
    ledger: Ledger, directory: Directory, till: Till, request: ReverseRequest, *, at: datetime
) -> Answer:
    """Undo an operation of this partner. Raises `InvalidInput` and `Throttled`."""
    recorded = (await ledger.operations([request.operation])).get(request.operation)
    command = prepare_reverse(directory, till, request, recorded, at=at)
    if isinstance(command, Refused):
        return unreadable(command, at=at)
    return answer_of(await ledger.submit(command))


async def reverse_for_operator(
    ledger: Ledger, directory: Directory, principal: str, request: ReverseRequest, *, at: datetime
) -> Answer:
    """Undo an operation of any partner, in the operator's name."""
    recorded = (await ledger.operations([request.operation])).get(request.operation)
    till = Till(partner=recorded.partner if recorded else 0, principal=principal)
    command = prepare_reverse(directory, till, request, recorded, at=at)
    if isinstance(command, Refused):
        return unreadable(command, at=at)
    return answer_of(await ledger.submit(command))


def prepare_reverse(
    directory: Directory, till: Till, request: ReverseRequest, recorded: Recorded | None, *, at: datetime
) -> Reverse | Refused:
    """The ledger's command for a reversal of what `till` may see; a refusal for anything else. Pure."""
    key, reason = idempotency_key(request.key), name(request.reason, field="reason")
    if recorded is None or not _is_own(till, recorded):
        return Refused.of(OperationNotFound())
    outlet = directory.outlets.get(recorded.outlet)
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
        outlet=recorded.outlet,
        terms=recorded.terms,
        detail=encode_detail(Detail(receipt=receipt, rulings=(), lines=(), ruleset=0, reason=reason)),
        operation=recorded.id,
    )


def _is_own(till: Till, recorded: Recorded) -> bool:
    """A partner's own, made in an outlet that its client may use; what fell due by itself is nobody's."""
    if not recorded.principal or recorded.partner != till.partner or not recorded.member:
        return False
    # Captures and voids carry no outlet: their hold does, and it was made by the partner.
    return till.outlets is None or not recorded.outlet or recorded.outlet in till.outlets
