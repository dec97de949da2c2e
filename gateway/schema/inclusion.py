"""The inclusion proof of an operation: who may have one, and how many."""

from __future__ import annotations

import json
from typing import Final

from gateway.context import Context
from ledger.evidence.exporting import inclusion_of
from ledger.evidence.inclusion import to_inclusion_file
from ledger.evidence.sealing import PeriodUnsealed

EXPORT: Final = "proof:export"
"""A proof shows the operation's row as it is hashed, with the ledger's own number of the member: that
is the same for every partner, so a partner's client is given this scope only where that is meant."""


async def proof_file(context: Context, operation: int) -> str | None:
    """The file, None before the period is sealed. The caller may see the operation."""
    context.known_caller.require(EXPORT)
    context.prove_one()
    async with context.services.database.writer.connect() as connection:
        try:
            inclusion = await inclusion_of(connection, operation)
        except PeriodUnsealed:
            return None
    return None if inclusion is None else json.dumps(to_inclusion_file(inclusion))
