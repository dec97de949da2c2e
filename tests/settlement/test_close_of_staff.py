"""Closing what staff did: grants of the operator, adjustments and donations, with figures by hand.

The golden coalition's prices: a point is redeemed for 0.9275, the fee is 1.5 % of that, B and D
fund at issue, A and C at redemption, and the operator reserves what it grants.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import count
from typing import Any

from sqlalchemy import text

from ledger import Adjust, Burn, Command, Donate, Earn, Grant, Ledger, invariants
from ledger import proof as ledger_proof
from ledger.accounts import MEMO_CLAIM, MEMO_OUTSTANDING, OPEX_CAMPAIGN, RESERVE, SETTLE
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from settlement import issued, proof
from settlement.close import advance
from settlement.periods import Period
from tests.settlement.coalition import ENDS, OPENED, STAFF, Coalition

LAPSES = ENDS[2].replace(year=2027)
VALUE = 927_500
_keys = count()


def member(number: int) -> int:
    return compose(number % 64, number)


class Deeds:
    """Commands by the names of the golden file."""

    def __init__(self, coalition: Coalition) -> None:
        self.coalition = coalition

    def common(self, who: int, partner: str) -> dict[str, Any]:
        key = f"{next(_keys)}"
        return {
            "principal": "staff:test",
            "key": key,
            "digest": sha256(key.encode()).digest(),
            "member": member(who),
            "occurred_at": OPENED,
            "partner": self.coalition.partners[partner],
            "terms": self.coalition.terms.get(partner, 0),
        }

    def priced(self, obligor: str) -> dict[str, Any]:
        tariff = self.coalition.tariffs[obligor]
        return {"obligor": self.coalition.partners[obligor], "tariff": tariff, "expires_at": LAPSES}

    def earn(self, who: int, partner: str, points: int) -> Command:
        return Earn(points=points, **self.priced(partner), **self.common(who, partner))

    def grant(self, who: int, shown: str, points: int) -> Command:
        return Grant(points=points, **self.priced("O"), **self.common(who, shown))

    def adjust(self, who: int, obligor: str, points: int) -> Command:
        return Adjust(points=points, reason=1, **self.priced(obligor), **self.common(who, obligor))

    def burn(self, who: int, partner: str, points: int) -> Command:
        return Burn(points=points, **self.common(who, partner))

    def donate(self, who: int, charity: str, points: int) -> Command:
        return Donate(points=points, **self.common(who, charity))


async def close(ledger: Ledger, database: Database, commands: list[Command]) -> Period:
    """January with these operations and no others, closed and proved."""
    outcomes = await ledger.submit_many(commands)
    assert [outcome.refused for outcome in outcomes] == [None] * len(commands)
    await ledger.advance(ENDS[1])
    closed = await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    everything = (*invariants.INVARIANTS, *proof.INVARIANTS)
    assert (await ledger_proof.prove(database.writer, everything)).findings == ()
    return closed


def charges(closed: Period, coalition: Coalition) -> dict[str, int]:
    """What each partner pays (+) or receives (−), micro-units, by name; those of zero left out."""
    assert closed.sheet is not None
    assert closed.sheet.sum_micro == 0
    lines = closed.sheet.lines
    return {coalition.name(line.partner): line.charge_micro for line in lines if line.charge_micro}


async def posted(database: Database, debit: int, credit: int) -> int:
    """Money that the close moved from one kind of account to another, micro-units."""
    money = "SELECT coalesce(sum(amount), 0) FROM lines WHERE unit = 'RUB'"
    query = text(f"{money} AND debit = :d AND credit = :c")
    async with database.writer.connect() as connection:
        return int((await connection.execute(query, {"d": debit, "c": credit})).scalar_one())


async def test_the_operator_pays_for_its_grant_wherever_it_is_burned(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    """1,000 points shown as A's: 400 burned at A itself, 300 at D; 300 stay reserved."""
    deeds = Deeds(coalition)

    closed = await close(
        ledger, database, [deeds.grant(1, "A", 1_000), deeds.burn(1, "A", 400), deeds.burn(1, "D", 300)]
    )

    # A: 400 × 0.9275 = 371.00, less 1.5 % = 5.565; D: 300 × 0.9275 = 278.25, less 4.17375.
    assert charges(closed, coalition) == {"O": 639_511_250, "A": -365_435_000, "D": -274_076_250}
    assert await posted(database, OPEX_CAMPAIGN, RESERVE) == 1_000 * VALUE


async def test_an_adjustment_is_paid_for_by_its_obligor(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    """B (at issue) pays the redemption value of what is given and gets back that of what is taken."""
    deeds = Deeds(coalition)

    closed = await close(
        ledger,
        database,
        [
            deeds.adjust(1, "B", 200),
            deeds.adjust(1, "B", -50),
            deeds.adjust(1, "A", 100),
            deeds.adjust(1, "A", -30),
            deeds.adjust(1, "O", 20),
        ],
    )

    # B: (200 − 50) × 0.9275 = 139.125, no margin; A funds at redemption, so its points are a memo.
    assert charges(closed, coalition) == {"O": -139_125_000, "B": 139_125_000}
    assert await posted(database, SETTLE, RESERVE) == 200 * VALUE
    assert await posted(database, RESERVE, SETTLE) == 50 * VALUE
    assert await posted(database, OPEX_CAMPAIGN, RESERVE) == 20 * VALUE
    assert await posted(database, MEMO_CLAIM, MEMO_OUTSTANDING) == 100 * VALUE
    assert await posted(database, MEMO_OUTSTANDING, MEMO_CLAIM) == 30 * VALUE


async def test_adjusted_points_of_an_obligor_who_pays_at_redemption_are_paid_when_burned(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    deeds = Deeds(coalition)

    closed = await close(ledger, database, [deeds.adjust(1, "A", 100), deeds.burn(1, "D", 100)])

    # A → D: 92.75; D pays 1.5 % of it to the operator: 1.39125.
    assert charges(closed, coalition) == {"O": -1_391_250, "A": 92_750_000, "D": -91_358_750}


async def test_a_donation_is_settled_as_a_burn_at_the_charity(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    """80 of 100 points of B, who has paid 0.95 for each: 0.9275 to the reserve, the rest is margin."""
    deeds = Deeds(coalition)

    closed = await close(ledger, database, [deeds.earn(1, "B", 100), deeds.donate(1, "C", 80)])

    # C: 80 × 0.9275 = 74.20, less 1.5 % = 1.113; B: 100 × 0.95.
    assert charges(closed, coalition) == {"O": -21_913_000, "B": 95_000_000, "C": -73_087_000}


async def test_the_statement_shows_what_was_adjusted(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    deeds = Deeds(coalition)
    closed = await close(ledger, database, [deeds.adjust(1, "B", 200), deeds.adjust(1, "B", -50)])

    async with database.writer.connect() as connection:
        statements = await issued.statements(connection, period=1, partner=coalition.partners["B"])

    assert closed.sheet is not None
    (statement,) = statements
    assert (statement.points.adjusted, statement.points.closing) == (150, 150)
    assert [(entry.purpose, entry.points, entry.micro) for entry in statement.entries] == [
        ("adjustment", 200, 200 * VALUE),
        ("adjustment", -50, -50 * VALUE),
    ]
