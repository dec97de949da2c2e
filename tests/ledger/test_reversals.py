"""What was posted by mistake is undone whole, and once."""

from __future__ import annotations

from datetime import timedelta

from ledger import Balance, Ledger, flows
from ledger.kernel.database import Database

from . import proving
from .builders import (
    MEMBER,
    START,
    A,
    B,
    C,
    a_burn,
    a_capture,
    a_receipt,
    a_return,
    a_reversal,
    a_void,
    an_authorization,
    an_earn,
    an_item,
)
from .instances import code, codes

DAY = timedelta(days=1)


async def test_a_reversed_earn_is_taken_back_and_its_debt_recovered(
    ledger: Ledger, database: Database
) -> None:
    purchase = await ledger.submit(an_earn(100))
    await ledger.submit(a_burn(70))

    outcome = await ledger.submit(a_reversal(purchase.operation))
    await ledger.submit(an_earn(90, partner=C))

    assert outcome.returned is not None
    assert (outcome.returned.taken, outcome.returned.due) == (30, 70)
    assert await ledger.balance(MEMBER) == Balance(available=20)
    await proving.holds(database)


async def test_a_reversed_burn_gives_every_point_back(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many(
        [an_earn(60, expires_at=START + 40 * DAY), an_earn(60, expires_at=START + 50 * DAY)]
    )
    burned = await ledger.submit(a_burn(100))
    await ledger.advance(START + 45 * DAY)

    outcome = await ledger.submit(a_reversal(burned.operation, partner=B))

    assert outcome.returned is not None
    assert [(lot.points, lot.expires_at) for lot in outcome.returned.lots] == [
        (40, START + 50 * DAY),
        (60, START + 60 * DAY),
    ]
    assert await ledger.balance(MEMBER) == Balance(available=120)
    async with database.writer.connect() as connection:
        back = [f for f in await flows.so_far(connection, 2) if f.operation == "burn_return"]
    assert [(f.redeemer, f.terms, f.origin_period, f.points) for f in back] == [(B, 12, 1, 100)]
    await proving.holds(database)


async def test_a_reversed_hold_is_voided_and_its_captures_restored(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(100, expires_at=START + DAY))
    held = await ledger.submit(an_authorization(90, expires_at=START + 5 * DAY))
    assert held.hold is not None
    captured = await ledger.submit(a_capture(held.hold, 50))
    await ledger.advance(START + 2 * DAY)

    open_still = await ledger.submit(a_reversal(captured.operation, partner=B))
    outcome = await ledger.submit(a_reversal(held.operation, partner=B))
    after = await ledger.submit_many(
        [
            a_reversal(held.operation, partner=B),
            a_reversal(captured.operation, partner=B),
            a_return(held.operation, partner=B),
            a_capture(held.hold),
            a_void(held.hold),
        ]
    )

    assert code(open_still) == "HOLD_OPEN"
    assert (outcome.points, outcome.hold, outcome.hold_left) == (90, held.hold, 0)
    assert codes(after) == ["ALREADY_REVERSED"] * 3 + ["HOLD_CLOSED"] * 2
    assert await ledger.balance(MEMBER) == Balance(available=90)
    await proving.holds(database)


async def test_a_capture_is_reversed_when_it_was_its_holds_only_one(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(100))
    holds = [(await ledger.submit(an_authorization(40))).hold for _ in range(2)]
    assert holds[0] is not None
    assert holds[1] is not None
    whole = await ledger.submit(a_capture(holds[0], 30, final=True))
    part, _ = await ledger.submit_many([a_capture(holds[1], 30), a_capture(holds[1])])

    outcomes = await ledger.submit_many(
        [a_reversal(each.operation, partner=B) for each in (whole, part, whole)]
    )

    assert codes(outcomes) == ["OK", "NOT_RETURNABLE", "ALREADY_REVERSED"]
    assert await ledger.balance(MEMBER) == Balance(available=60)
    await proving.holds(database)


async def test_what_has_come_back_in_part_is_not_reversed(ledger: Ledger, database: Database) -> None:
    purchase = await ledger.submit(an_earn(100, items=(an_item(pieces=2, points_earned=100),)))
    returned = await ledger.submit(a_return(purchase.operation, (0, 1000)))

    outcomes = await ledger.submit_many(
        [a_reversal(purchase.operation), a_reversal(returned.operation), a_return(purchase.operation)]
    )

    assert codes(outcomes) == ["ALREADY_RETURNED", "NOT_RETURNABLE", "OK"]
    assert await ledger.balance(MEMBER) == Balance()
    await proving.holds(database)


async def test_one_reversal_of_a_receipt_leaves_the_rest_of_it_to_be_returned(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(50, partner=C))
    receipt = a_receipt()
    lines = {"pieces": 2, "price": 200}
    earn = await ledger.submit(an_earn(10, receipt=receipt, items=(an_item(**lines, points_earned=10),)))
    burn = await ledger.submit(
        a_burn(
            50,
            partner=A,
            receipt=receipt,
            items=(an_item(**lines, points_burned=50, money_off_micro=50),),
        )
    )

    reversed_ = await ledger.submit(a_reversal(burn.operation))
    back = await ledger.submit(a_return(burn.operation))

    assert code(reversed_) == "OK"
    assert back.returned is not None
    assert (back.returned.purchase, back.returned.money_micro) == (earn.operation, 200)
    assert await ledger.balance(MEMBER) == Balance(available=50)
    await proving.holds(database)


async def test_a_reversal_is_its_own_members_and_partners(ledger: Ledger, database: Database) -> None:
    purchase = await ledger.submit(an_earn(100))
    voided = await ledger.submit(an_authorization(10))
    assert voided.hold is not None
    void = await ledger.submit(a_void(voided.hold))

    outcomes = await ledger.submit_many(
        [
            a_reversal(purchase.operation, partner=B),
            a_reversal(purchase.operation, member=MEMBER + 1),
            a_reversal(void.operation, partner=B),
            a_reversal(voided.operation, partner=B),
        ]
    )

    assert codes(outcomes) == ["OPERATION_NOT_FOUND"] * 2 + ["NOT_RETURNABLE"] * 2
    assert await ledger.balance(MEMBER) == Balance(available=100)
    await proving.holds(database)
