"""Recounting ways: where points set off to, and whom a member was merged into, as the operations said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from .evidence.recount import Flaw
from .outcomes import read_outcome
from .transits import Transit, unpacked

_TRANSITS: Final = text("""
    SELECT id, t.kind, t.member, t.to_member, t.opened_at, t.state, t.refusal, t.points, t.parts,
           o.kind AS sent_by, o.member AS sender, o.recorded_at, o.outcome,
           e.kind AS ended_by, e.digest AS reason, w.due, w.original
    FROM transits t
    FULL JOIN (SELECT bucket, id, kind, member, recorded_at, outcome FROM operations
               WHERE kind IN ('transfer', 'merge_out') AND refusal = '') o USING (bucket, id)
    LEFT JOIN (SELECT bucket, reference AS id, kind, digest FROM operations
               WHERE kind IN ('transfer_done', 'transfer_back', 'merge_done') AND refusal = '') e
        USING (bucket, id)
    LEFT JOIN (SELECT o.reference AS id, d.operation AS due, d.original FROM dues d
               JOIN operations o ON o.bucket = d.bucket AND o.id = d.operation
               WHERE o.kind = 'merge_in') w USING (id)
    ORDER BY id
""")
_SURVIVORS: Final = text("""
    SELECT bucket, member, w.merged_into, o.id, o.outcome
    FROM wallets w
    FULL JOIN (SELECT bucket, member, id, outcome FROM operations WHERE kind = 'merge' AND refusal = '') o
        USING (bucket, member)
    WHERE w.merged_into IS NOT NULL OR o.outcome IS NOT NULL
    ORDER BY bucket, member
""")


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Transits that are not what their operations sent off, or not as they were concluded.

    And debts that came by one to a survivor and are for another purchase than they were.
    """
    async with connection.stream(_TRANSITS) as stream:
        async for row in stream:
            if row.kind is None or row.outcome is None:
                missing = "is not there" if row.kind is None else "was sent off by no operation"
                yield Flaw(row.id >> 56, f"transit {row.id} {missing}")
                continue
            differing = list(_differing(row))
            for what in differing:
                yield Flaw(row.id >> 56, f"transit {row.id}: {what}")
            if row.due is not None and not differing and (was := unpacked(row.parts)[0].lot) != row.original:
                yield Flaw(
                    row.due >> 56,
                    f"due of operation {row.due}: of operation {row.original}; it came for {was}",
                )


async def survivor_flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Members with another survivor than their merge named, or with none, or without a merge."""
    async with connection.stream(_SURVIVORS) as stream:
        async for row in stream:
            kept = read_outcome(row.id, row.outcome).kept if row.outcome else None
            named = kept.to_member if kept else None
            # A merge of before did not say into whom.
            is_unsaid = row.outcome is not None and kept is None and row.merged_into is not None
            if row.merged_into != named and not is_unsaid:
                yield Flaw(
                    row.bucket, f"member {row.member}: merged into {row.merged_into}; its merge named {named}"
                )


def _differing(row: Any) -> Iterator[str]:
    """What of a transit is not as its operations say."""
    pairs = [
        ("kind", row.kind, "transfer" if row.sent_by == "transfer" else "merge"),
        ("member", row.member, row.sender),
        ("opened_at", row.opened_at, row.recorded_at),
        ("state", row.state, _state(row.ended_by)),
        ("refusal", row.refusal, row.reason.decode() if row.reason else ""),
    ]
    kept = read_outcome(row.id, row.outcome).kept
    if kept is not None:  # one of before did not say what it sent, and to whom
        is_whole = sha256(row.parts).digest() == kept.parts
        pairs += [
            ("to_member", row.to_member, kept.to_member),
            ("parts", "changed" if not is_whole else "", ""),
            ("points", row.points, _balance(row) if is_whole else row.points),
        ]
    return (f"{name} {stands}; its operations: {was}" for name, stands, was in pairs if stands != was)


def _state(ended_by: str | None) -> str:
    if ended_by is None:
        return "open"
    return "returned" if ended_by == "transfer_back" else "arrived"


def _balance(row: Any) -> int:
    parts = unpacked(row.parts)
    return Transit(row.id, row.kind, row.member, row.to_member, row.opened_at, parts).balance
