"""Findings: rows that broke an invariant, written down; their buckets are read-only until a person answers.

A finding is recorded once while it is open, however often the proof runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from .evidence.tables import findings
from .heads import lock_heads
from .kernel.refusals import InvalidInput, Refusal
from .proof import Finding
from .tables import heads

LONGEST_REASON: Final = 500
_AT_ONCE: Final = 1_000
"""Findings in one statement, which has 32,767 parameters at most: no alarm may fail because all is broken."""
MOST: Final = 127
"""The highest bucket that an id can name: forged rows may name one that nobody writes to."""


class ProofFails(Refusal):
    """A fence is lifted when the proof holds again, not before."""

    code = "PROOF_FAILS"
    retryable = True

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"the proof does not hold: {finding.invariant}: {finding.row}")
        self.finding = finding


class NotFenced(Refusal):
    """There is nothing to lift."""

    code = "NOT_FENCED"

    def __init__(self, bucket: int | None) -> None:
        what = "the whole ledger" if bucket is None else f"bucket {bucket}"
        super().__init__(f"nothing stands against {what}", field=("bucket",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A finding as it was recorded. `bucket` is None where no single bucket is to blame."""

    id: int
    found_at: datetime
    invariant: str
    bucket: int | None
    what: str
    lifted_at: datetime | None
    lifted_by: str | None
    lifted_because: str | None


async def record(connection: AsyncConnection, found: Sequence[Finding], *, at: datetime) -> list[Known]:
    """Record what is new of `found` and make the buckets it blames read-only; give what was new.

    Locks the heads of those buckets first, as a batch does, so nothing is written to one meanwhile.
    """
    if not found:
        return []
    blamed = {finding.bucket: finding.invariant for finding in reversed(found) if finding.bucket is not None}
    await lock_heads(connection, blamed)
    rows = [
        {
            "found_at": at,
            "invariant": finding.invariant,
            "bucket": finding.bucket,
            "what": finding.row,
            "fingerprint": _fingerprint(finding),
        }
        for finding in found
    ]
    new = []
    for start in range(0, len(rows), _AT_ONCE):
        taken = insert(findings).values(rows[start : start + _AT_ONCE])
        written = await connection.execute(taken.on_conflict_do_nothing().returning(*_COLUMNS))
        new += [Known(**row._asdict()) for row in written]
    for bucket, invariant in blamed.items():
        fence = update(heads).where(heads.c.bucket == bucket, heads.c.fenced.is_(None))
        await connection.execute(fence.values(fenced=f"proof: {invariant}"))
    return new


async def liftable(connection: AsyncConnection, bucket: int | None, because: str) -> set[int]:
    """The ids of what is open, to be answered for when a proof has found nothing.

    Raises `InvalidInput` for no bucket or no reason, `NotFenced` if there is nothing to lift.
    """
    if bucket is not None and not 0 <= bucket <= MOST:
        raise InvalidInput(f"buckets are numbered 0 to {MOST}", field=("bucket",))
    if not 1 <= len(because.strip()) <= LONGEST_REASON:
        raise InvalidInput(f"a reason has 1 to {LONGEST_REASON} characters", field=("reason",))
    is_open = set(await connection.scalars(select(findings.c.id).where(_is_open(bucket))))
    is_fenced = select(heads.c.bucket).where(heads.c.bucket == bucket, heads.c.fenced.is_not(None))
    if not is_open and await connection.scalar(is_fenced) is None:
        raise NotFenced(bucket)
    return is_open


async def lift(
    connection: AsyncConnection,
    bucket: int | None,
    known: Collection[int],
    *,
    by: str,
    because: str,
    at: datetime,
) -> list[Known]:
    """Answer for the findings of `bucket` that were `known` and let it be written again; give those findings.

    None lifts the findings that blame no bucket. The caller has proved that nothing is wrong any
    more. Raises `NotFenced`, and `ProofFails` with what another proof has found meanwhile.
    """
    if bucket is not None:
        await lock_heads(connection, [bucket])
    came = (
        await connection.execute(
            select(*_COLUMNS).where(_is_open(bucket), findings.c.id.not_in(known)).limit(1)
        )
    ).first()
    if came is not None:
        raise ProofFails(Finding(came.invariant, came.bucket, came.what))
    lifted = await connection.execute(
        update(findings)
        .where(_is_open(bucket), findings.c.id.in_(known))
        .values(lifted_at=at, lifted_by=by, lifted_because=because.strip())
        .returning(*_COLUMNS)
    )
    answered = sorted((Known(**row._asdict()) for row in lifted), key=lambda known: known.id)
    opened = 0
    if bucket is not None:
        freed = update(heads).where(heads.c.bucket == bucket, heads.c.fenced.is_not(None))
        opened = (await connection.execute(freed.values(fenced=None))).rowcount
    if not answered and not opened:
        raise NotFenced(bucket)
    return answered


async def listed(
    connection: AsyncConnection, *, only_open: bool, before: int | None = None, first: int = 100
) -> list[Known]:
    """Findings, newest first, with ids below `before`."""
    query = select(*_COLUMNS).order_by(findings.c.id.desc()).limit(first)
    if only_open:
        query = query.where(findings.c.lifted_at.is_(None))
    if before is not None:
        query = query.where(findings.c.id < before)
    return [Known(**row._asdict()) for row in await connection.execute(query)]


async def alarms(connection: AsyncConnection) -> tuple[int, int]:
    """How many findings are open, and how many buckets are read-only."""
    is_open = select(func.count()).select_from(findings).where(findings.c.lifted_at.is_(None))
    is_fenced = select(func.count()).select_from(heads).where(heads.c.fenced.is_not(None))
    row = (await connection.execute(select(is_open.scalar_subquery(), is_fenced.scalar_subquery()))).one()
    return row[0], row[1]


async def fenced(connection: AsyncConnection) -> dict[int, str]:
    """Read-only buckets, and why."""
    query = select(heads.c.bucket, heads.c.fenced).where(heads.c.fenced.is_not(None))
    return {row.bucket: row.fenced for row in await connection.execute(query.order_by(heads.c.bucket))}


_COLUMNS: Any = [column for column in findings.columns if column.name != "fingerprint"]


def _is_open(bucket: int | None) -> ColumnElement[bool]:
    blames = findings.c.bucket.is_(None) if bucket is None else findings.c.bucket == bucket
    return and_(blames, findings.c.lifted_at.is_(None))


def _fingerprint(finding: Finding) -> bytes:
    """The same for a finding met again. Figures of the whole ledger change, so they do not count."""
    what = finding.row if finding.bucket is not None else ""
    return blake2b(f"{finding.invariant}\0{finding.bucket}\0{what}".encode(), digest_size=16).digest()
