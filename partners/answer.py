"""What a till is told: the ledger's outcome and what the rules said when it was first decided."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ledger.commands import Refused
from ledger.kernel.refusals import Refusal
from ledger.outcomes import Balance, Outcome

from .detail import Detail, decode_detail
from .notes import Note, decode_note


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome and its stored detail, or staff's note; a repeat carries those of the first time."""

    outcome: Outcome
    detail: Detail | None
    note: Note | None = None


def answer_of(outcome: Outcome) -> Answer:
    """The answer that an outcome makes."""
    stored = outcome.detail
    return Answer(outcome=outcome, detail=decode_detail(stored), note=decode_note(stored))


def unreadable(refusal: Refusal | Refused, *, at: datetime) -> Answer:
    """The answer to a request that could not be read as one: nothing was asked of the ledger."""
    refused = refusal if isinstance(refusal, Refused) else Refused.of(refusal)
    nothing = Outcome(operation=0, kind="unreadable", recorded_at=at, balance=Balance(), refused=refused)
    return Answer(outcome=nothing, detail=None)
