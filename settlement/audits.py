"""An audit: the invariants of every room run over the whole ledger, and what is done about what breaks.

Whoever proves, the same follows: what is found is written down, its bucket is read-only from then
on, and the alarm is raised once. Only a person lifts that, and only when the proof holds again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import findings
from ledger import invariants as points
from ledger.findings import Known, NotFenced, ProofFails
from ledger.kernel.database import Database
from ledger.proof import Finding, Invariant, Proof, prove
from partners import proof as deeds
from partners.events import record

from . import proof as money

__all__ = ["CHEAP", "INVARIANTS", "Audit", "NotFenced", "ProofFails", "answer_for", "audit", "lift"]

log = structlog.get_logger()

INVARIANTS: Final = (*points.INVARIANTS, *deeds.INVARIANTS, *money.INVARIANTS)
"""Every room's list; whoever proves runs all of it."""

CHEAP: Final = tuple(invariant for invariant in INVARIANTS if invariant.is_cheap)
"""Those that read state and sums and no history: they can be looked at every few minutes."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What a proof found, and what of it nobody knew before."""

    proof: Proof
    new: tuple[Known, ...]


async def audit(database: Database, *, at: datetime, invariants: Sequence[Invariant] = INVARIANTS) -> Audit:
    """Run `invariants`; write down what is found at `at`, fence its buckets off and raise the alarm."""
    proof = await prove(database.writer, invariants)
    return Audit(proof, await answer_for(database, proof.findings, at=at))


async def answer_for(database: Database, found: Sequence[Finding], *, at: datetime) -> tuple[Known, ...]:
    """Do about `found` what an audit does; what was new of it."""
    if not found:
        return ()
    async with database.writer.begin() as connection:
        new = await findings.record(connection, found, at=at)
        for known in new:
            body = {"invariant": known.invariant, "bucket": known.bucket, "what": known.what}
            await record(connection, "ledger.finding", at=at, body=body)
    for known in new:
        log.error(
            "invariant_broken",
            finding=known.id,
            invariant=known.invariant,
            bucket=known.bucket,
            row=known.what,
        )
    return tuple(new)


async def lift(
    database: Database,
    connection: AsyncConnection,
    bucket: int | None,
    *,
    by: str,
    because: str,
    at: datetime,
) -> list[Known]:
    """Let `bucket` be written again once the whole proof finds nothing in it; the findings answered for.

    None lifts the findings that blame no bucket. One person is enough: what has to be judged is
    judged by the proof. Raises `ProofFails` with what still breaks, `NotFenced`, `InvalidInput`.
    """
    known = await findings.liftable(connection, bucket, because)
    found = (await prove(database.writer, INVARIANTS)).findings
    broken = next((finding for finding in found if finding.bucket == bucket), None)
    if broken is not None:
        await answer_for(database, found, at=at)
        raise ProofFails(broken)
    lifted = await findings.lift(connection, bucket, known, by=by, because=because, at=at)
    await record(
        connection, "ledger.fence_lifted", at=at, body={"bucket": bucket, "by": by, "because": because}
    )
    return lifted
