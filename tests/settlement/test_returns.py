"""Returns in money: through the ledger, period by period, against figures worked out by hand.

Redemption value 0.9275, issue price 0.95, fee 1.5 %. A funds at redemption, B and D at issue.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ledger import Balance, Ledger, invariants
from ledger import proof as points_proof
from ledger.kernel.database import Database
from ledger.kernel.ids import OPERATOR, compose
from settlement import issued, periods, proof
from settlement.close import advance
from tests.ledger.builders import a_burn, a_novation, a_return, an_earn, an_item
from tests.settlement.coalition import ENDS, STAFF, Coalition
from tests.settlement.test_close import money

ROUBLE = 1_000_000
MEMBER = compose(7, 1)


class Trade:
    """Commands by the names of the coalition's partners."""

    def __init__(self, coalition: Coalition, ledger: Ledger) -> None:
        self.coalition = coalition
        self.ledger = ledger

    async def earn(self, name: str, points: int, *, obligor: str | None = None, **given: Any) -> int:
        """The operation of an earn; `obligor` pays when it is not the issuer."""
        payer = obligor or name
        command = an_earn(
            points,
            partner=self.coalition.partners[name],
            obligor=self.coalition.partners[payer],
            tariff=self.coalition.tariffs[payer],
            occurred_at=self.ledger.clock.now(),
            **{"member": MEMBER, **given},
        )
        return (await self.ledger.submit(command)).operation

    async def burn(self, name: str, points: int, **given: Any) -> int:
        """The operation of a burn."""
        command = a_burn(
            points,
            partner=self.coalition.partners[name],
            terms=self.coalition.terms[name],
            occurred_at=self.ledger.clock.now(),
            **{"member": MEMBER, **given},
        )
        return (await self.ledger.submit(command)).operation

    async def give_back(self, name: str, operation: int, *lines: tuple[int, int]) -> None:
        """Goods come back."""
        command = a_return(
            operation,
            *lines,
            partner=self.coalition.partners[name],
            member=MEMBER,
            occurred_at=self.ledger.clock.now(),
        )
        outcome = await self.ledger.submit(command)
        assert outcome.refused is None, outcome.refused


async def charges(database: Database, coalition: Coalition, ledger: Ledger, period: int) -> dict[str, float]:
    """What a closed period charges everybody, in roubles; every proof of points and money holds."""
    await ledger.advance(ENDS[period])
    closed = await advance(database, ledger, period, at=ledger.clock.now(), by=STAFF)
    assert closed.stage is periods.Stage.PROPOSED
    assert closed.sheet is not None
    result = await points_proof.prove(database.writer, [*invariants.INVARIANTS, *proof.INVARIANTS])
    assert not result.findings, result.findings
    return {
        coalition.name(line.partner): line.charge_micro / ROUBLE
        for line in closed.sheet.lines
        if line.charge_micro
    }


async def reserved(database: Database) -> dict[int, float]:
    """The reserve by obligor, in roubles."""
    return {owner: -micro / ROUBLE for (kind, owner), micro in (await money(database)).items() if kind == 21}


async def test_a_claw_back_gives_the_issuer_back_what_it_paid(
    coalition: Coalition, ledger: Ledger, database: Database
) -> None:
    trade = Trade(coalition, ledger)
    items = (an_item(pieces=10, points_earned=100),)
    at_issue = await trade.earn("B", 100, items=items)
    at_redemption = await trade.earn("A", 100, items=items)
    await trade.earn("D", 50)

    await trade.give_back("B", at_issue, (0, 3_000))
    await trade.give_back("A", at_redemption, (0, 3_000))

    # B issued 70 at 0.95 after all, D 50; the operator keeps 0.0225 of each and reserves the rest.
    assert await charges(database, coalition, ledger, 1) == {"O": -114.0, "B": 66.5, "D": 47.5}
    partners = coalition.partners
    assert await reserved(database) == {partners["B"]: 64.925, partners["D"]: 46.375}
    assert await ledger.balance(MEMBER) == Balance(available=190)


async def test_what_is_recovered_is_paid_to_who_paid_for_the_lost_points(
    coalition: Coalition, ledger: Ledger, database: Database
) -> None:
    trade = Trade(coalition, ledger)
    purchase = await trade.earn("B", 100)
    await trade.burn("D", 100)
    await trade.give_back("B", purchase)
    assert await ledger.balance(MEMBER) == Balance(clawback_due=100)

    await trade.earn("A", 60)
    await trade.earn("D", 40)

    # B: 95.00 at issue, less 60 × 0.9275 from A and 40 × 0.9275 out of D's reserve: its margin is gone.
    # D: 38.00 at issue, less 92.75 for the burn, plus the fee of 1.39125 on it.
    assert await charges(database, coalition, ledger, 1) == {
        "O": -4.54125,
        "A": 55.65,
        "B": 2.25,
        "D": -53.35875,
    }
    assert set((await reserved(database)).values()) == {0}
    assert await ledger.balance(MEMBER) == Balance()


