"""Freezing: support stops a member's wallet, or lets it go on, and says why."""

from __future__ import annotations

from datetime import datetime

from ledger import Freeze, Ledger, Unfreeze
from ledger.kernel.ids import OPERATOR

from .answer import Answer, answer_of
from .digest import digest_of
from .names import idempotency_key
from .notes import Note, check_reason, encode_note


async def freeze_member(
    ledger: Ledger, *, member: int, key: str, reason: str, by: str, at: datetime
) -> Answer:
    """Stop a member: no earn, no burn, no hold. What is held already may still be captured.

    Time goes on: points are released, holds lapse, lots expire. Raises `InvalidInput`, `Throttled`.
    """
    return await _post(Freeze, "freeze", ledger, member=member, key=key, reason=reason, by=by, at=at)


async def unfreeze_member(
    ledger: Ledger, *, member: int, key: str, reason: str, by: str, at: datetime
) -> Answer:
    """Let a member earn and spend again. Raises as `freeze_member` does."""
    return await _post(Unfreeze, "unfreeze", ledger, member=member, key=key, reason=reason, by=by, at=at)


async def _post(
    command: type[Freeze | Unfreeze],
    kind: str,
    ledger: Ledger,
    *,
    member: int,
    key: str,
    reason: str,
    by: str,
    at: datetime,
) -> Answer:
    asked = command(
        principal=by,
        key=idempotency_key(key),
        digest=digest_of(kind, member, check_reason(reason)),
        member=member,
        occurred_at=at,
        partner=OPERATOR,
        detail=encode_note(Note(by=by, reason=reason)),
    )
    return answer_of(await ledger.submit(asked))
