"""Proof of what staff did and of what agreements allow: invariants in the shape of the ledger's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.evidence.recount import Flaw
from ledger.proof import by_recount

from . import adjustment_store as store
from . import ceilings
from .adjustment import Adjustment
from .adjustment_store import Posted
from .adjustments import PRINCIPAL
from .notes import Note, decode_note


async def _flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Adjustments whose row is not what the ledger keeps of them under its hashes.

    No bucket is to blame: the ledger's history is right, and the row beside it is not.
    """
    posted = await store.posted(connection, PRINCIPAL)
    async for adjustment in store.everything(connection):
        for what in _differing(adjustment, posted.pop(f"{adjustment.id}", None)):
            yield Flaw(None, f"adjustment {adjustment.id}: {what}")
    for key, stray in posted.items():
        yield Flaw(None, f"adjustment {key}: operation {stray.operation} posts what nobody proposed")


def _differing(row: Adjustment, posted: Posted | None) -> Iterator[str]:
    if posted is None:
        if row.operation is not None or row.refusal is not None:
            yield "the ledger has no operation of it"
        return
    if row.digest != posted.digest:
        yield f"operation {posted.operation} posts something else than what it proposes"
    note = _note_of(posted)
    if note is None or row.approved_by != note.approved_by:
        yield f"approved by {row.approved_by}; in the ledger by {note.approved_by if note else None}"
    # Notes had no instant of the approval at first. It was never later than what it allowed.
    noted_at = note.approved_at if note else None
    if row.approved_at is None or (row.approved_at != noted_at if noted_at else row.approved_at > posted.at):
        yield f"approved at {row.approved_at}; in the ledger at {noted_at or posted.at}"
    if row.operation is None and row.refusal is None and not posted.is_of_the_past:
        return  # whoever approved was interrupted, and goes on by asking again
    booked = (row.operation, row.period, row.refusal)
    if booked != posted.booked:
        yield (
            "booked as operation {} in period {}, refused {}; in the ledger as {} in {}, refused {}".format(
                *booked, *posted.booked
            )
        )


def _note_of(posted: Posted) -> Note | None:
    """The note of an operation; none if it was damaged, which the chain finds."""
    try:
        return decode_note(posted.detail)
    except msgspec.MsgspecError:
        return None


INVARIANTS: Final = (
    by_recount(
        "adjustments",
        "every adjustment is what its operation says: what was proposed, who approved it, where it is booked",
        _flaws,
    ),
    by_recount(
        "ceilings",
        "every ceiling that members share is an issuance limit of an agreement of its time",
        ceilings.flaws,
        is_cheap=True,
    ),
)
"""What the partners' room claims. The points beneath it are proved by the ledger's list."""
