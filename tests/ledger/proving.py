"""The last line of every test that moves points."""

from __future__ import annotations

from ledger import invariants, proof
from ledger.kernel.database import Database


async def holds(database: Database) -> None:
    """Fail, naming the row, unless every invariant of the ledger holds."""
    result = await proof.prove(database.writer, invariants.INVARIANTS)
    assert not result.findings, "\n".join(f"{found.invariant}: {found.row}" for found in result.findings)
