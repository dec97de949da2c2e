"""What became of an adjustment is compared with what the ledger keeps of it, and a changed row is named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from partners import Adjustment, AdjustmentReason, Proposal, adjustments
from partners.proof import INVARIANTS
from tests.damage import damaged_for_now
from tests.partners.builders import MEMBER
from tests.partners.conftest import Coalition
from tests.servers import Urls

MAKER, APPROVER = "staff:maker", "staff:approver"
FEBRUARY: Final = datetime(2026, 2, 2, tzinfo=UTC)


async def approved(coalition: Coalition, points: int) -> Adjustment:
    """An adjustment that somebody proposed and somebody else approved."""
    directory, at = coalition.directory, coalition.now
    given = Proposal(
        member=MEMBER, points=points, obligor=1, reason=AdjustmentReason.GOODWILL, text="a spilt coffee"
    )
    agreement = directory.agreement_at(1, at)
    assert agreement is not None
    async with coalition.database.writer.begin() as connection:
        made = await adjustments.propose(
            connection, directory, given, tariff=agreement.tariff, by=MAKER, at=at
        )
        return await adjustments.approve(connection, made.id, digest=made.digest, by=APPROVER, at=at)


async def post(coalition: Coalition, points: int) -> Adjustment:
    made = await approved(coalition, points)
    directory, at = coalition.directory, coalition.now
    return await adjustments.post(coalition.database, coalition.ledger, directory, made, at=at)


async def found_in(connection: AsyncConnection) -> list[str]:
    (invariant,) = [each for each in INVARIANTS if each.name == "adjustments"]
    return [found.row for found in await invariant.find(connection)]


CHANGED: Final = {
    "UPDATE adjustments SET approved_by = 'staff:else' WHERE id = 1": (
        "adjustment 1: approved by staff:else; in the ledger by staff:approver"
    ),
    "UPDATE adjustments SET proposed_by = 'staff:else' WHERE id = 1": "posts something else",
    "UPDATE adjustments SET points = 4 WHERE id = 1": "posts something else than what it proposes",
    "UPDATE adjustments SET approved_at = approved_at - interval '1 hour' WHERE id = 2": (
        "adjustment 2: approved at"
    ),
    "UPDATE adjustments SET period = 2 WHERE id = 1": "in period 2, refused None; in the ledger as",
    "UPDATE adjustments SET operation = operation + 1 WHERE id = 1": "adjustment 1: booked as operation",
    "UPDATE adjustments SET operation = NULL, period = NULL WHERE id = 1": (
        "adjustment 1: booked as operation None in period None, refused None; in the ledger as"
    ),
    "UPDATE adjustments SET refusal = NULL, operation = 7, period = 1 WHERE id = 2": (
        "refused None; in the ledger as None in None, refused INSUFFICIENT_POINTS"
    ),
    "DELETE FROM adjustments WHERE id = 1": "posts what nobody proposed",
    "DELETE FROM operations WHERE principal = 'adjustments'": "adjustment 1: the ledger has no operation",
}
"""What the owner of the database might do, and what is told of it."""


async def test_a_changed_adjustment_is_named(coalition: Coalition, urls: Urls) -> None:
    given, refused = await post(coalition, 40), await post(coalition, -100)
    assert (given.period, refused.refusal) == (1, "INSUFFICIENT_POINTS")
    await coalition.ledger.advance(FEBRUARY)
    await coalition.ledger.pass_fences(1)
    async with coalition.database.writer.connect() as connection:
        assert await found_in(connection) == []

    for damage, row in CHANGED.items():
        async with damaged_for_now(urls, damage) as connection:
            found = await found_in(connection)
        assert any(row in each for each in found), (damage, found)


async def test_an_approver_who_was_interrupted_has_until_the_period_is_over(
    coalition: Coalition, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("partners.adjustment_store.finish", interrupted)
        with pytest.raises(ConnectionError):
            await post(coalition, 40)

    async with coalition.database.writer.connect() as connection:
        assert await found_in(connection) == []
    await coalition.ledger.advance(FEBRUARY)
    await coalition.ledger.pass_fences(1)
    async with coalition.database.writer.connect() as connection:
        (found,) = await found_in(connection)
    assert found.startswith("adjustment 1: booked as operation None in period None")
