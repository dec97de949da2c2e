"""Money journals: in the treasury's bucket, exactly once, under the same chain."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from ledger import Ledger, LedgerFault, MoneyLine, PostMoney, accounts
from ledger.kernel.database import Database
from ledger.tables import lines

from . import proving
from .builders import START


def a_posting(micro: int, key: str = "period:1") -> PostMoney:
    return PostMoney(
        principal="settlement",
        key=key,
        digest=bytes(32),
        member=0,
        occurred_at=START,
        partner=0,
        currency="RUB",
        lines=(
            MoneyLine(
                debit=accounts.SETTLE, debit_owner=1, credit=accounts.RESERVE, credit_owner=1, micro=micro
            ),
        ),
    )


async def test_money_is_posted_once_however_often_it_is_sent(ledger: Ledger, database: Database) -> None:
    first = await ledger.submit(a_posting(500))
    again = await ledger.submit(a_posting(500))

    async with database.writer.connect() as connection:
        rows = (await connection.execute(select(lines.c.amount, lines.c.unit))).all()
    assert again.replayed
    assert again.operation == first.operation
    assert rows == [(500, "RUB")]
    await proving.holds(database)


async def test_a_line_of_nothing_is_refused_by_the_database_itself(
    ledger: Ledger, database: Database
) -> None:
    with pytest.raises(LedgerFault):
        await ledger.submit(a_posting(0))

    await ledger.submit(a_posting(1))
    await proving.holds(database)