async def test_what_expired_is_not_owed_and_nobody_is_paid_for_it(
    coalition: Coalition, ledger: Ledger, database: Database
) -> None:
    """Of 100 points 40 were spent: the 60 that expired cost A nothing, so A may not get them from others."""
    trade = Trade(coalition, ledger)
    purchase = await trade.earn("A", 100, expires_at=ENDS[1] - timedelta(days=9))
    await trade.burn("D", 40)
    await ledger.advance(ENDS[1] - timedelta(days=9))
    await trade.give_back("A", purchase)
    assert await ledger.balance(MEMBER) == Balance(clawback_due=40)

    await trade.earn("D", 100)

    # A paid 37.10 for the burn and gets as much out of D's reserve.
    # D: 95.00 at issue, less 37.10 for the burn, plus the fee of 0.5565 on it.
    assert await charges(database, coalition, ledger, 1) == {"O": -58.4565, "D": 58.4565}
    assert await ledger.balance(MEMBER) == Balance(available=60)


@pytest.mark.parametrize(("shop", "successor"), [("B", "O"), ("D", "D")], ids=["no fee", "a fee"])
async def test_a_burn_comes_back_with_its_fee_though_another_answers_for_its_points_by_now(
    coalition: Coalition, ledger: Ledger, database: Database, shop: str, successor: str
) -> None:
    """B's points are redeemed at B without a fee, or at D with one; then they become somebody else's."""
    trade = Trade(coalition, ledger)
    await trade.earn("B", 150)
    burn = await trade.burn(shop, 100)
    leaver, successor_id = coalition.partners["B"], coalition.partners[successor]
    novated = a_novation(leaver, successor_id, tariff=coalition.tariffs["B"], member=MEMBER)
    assert (await ledger.submit(novated)).refused is None

    await trade.give_back(shop, burn)

    # B has given 150 points at 0.95 after all; what is reserved for them is its successor's.
    assert await charges(database, coalition, ledger, 1) == {"O": -142.5, "B": 142.5}
    assert await reserved(database) == {leaver: 0, successor_id: 139.125}
    assert await ledger.balance(MEMBER) == Balance(available=150)


async def test_a_debt_alone_moves_no_money_until_it_is_recovered(
    coalition: Coalition, ledger: Ledger, database: Database
) -> None:
    trade = Trade(coalition, ledger)
    purchase = await trade.earn("A", 100)
    await trade.burn("D", 100)
    await trade.give_back("A", purchase)

    # A has paid D for the burn, the return notwithstanding.
    assert await charges(database, coalition, ledger, 1) == {"O": -1.39125, "A": 92.75, "D": -91.35875}

    await trade.earn("B", 150)

    # In the next month 100 of B's points pay the debt: out of B's reserve to A, and no fee.
    assert await charges(database, coalition, ledger, 2) == {"O": -49.75, "A": -92.75, "B": 142.5}
    assert await reserved(database) == {coalition.partners["B"]: 46.375}
    assert await ledger.balance(MEMBER) == Balance(available=50)


async def test_a_debt_to_the_operators_campaign_is_recovered_to_the_campaign(
    coalition: Coalition, ledger: Ledger, database: Database
) -> None:
    trade = Trade(coalition, ledger)
    purchase = await trade.earn("B", 100, obligor="O")
    await trade.burn("D", 100)
    await trade.give_back("B", purchase)
    await trade.earn("D", 100)

    # D: 95.00 at issue, 92.75 for the burn, the fee; the campaign paid 92.75 and got it back.
    assert await charges(database, coalition, ledger, 1) == {"O": -3.64125, "D": 3.64125}
    total = await money(database)
    assert total[29, OPERATOR] == 0
    assert set((await reserved(database)).values()) == {0}


async def test_a_burn_that_is_returned_after_its_period_closed_is_a_late_item_of_the_next(
    coalition: Coalition, ledger: Ledger, database: Database
) -> None:
    trade = Trade(coalition, ledger)
    await trade.earn("B", 100)
    await trade.earn("A", 100)
    burned = await trade.burn("D", 150, items=(an_item(pieces=3, points_burned=150),))
    first = await charges(database, coalition, ledger, 1)

    await trade.give_back("D", burned, (0, 1_000))
    second = await charges(database, coalition, ledger, 2)

    # B 95.00; D 139.125 less the fees of 1.39125 on B's points and 0.695625 on A's (half-even, once each).
    assert first == {"O": -4.336875, "A": 46.375, "B": 95.0, "D": -137.038125}
    # The last taken come back first: 50 of A's points, at their value, with the fee.
    assert second == {"O": 0.695625, "A": -46.375, "D": 45.679375}
    async with database.writer.connect() as connection:
        statement = await issued.find(connection, f"0002-{coalition.partners['D']:04d}")
    assert [(e.operation, e.origin_period, e.points) for e in statement.late] == [("burn_return", 1, -50)]
    assert await ledger.balance(MEMBER) == Balance(available=100)
