"""Merging: two members turn out to be one person, and one of them survives.

Phones, cards and handles of the merged member stay as they are, and so do its keys, holds and
purchases: the ledger knows who survives, and passes on what is asked of the other.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Ledger, Merge, Outcome
from ledger.kernel.ids import OPERATOR
from ledger.kernel.refusals import InvalidInput, Refusal
from ledger.kernel.text import is_readable
from ledger.records import survivor as survivor_of
from ledger.refusals import MemberMerged

from . import store
from .identifiers import MemberNotFound

_LONGEST_REASON: Final = 200


class SamePerson(Refusal):
    """The two are one member already, or one was merged into the other."""

    code = "SAME_PERSON"

    def __init__(self) -> None:
        super().__init__("both name the same member already", field=("survivor",))


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """One member's merge into another, who is the last of the chain that was named."""

    merged: int
    survivor: int
    merged_at: datetime


async def merge_members(
    connection: AsyncConnection,
    ledger: Ledger,
    *,
    merged: int,
    survivor: int,
    reason: str,
    key: str,
    at: datetime,
    by: str,
) -> Merged:
    """Let `survivor` be who `merged` was. Balances, debts and what comes later follow by themselves.

    Merges go one after another, so that none can close a circle. Killed between the ledger's commit
    and its own, a repeat under the same `key` notes what was done. Raises `SamePerson`,
    `MemberMerged`, `MemberNotFound`, and what the ledger refuses, such as `MEMBER_FROZEN`; and
    `InvalidInput` for a reason that could not be kept, before anything is done.
    """
    _check_reason(reason)
    await store.wait_for_merges(connection)
    for member, field in ((merged, "merged"), (survivor, "survivor")):
        if not await store.is_member(connection, member):
            raise MemberNotFound(field=(field,))
    heir = await survivor_of(connection, survivor)
    if heir == merged:
        raise SamePerson
    outcome = await ledger.submit(
        Merge(
            principal=by,
            key=f"merge:{key}",
            digest=sha256(f"{merged}>{survivor}".encode()).digest(),
            member=merged,
            occurred_at=at,
            partner=OPERATOR,
            survivor=heir,
        )
    )
    _check(outcome)
    await store.add_merge(connection, merged=merged, survivor=heir, reason=reason, at=at, by=by)
    return Merged(merged=merged, survivor=heir, merged_at=at)


def _check_reason(reason: str) -> None:
    if not 1 <= len(reason) <= _LONGEST_REASON or reason.isspace() or not is_readable(reason):
        raise InvalidInput(
            f"a reason has 1 to {_LONGEST_REASON} characters on one readable line", field=("reason",)
        )


def _check(outcome: Outcome) -> None:
    refused = outcome.refused
    if refused is None:
        return
    if refused.code == MemberMerged.code:
        raise MemberMerged
    raise NotMerged(refused.code, refused.message, is_retryable=refused.retryable)


class NotMerged(Refusal):
    """The ledger's own reason, under its own code."""

    code = "MEMBER_MERGED"

    def __init__(self, code: str, message: str, *, is_retryable: bool) -> None:
        super().__init__(message, field=("merged",))
        self.code = code  # type: ignore[misc]  # what the ledger said, here and nowhere else
        self.retryable = is_retryable  # type: ignore[misc]
