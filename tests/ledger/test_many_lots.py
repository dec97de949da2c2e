"""The wallet of somebody who shops every day: very many small lots, held and given back at once."""

from __future__ import annotations

from datetime import timedelta

from ledger import Balance, Ledger
from ledger.kernel.database import Database

from . import proving
from .builders import MEMBER, START, a_burn, a_void, an_authorization, an_earn
from .instances import code, codes

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


async def test_a_void_beside_a_burn_finds_the_lot_it_gives_back_to(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(10))).hold
    assert hold is not None
    await ledger.submit(an_earn(50, expires_at=START + timedelta(days=60)))

    outcomes = await ledger.submit_many([a_burn(5), a_void(hold)])

    assert codes(outcomes) == ["OK", "OK"]
    await proving.holds(database)


async def test_a_burn_that_needs_fewer_lots_than_were_read_forgets_none(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit_many([an_earn(10, expires_at=START + timedelta(days=60 + n)) for n in range(8)])
    await ledger.submit(a_burn(30))  # from now on three are read at first

    await ledger.submit(a_burn(10))

    await proving.holds(database)
    assert codes([await ledger.submit(a_burn(40))]) == ["OK"]
