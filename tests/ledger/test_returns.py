"""Goods come back: earned points go, burned ones are restored, and what is out of reach is owed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from ledger import Balance, Ledger, Outcome, flows, invariants, proof
from ledger.kernel.database import Database
from ledger.outcomes import LineBack
from ledger.tables import dues, lots

from . import proving
from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    C,
    a_burn,
    a_capture,
    a_receipt,
    a_return,
    a_void,
    an_authorization,
    an_earn,
    an_item,
)
from .instances import code, codes

DAY = timedelta(days=1)


async def earned(ledger: Ledger, points: int, **given: Any) -> int:
    """The operation of an earn."""
    outcome = await ledger.submit(an_earn(points, **given))
    assert code(outcome) == "OK"
    return outcome.operation


def what(outcome: Outcome) -> tuple[int, int, int, int]:
    """Restored, cancelled while pending, taken, owed."""
    assert outcome.refused is None, outcome.refused
    assert outcome.returned is not None
    back = outcome.returned
    return back.restored, back.cancelled, back.taken, back.due


async def moved(database: Database, period: int = 1) -> dict[str, int]:
    """Points by operation of the flows."""
    total: dict[str, int] = {}
    async with database.writer.connect() as connection:
        for flow in await flows.so_far(connection, period):
            total[flow.operation] = total.get(flow.operation, 0) + flow.points
    return total


async def test_a_returned_earn_takes_its_points_back(ledger: Ledger, database: Database) -> None:
    purchase = await earned(ledger, 100)

    outcome = await ledger.submit(a_return(purchase))

    assert what(outcome) == (0, 0, 100, 0)
    assert await ledger.balance(MEMBER) == Balance()
    assert await moved(database) == {"release": 100, "claw_back": 100}
    await proving.holds(database)


async def test_pending_points_are_cancelled_and_move_no_money(ledger: Ledger, database: Database) -> None:
    purchase = await earned(ledger, 100, available_at=START + 5 * DAY)

    outcome = await ledger.submit(a_return(purchase))

    assert what(outcome) == (0, 100, 0, 0)
    assert await moved(database) == {"earn_pending": 100, "cancel_pending": 100}
    await proving.holds(database)


async def test_points_of_other_lots_of_the_same_issuer_and_obligor_go_before_a_debt(
    ledger: Ledger, database: Database
) -> None:
    late = await earned(ledger, 30, partner=A, expires_at=FAR + DAY)
    await earned(ledger, 40, partner=B)
    await earned(ledger, 50, partner=A, obligor=C)
    purchase = await earned(ledger, 100, partner=A, tariff=9, expires_at=START + DAY)
    early = await earned(ledger, 10, partner=A, expires_at=START + 2 * DAY)
    await ledger.submit(a_burn(95))

    outcome = await ledger.submit(a_return(purchase))

    assert what(outcome) == (0, 0, 45, 55)
    assert outcome.balance == Balance(available=90, clawback_due=55)
    assert late < early
    async with database.writer.connect() as connection:
        (due,) = await connection.execute(select(dues))
        assert (due.operation, due.obligor, due.tariff, due.original) == (outcome.operation, A, 9, purchase)
    await proving.holds(database)


async def test_burned_points_come_back_to_their_lots_the_last_taken_first(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit_many(
        [an_earn(points, partner=A, expires_at=START + days * DAY) for points, days in ((30, 20), (50, 25))]
    )
    burned = await ledger.submit(a_burn(60, items=(an_item(pieces=3, points_burned=60),)))

    first = await ledger.submit(a_return(burned.operation, (0, 1000), partner=B))
    then = await ledger.submit(a_return(burned.operation, partner=B))

    assert first.returned is not None
    assert then.returned is not None
    assert [(lot.points, lot.expires_at) for lot in first.returned.lots] == [(20, START + 25 * DAY)]
    assert [(lot.points, lot.expires_at) for lot in then.returned.lots] == [
        (10, START + 25 * DAY),
        (30, START + 20 * DAY),
    ]
    assert await ledger.balance(MEMBER) == Balance(available=80)
    assert await moved(database) == {"release": 80, "burn": 60, "burn_return": 60}
    await proving.holds(database)


async def test_a_purchase_is_its_earn_and_its_burn_and_its_captures(
    ledger: Ledger, database: Database
) -> None:
    receipt = a_receipt()
    await earned(ledger, 100, partner=C)
    items = (an_item(0, pieces=2, price=200_000_000, points_earned=20),)
    earn = await earned(ledger, 20, receipt=receipt, items=items)
    held = await ledger.submit(
        an_authorization(
            50,
            partner=A,
            receipt=receipt,
            items=(an_item(0, pieces=2, price=200_000_000, points_burned=50, money_off_micro=50_000_000),),
        )
    )
    assert held.hold is not None
    still_held = await ledger.submit(a_return(earn, key="r"))
    captured = await ledger.submit(a_capture(held.hold, 30, partner=A, final=True))

    half = await ledger.submit(a_return(captured.operation, (0, 1000), key="r", minor_micro=10_000))
    rest = await ledger.submit(a_return(earn, minor_micro=10_000))

    assert still_held.refused is not None
    assert (still_held.refused.code, still_held.refused.retryable) == ("HOLD_OPEN", True)
    assert half.returned is not None, half.refused
    assert half.returned.lines == (
        LineBack(line=0, quantity_milli=1000, points_taken=10, points_restored=0, money_micro=100_000_000),
    )
    assert rest.returned is not None
    assert rest.returned.lines == (
        LineBack(line=0, quantity_milli=1000, points_taken=10, points_restored=30, money_micro=70_000_000),
    )
    assert await ledger.balance(MEMBER) == Balance(available=100)
    await proving.holds(database)


async def test_no_more_comes_back_than_was_bought(ledger: Ledger, database: Database) -> None:
    items = (an_item(0, pieces=2, points_earned=60), an_item(1, points_earned=40))
    purchase = await earned(ledger, 100, items=items)

    outcomes = await ledger.submit_many(
        [
            a_return(purchase, (0, 2001)),
            a_return(purchase, (2, 1)),
            a_return(purchase, (0, 1500), (0, 501)),
            a_return(purchase, (0, 1500)),
            a_return(purchase, (0, 501)),
            a_return(purchase),
            a_return(purchase),
            a_return(purchase, (1, 1)),
        ]
    )

    too_much = "RETURN_EXCEEDS_ORIGINAL"
    assert codes(outcomes) == [too_much] * 3 + ["OK", too_much, "OK", too_much, too_much]
    assert await ledger.balance(MEMBER) == Balance()
    await proving.holds(database)


async def test_strangers_operations_are_not_found(ledger: Ledger, database: Database) -> None:
    purchase = await earned(ledger, 100)
    refused = await ledger.submit(a_burn(101, partner=A))

    outcomes = await ledger.submit_many(
        [
            a_return(purchase, partner=B),
            a_return(purchase, member=MEMBER + 1),
            a_return(purchase + 500),
            a_return(1),
            a_return(refused.operation),
        ]
    )

    assert codes(outcomes) == ["OPERATION_NOT_FOUND"] * 4 + ["NOT_RETURNABLE"]
    await proving.holds(database)


async def test_a_return_is_repeated_under_its_key_and_posted_once_under_its_receipt(
    ledger: Ledger, database: Database
) -> None:
    purchase = await earned(ledger, 100, items=(an_item(pieces=4, points_earned=100),))
    first = await ledger.submit(a_return(purchase, (0, 1000), key="r", receipt=a_receipt("R1")))

    again = await ledger.submit(a_return(purchase, (0, 1000), key="r", receipt=a_receipt("R1")))
    other = await ledger.submit(a_return(purchase, (0, 2000), key="r", receipt=a_receipt("R1")))
    twice = await ledger.submit(a_return(purchase, (0, 1000), receipt=a_receipt("R1")))

    assert (again.operation, again.replayed, again.returned) == (first.operation, True, first.returned)
    assert codes([other, twice]) == ["IDEMPOTENCY_CONFLICT", "DUPLICATE_RECEIPT"]
    assert await ledger.balance(MEMBER) == Balance(available=75)
    await proving.holds(database)


async def test_what_is_owed_is_recovered_from_whatever_becomes_available_first(
    ledger: Ledger, database: Database
) -> None:
    purchase = await earned(ledger, 100)
    await ledger.submit(a_burn(100))
    await ledger.submit(a_return(purchase))
    assert await ledger.balance(MEMBER) == Balance(clawback_due=100)

    at_once = await ledger.submit(an_earn(30, partner=B))
    await ledger.submit(an_earn(50, partner=C, available_at=START + DAY))
    await ledger.advance(START + DAY)

    assert at_once.balance == Balance(available=30, clawback_due=100)
    assert await ledger.balance(MEMBER) == Balance(clawback_due=20)
    assert code(await ledger.submit(a_burn(1))) == "INSUFFICIENT_POINTS"
    await ledger.submit(an_earn(50, partner=C))
    assert await ledger.balance(MEMBER) == Balance(available=30)
    async with database.writer.connect() as connection:
        recovered = [f for f in await flows.so_far(connection, 1) if f.operation == "recover"]
        left = (await connection.execute(select(dues.c.points, dues.c.points_left))).all()
    assert [(f.issuer, f.redeemer, f.points) for f in recovered] == [(B, A, 30), (C, A, 70)]
    assert left == [(100, 0)]
    await proving.holds(database)


async def test_points_of_others_stay_but_cannot_be_spent_while_a_debt_stands(
    ledger: Ledger, database: Database
) -> None:
    purchase = await earned(ledger, 100, expires_at=START + 9 * DAY)
    await ledger.submit(a_burn(100))
    await earned(ledger, 150, partner=C)

    outcome = await ledger.submit(a_return(purchase))
    burns = await ledger.submit_many([a_burn(51), a_burn(50), a_burn(1)])

    assert what(outcome) == (0, 0, 0, 100)
    assert codes(burns) == ["INSUFFICIENT_POINTS", "OK", "INSUFFICIENT_POINTS"]
    assert (await ledger.balance(MEMBER)).shown == 0
    await proving.holds(database)


async def test_the_oldest_debt_is_recovered_first_also_by_a_void(ledger: Ledger, database: Database) -> None:
    purchases = [await earned(ledger, 40, partner=partner, tariff=partner) for partner in (A, B)]
    await earned(ledger, 60, partner=C)
    await ledger.submit(a_burn(80))
    held = await ledger.submit(an_authorization(60))
    assert held.hold is not None
    for partner, purchase in zip((A, B), purchases, strict=True):
        await ledger.submit(a_return(purchase, partner=partner))
    assert await ledger.balance(MEMBER) == Balance(held=60, clawback_due=80)

    await ledger.submit(a_void(held.hold))

    assert await ledger.balance(MEMBER) == Balance(clawback_due=20)
    async with database.writer.connect() as connection:
        left = (await connection.execute(select(dues.c.obligor, dues.c.points_left))).all()
        recovered = [f for f in await flows.so_far(connection, 1) if f.operation == "recover"]
    assert sorted(left) == [(A, 0), (B, 20)]
    assert [(f.issuer, f.redeemer, f.points) for f in recovered] == [(C, A, 40), (C, B, 20)]
    await proving.holds(database)


async def test_a_full_return_of_what_was_not_touched_restores_every_account(
    ledger: Ledger, database: Database
) -> None:
    await earned(ledger, 500, partner=C)
    before = await ledger.balance(MEMBER)
    async with database.writer.connect() as connection:
        lots_before = (await connection.execute(select(lots.c.id, lots.c.available))).all()
    receipt = a_receipt()
    items = (an_item(0, pieces=3, points_earned=7, points_burned=0), an_item(1, points_earned=4))
    earn = await earned(ledger, 11, receipt=receipt, items=items)
    await ledger.submit(
        a_burn(333, partner=A, receipt=receipt, items=(an_item(0, pieces=3, points_burned=333),))
    )

    parts = [(0, 1000), (0, 500), (1, 1000), (0, 1500)]
    outcomes = [await ledger.submit(a_return(earn, part)) for part in parts]

    assert sum(what(outcome)[0] for outcome in outcomes) == 333
    assert await ledger.balance(MEMBER) == before
    async with database.writer.connect() as connection:
        left = (
            await connection.execute(select(lots.c.id, lots.c.available).where(lots.c.available > 0))
        ).all()
    assert left == lots_before
    await proving.holds(database)


async def test_what_the_same_batch_has_just_posted_for_the_receipt_comes_back_too(
    ledger: Ledger, database: Database
) -> None:
    await earned(ledger, 50, partner=C)
    receipt, line = a_receipt(), an_item(pieces=1, price=90, points_earned=10)
    earn = await earned(ledger, 10, receipt=receipt, items=(line,))
    paid = an_item(pieces=1, price=90, points_burned=40, money_off_micro=40)

    _, outcome = await ledger.submit_many(
        [a_burn(40, partner=A, receipt=receipt, items=(paid,)), a_return(earn)]
    )

    assert what(outcome) == (40, 0, 10, 0)
    assert outcome.returned is not None
    assert outcome.returned.money_micro == 50
    assert await ledger.balance(MEMBER) == Balance(available=50)
    await proving.holds(database)


async def test_an_earn_that_arrives_after_part_of_its_receipt_came_back_is_made_up_for(
    ledger: Ledger, database: Database
) -> None:
    await earned(ledger, 60, partner=C)
    receipt = a_receipt()
    burned = await ledger.submit(
        a_burn(60, partner=A, receipt=receipt, items=(an_item(pieces=3, points_burned=60),))
    )
    await ledger.submit(a_return(burned.operation, (0, 1000)))
    await earned(ledger, 30, receipt=receipt, items=(an_item(pieces=3, points_earned=30),))

    second = await ledger.submit(a_return(burned.operation, (0, 1000)))
    rest = await ledger.submit(a_return(burned.operation))

    assert [what(second), what(rest)] == [(20, 0, 20, 0), (20, 0, 10, 0)]
    assert await ledger.balance(MEMBER) == Balance(available=60)
    await proving.holds(database)


@pytest.mark.parametrize(
    ("forgery", "invariant"),
    [
        ("UPDATE dues SET points_left = points_left - 1", "dues"),
        ("UPDATE dues SET points = points + 1", "due_lines"),
        ("UPDATE returned SET points = points - 1 WHERE points > 0", "returned"),
        ("UPDATE returned SET points = points + 1000", "returned"),
        ("UPDATE returned SET quantity_milli = 1", "returned"),
        ("UPDATE returned SET money_micro = 1", "returned"),
    ],
)
async def test_the_proof_names_what_was_changed_about_returns(
    ledger: Ledger, database: Database, forgery: str, invariant: str
) -> None:
    purchase = await earned(ledger, 100, items=(an_item(pieces=2, price=50, points_earned=100),))
    await ledger.submit(a_burn(70))
    await ledger.submit(a_return(purchase, (0, 1000)))
    await proving.holds(database)

    async with database.writer.begin() as connection:
        await connection.execute(text(forgery))

    result = await proof.prove(database.writer, invariants.INVARIANTS)
    assert invariant in {finding.invariant for finding in result.findings}


async def test_a_late_return_names_the_month_of_its_purchase(ledger: Ledger, database: Database) -> None:
    earned = (await ledger.submit(an_earn(30))).operation
    await ledger.advance(START + timedelta(days=40))

    returned = await ledger.submit(a_return(earned, occurred_at=ledger.clock.now()))

    recorded = await ledger.operation(returned.operation)
    assert recorded is not None
    assert (recorded.period, recorded.origin_period) == (2, 1)
