"""The ceilings of what all members share are those that agreements set: the proof says where they are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from partners import IssuanceWindow, Terms, Till, create_partner, make_agreement, open_outlet
from partners.proof import INVARIANTS
from tests.damage import damaged_for_now
from tests.servers import Urls

from .conftest import BY, Coalition
from .test_limits import agree, code, give


async def found_in(connection: AsyncConnection) -> list[str]:
    (invariant,) = [each for each in INVARIANTS if each.name == "ceilings"]
    return [found.row for found in await invariant.find(connection)]


async def found(coalition: Coalition) -> list[str]:
    async with coalition.database.writer.connect() as connection:
        return await found_in(connection)


CHANGED = {
    "UPDATE allowance_pools SET ceiling = 5000": "5000 of pool partner:1/issued in month,",
    "UPDATE allowances SET ceiling = 5000": "5000 of escrow partner:1/issued in month of bucket 5,",
    # A limit of that partner, which was another's time.
    "UPDATE allowance_pools SET ceiling = 3000": "3000 of pool partner:1/issued in month,",
    "UPDATE allowance_pools SET cell = cell - 2": "2000 of pool partner:1/issued in month,",
    "UPDATE allowance_pools SET span = 'day'": "2000 of pool partner:1/issued in day,",
    "UPDATE allowance_pools SET name = 'partner:2/issued'": "2000 of pool partner:2/issued in month,",
}
"""What might be done to what a partner may still give, and what is told of it."""


async def test_a_ceiling_that_no_agreement_of_its_time_set_is_named(coalition: Coalition, urls: Urls) -> None:
    for month, limit in ((1, 3_000), (3, 2_000)):
        await coalition.ledger.advance(datetime(2026, month, 10, tzinfo=UTC))
        await agree(
            coalition, coalition.bakery, issuance_limit_points=limit, issuance_window=IssuanceWindow.MONTH
        )
    await coalition.ledger.advance(datetime(2026, 4, 10, tzinfo=UTC))
    assert code(await give(coalition, coalition.bakery, 50)) == "OK"
    assert await found(coalition) == []

    for damage, row in CHANGED.items():
        async with damaged_for_now(urls, damage) as connection:
            told = await found_in(connection)
        assert len(told) == 1, (damage, told)
        assert told[0].startswith(f"the ceiling {row}"), told


async def test_agreements_may_start_long_ago_and_long_hence(coalition: Coalition) -> None:
    terms = Terms(pending_days=0, issuance_limit_points=1_000, issuance_window=IssuanceWindow.DAY)
    at = coalition.now
    async with coalition.database.writer.begin() as connection:
        partner = (await create_partner(connection, name="Bank", at=at, by=BY)).id
        for starts_at in (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)):
            await make_agreement(connection, partner, terms=terms, at=at, by=BY, starts_at=starts_at)
        await open_outlet(connection, partner, code="17", name="Main street", at=at, by=BY)
    await coalition.directories.reload()

    assert code(await give(coalition, Till(partner=partner, principal="partner:3"), 50)) == "OK"

    assert await found(coalition) == []


async def test_a_limit_that_changes_within_its_window_leaves_nothing_to_find(coalition: Coalition) -> None:
    for limit in (1_000, 3_000, 2_000):
        await agree(
            coalition, coalition.bakery, issuance_limit_points=limit, issuance_window=IssuanceWindow.MONTH
        )
        assert code(await give(coalition, coalition.bakery, 50)) == "OK"
        await coalition.ledger.advance(coalition.now + timedelta(hours=1))
        assert await found(coalition) == []
    await agree(coalition, coalition.bakery, issuance_limit_points=70, issuance_window=IssuanceWindow.DAY)
    assert code(await give(coalition, coalition.bakery, 50)) == "OK"
    await agree(coalition, coalition.bakery)

    assert await found(coalition) == []
