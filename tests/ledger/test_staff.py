"""What staff does to a wallet: freezing, adjusting, granting, donating."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from ledger import Ledger, accounts, flows, invariants, proof, stock
from ledger.kernel.database import Database
from ledger.tables import lines

from . import proving
from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    D,
    a_burn,
    a_capture,
    a_donation,
    a_freeze,
    a_grant,
    a_receipt,
    a_return,
    a_void,
    an_adjustment,
    an_authorization,
    an_earn,
    an_item,
    an_unfreeze,
)
from .instances import code, codes


@pytest.fixture(autouse=True)
async def _proof_holds(database: Database) -> AsyncIterator[None]:
    yield
    await proving.holds(database)


async def test_a_frozen_member_neither_earns_nor_spends(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    await ledger.submit(a_freeze())

    outcomes = await ledger.submit_many(
        [an_earn(1), a_burn(1), an_authorization(1), a_donation(1), a_grant(1)]
    )

    assert codes(outcomes) == ["MEMBER_FROZEN"] * 5
    assert (await ledger.balance(MEMBER)).available == 100


async def test_an_unfrozen_member_goes_on(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))

    outcomes = await ledger.submit_many([a_freeze(), a_burn(10), an_unfreeze(), a_burn(10)])

    assert codes(outcomes) == ["OK", "MEMBER_FROZEN", "OK", "OK"]


async def test_someone_who_never_did_anything_can_be_frozen(ledger: Ledger) -> None:
    first = await ledger.submit(a_freeze())

    assert [code(first), code(await ledger.submit(an_earn(1)))] == ["OK", "MEMBER_FROZEN"]


async def test_a_freeze_lasts_over_batches_and_processes(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(100))
    await ledger.submit(a_freeze())
    other = Ledger(database, ledger.clock)
    await other.start()

    refused = await other.submit(a_burn(1))
    await other.submit(an_unfreeze())
    await other.drain()

    assert [code(refused), code(await ledger.submit(a_burn(1)))] == ["MEMBER_FROZEN", "OK"]


async def test_a_hold_made_before_a_freeze_is_captured_or_voided(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    holds = [(await ledger.submit(an_authorization(30))).hold or 0 for _ in range(2)]
    await ledger.submit(a_freeze())

    outcomes = [await ledger.submit(a_capture(holds[0], 20)), await ledger.submit(a_void(holds[1]))]

    assert codes(outcomes) == ["OK", "OK"]
    assert outcomes[-1].balance.available == 70


async def test_time_goes_on_for_a_frozen_member(ledger: Ledger) -> None:
    """Pending points are released, holds lapse, lots expire: a freeze takes nothing and stops no clock."""
    soon, later = START + timedelta(days=2), START + timedelta(days=4)
    await ledger.submit(an_earn(100, available_at=soon, expires_at=FAR))
    await ledger.submit(an_earn(50, expires_at=later))
    await ledger.submit(an_authorization(10, expires_at=START + timedelta(days=1)))
    await ledger.submit(a_freeze())

    balances = []
    for day in range(1, 6):
        await ledger.advance(START + timedelta(days=day))
        balance = await ledger.balance(MEMBER)
        balances.append((balance.pending, balance.available, balance.held))

    assert balances == [(100, 50, 0), (0, 150, 0), (0, 150, 0), (0, 100, 0), (0, 100, 0)]


async def test_a_freeze_says_who_and_why(ledger: Ledger) -> None:
    frozen = await ledger.submit(a_freeze(principal="staff:support", detail=b"a stolen phone"))

    recorded = await ledger.operation(frozen.operation)

    assert recorded is not None
    assert (recorded.kind, recorded.principal, recorded.detail) == (
        "freeze",
        "staff:support",
        b"a stolen phone",
    )


async def test_the_proof_finds_a_wallet_frozen_by_hand(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(100))
    await _execute(database, "UPDATE wallets SET frozen = true")

    result = await proof.prove(database.writer, invariants.INVARIANTS)
    found = {finding.invariant for finding in result.findings}

    await _execute(database, "UPDATE wallets SET frozen = false")
    assert found == {"frozen"}


async def test_points_given_by_hand_are_a_lot_of_the_obligor(ledger: Ledger, database: Database) -> None:
    given = await ledger.submit(an_adjustment(40, obligor=B, tariff=2, reason=3))

    burned = await ledger.submit(a_burn(40))

    assert (given.points, given.balance.available) == (40, 40)
    assert [(part.issuer, part.obligor, part.tariff, part.points) for part in burned.slices] == [
        (B, B, 2, 40)
    ]
    async with database.writer.connect() as connection:
        line = (await connection.execute(select(lines).where(lines.c.operation == given.operation))).one()
    assert (line.debit, line.debit_owner) == (accounts.ADJUST, 3)
    assert (line.credit, line.credit_owner) == (accounts.AVAILABLE, MEMBER)


async def test_points_taken_by_hand_come_from_the_named_obligor(ledger: Ledger) -> None:
    await ledger.submit_many([an_earn(50, partner=A), an_earn(50, partner=B)])

    taken = await ledger.submit(an_adjustment(-30, obligor=B))
    too_much = await ledger.submit(an_adjustment(-21, obligor=B))
    other_tariff = await ledger.submit(an_adjustment(-1, obligor=B, tariff=77))
    rest = await ledger.submit(an_adjustment(-20, obligor=B, tariff=0))

    assert codes([taken, too_much, other_tariff, rest]) == [
        "OK",
        "INSUFFICIENT_POINTS",
        "INSUFFICIENT_POINTS",
        "OK",
    ]
    assert (taken.points, rest.balance.available) == (-30, 50)


async def test_an_adjustment_of_nothing_is_refused(ledger: Ledger) -> None:
    assert code(await ledger.submit(an_adjustment(0))) == "INVALID_INPUT"


async def test_what_is_held_is_not_taken_by_hand(ledger: Ledger) -> None:
    await ledger.submit(an_earn(50))
    await ledger.submit(an_authorization(40))

    outcomes = [await ledger.submit(an_adjustment(points)) for points in (-11, -10)]

    assert codes(outcomes) == ["INSUFFICIENT_POINTS", "OK"]


async def test_a_frozen_member_is_adjusted(ledger: Ledger) -> None:
    await ledger.submit_many([an_earn(50), a_freeze()])

    assert code(await ledger.submit(an_adjustment(-50))) == "OK"


async def test_adjustments_flow_up_and_down_and_stock_follows(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many([an_adjustment(70), an_adjustment(-20), an_adjustment(-5)])

    async with database.writer.connect() as connection:
        moved = {flow.operation: (flow.points, flow.count) for flow in await flows.so_far(connection, 1)}
        outstanding = await stock.live(connection)
    assert moved == {"adjust": (70, 1), "adjust_down": (25, 2)}
    assert sum(each.points for each in outstanding) == 45


async def test_a_grant_is_paid_for_by_another_than_who_is_shown(ledger: Ledger, database: Database) -> None:
    granted = await ledger.submit(a_grant(100))

    burned = await ledger.submit(a_burn(60))

    assert (granted.kind, granted.balance.available) == ("grant", 100)
    assert [(part.issuer, part.obligor, part.tariff) for part in burned.slices] == [(A, 0, 9)]
    async with database.writer.connect() as connection:
        moved = [
            (flow.operation, flow.issuer, flow.obligor, flow.redeemer, flow.points)
            for flow in await flows.so_far(connection, 1)
        ]
    assert moved == [("release", A, 0, 0, 100), ("burn", A, 0, B, 60)]


@pytest.mark.parametrize("command", [a_grant(0), a_grant(-5), a_grant(5, expires_at=START)])
async def test_a_grant_of_nothing_is_refused(ledger: Ledger, command: object) -> None:
    assert code(await ledger.submit(command)) == "INVALID_INPUT"  # type: ignore[arg-type]


async def test_a_donation_is_a_burn_at_the_charity(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(100))

    donated = await ledger.submit(a_donation(30))
    too_much = await ledger.submit(a_donation(71))

    assert [code(donated), code(too_much)] == ["OK", "INSUFFICIENT_POINTS"]
    assert (donated.kind, donated.balance.available) == ("donate", 70)
    async with database.writer.connect() as connection:
        burns = [flow for flow in await flows.so_far(connection, 1) if flow.operation == "burn"]
    assert [(flow.issuer, flow.redeemer, flow.terms, flow.points) for flow in burns] == [(A, D, 10 + D, 30)]


async def test_what_staff_does_is_done_once(ledger: Ledger) -> None:
    commands = [a_grant(50, key="g"), an_adjustment(-10, key="a"), a_donation(5, key="d"), a_freeze(key="f")]
    first = await ledger.submit_many(commands)

    again = await ledger.submit_many(commands)

    assert [outcome.operation for outcome in again] == [outcome.operation for outcome in first]
    assert all(outcome.replayed for outcome in again)
    assert codes(first)[:2] == ["OK", "INSUFFICIENT_POINTS"]
    assert (await ledger.balance(MEMBER)).available == 45


async def test_an_adjustment_expires_like_any_lot(ledger: Ledger) -> None:
    await ledger.submit(an_adjustment(40, expires_at=datetime(2026, 1, 3, tzinfo=UTC)))

    await ledger.advance(datetime(2026, 1, 3, tzinfo=UTC))

    assert (await ledger.balance(MEMBER)).available == 0


async def _execute(database: Database, statement: str) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(text(statement))


async def test_a_debt_is_recovered_from_what_staff_gives(ledger: Ledger) -> None:
    """A credit to available pays what is due first, whoever gives it."""
    bought = await ledger.submit(an_earn(100, items=(an_item(points_earned=100),), receipt=a_receipt("1")))
    await ledger.submit(a_burn(100))
    returned = await ledger.submit(a_return(bought.operation))

    await ledger.submit_many([a_grant(30), an_adjustment(50)])
    owed = await ledger.balance(MEMBER)
    await ledger.submit(a_grant(25))

    assert returned.balance.clawback_due == 100
    assert (owed.available, owed.clawback_due) == (0, 20)
    assert (await ledger.balance(MEMBER)).available == 5


async def test_goods_of_a_frozen_member_come_back(ledger: Ledger) -> None:
    bought = await ledger.submit(an_earn(100, items=(an_item(points_earned=100),), receipt=a_receipt("1")))
    await ledger.submit(a_freeze())

    returned = await ledger.submit(a_return(bought.operation))

    assert (code(returned), returned.balance.available) == ("OK", 0)
