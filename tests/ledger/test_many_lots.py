"""The wallet of somebody who shops every day: very many small lots, held and given back at once."""

from __future__ import annotations

from datetime import timedelta

from ledger import Balance, Ledger
from ledger.kernel.database import Database

from . import proving
from .builders import MEMBER, START, a_burn, an_authorization, an_earn
from .instances import code

DAY = timedelta(days=1)


async def test_a_hold_over_very_many_small_lots_comes_back_after_they_expired(
    ledger: Ledger, database: Database
) -> None:
    """Elsewhere a limit on the parts of one operation strands the points of the most loyal."""
    dies_at = START + 10 * DAY
    await ledger.submit_many([an_earn(1, expires_at=dies_at) for _ in range(100)])
    held = await ledger.submit(an_authorization(100, expires_at=dies_at + DAY))
    assert code(held) == "OK"

    await ledger.advance(dies_at + 2 * DAY)

    assert await ledger.balance(MEMBER) == Balance(available=100)
    assert code(await ledger.submit(a_burn(100))) == "OK"
    await proving.holds(database)
