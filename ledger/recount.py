"""Recounting flows: their additive hashes computed again from the lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.accounts import FLOW_OF
from ledger.chain import HASH_MODULUS, flow_term
from ledger.evidence.recount import Flaw
from ledger.tables import flows_now, lines


async def flow_flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Flows whose additive hash is not that of their lines."""
    columns = [
        lines.c.bucket,
        lines.c.period,
        lines.c.issuer,
        lines.c.obligor,
        lines.c.redeemer,
        lines.c.tariff,
        lines.c.terms,
        lines.c.origin_period,
        lines.c.debit,
        lines.c.credit,
        lines.c.operation,
        lines.c.ordinal,
        lines.c.amount,
    ]
    sums: dict[tuple[Any, ...], int] = {}
    async with connection.stream(select(*columns).where(lines.c.unit == "PTS")) as stream:
        async for row in stream:
            name = FLOW_OF.get((row.debit, row.credit))
            if name is not None:
                cell = (*row[:5], name, *row[5:8])
                term = flow_term(row.operation, row.ordinal, row.amount)
                sums[cell] = (sums.get(cell, 0) + term) % HASH_MODULUS
    for row in await connection.execute(select(flows_now)):
        cell = tuple(row[:9])
        if sums.pop(cell, None) != int(row.hash):
            yield Flaw(row.bucket, f"flow {cell}: its hash is not that of its lines")
    for cell in sums:
        yield Flaw(cell[0], f"lines of {cell} are in no flow")
