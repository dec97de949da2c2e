"""An obligor leaves: its points are another's, in every bucket and state, and no member notices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from ledger import Balance, Flow, Ledger, Outcome, flows
from ledger.commands import Command
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.leaving import hand_over, is_travelling
from ledger.tables import heads, lots, slices
from tests.servers import Urls

from . import proving
from .builders import (
    MEMBER,
    START,
    A,
    B,
    C,
    a_capture,
    a_return,
    a_transfer,
    a_void,
    an_authorization,
    an_earn,
)
from .instances import a_process, codes

OPERATOR = 0
DAY = timedelta(days=1)
FRIEND = compose(MEMBER >> 56, 77)
MEMBERS = [compose(bucket, number) for bucket in range(0, 64, 9) for number in (1, 2)]


async def leave(database: Database, ledger: Ledger, round_: str = "1") -> int:
    """C leaves, and the operator takes over."""
    return await hand_over(
        database,
        ledger.submit_many,
        leaver=C,
        successor=OPERATOR,
        round_=round_,
        at=ledger.clock.now(),
        most=10**9,
    )


async def moved(database: Database, *operations: str) -> list[tuple[str, int, int, int, int]]:
    """Of each flow of the first period: (operation, issuer, obligor, tariff, points)."""
    async with database.writer.connect() as connection:
        found: list[Flow] = await flows.so_far(connection, 1)
    return [
        (flow.operation, flow.issuer, flow.obligor, flow.tariff, flow.points)
        for flow in found
        if flow.operation in operations
    ]


async def obligors(database: Database, member: int) -> set[int]:
    async with database.writer.connect() as connection:
        of_lots = await connection.scalars(select(lots.c.obligor).where(lots.c.member == member))
        held = slices.c.points > slices.c.captured + slices.c.released
        query = select(slices.c.obligor).where(slices.c.member == member, held)
        return {*of_lots, *await connection.scalars(query)}


async def test_lots_held_slices_and_pending_change_hands_alike(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many(
        [
            an_earn(60, partner=C, tariff=7),
            an_earn(5, partner=A),
            an_earn(30, partner=C, tariff=8, available_at=START + DAY),
            an_earn(10, partner=A, obligor=C, tariff=7),
        ]
    )
    hold = (await ledger.submit(an_authorization(20, expires_at=START + 9 * DAY))).hold or 0
    before = await ledger.balance(MEMBER)

    assert await leave(database, ledger) == 1
    assert await leave(database, ledger, "2") == 0

    assert await ledger.balance(MEMBER) == before
    assert await obligors(database, MEMBER) == {A, OPERATOR}
    assert await moved(database, "novate_in", "novate_out") == [
        ("novate_in", A, OPERATOR, 7, 10),
        ("novate_out", A, C, 7, 10),
        ("novate_in", C, OPERATOR, 7, 60),
        ("novate_out", C, C, 7, 60),
    ]
    await proving.holds(database)
    await ledger.advance(START + 2 * DAY)
    await ledger.submit(a_capture(hold))
    burned = await moved(database, "burn", "release")
    assert ("release", C, OPERATOR, 8, 30) in burned
    assert ("burn", C, OPERATOR, 7, 20) in burned
    await proving.holds(database)


@pytest.mark.parametrize("at_once", [False, True])
async def test_what_a_hold_was_captured_for_comes_back_to_who_paid_for_each_part(
    ledger: Ledger, database: Database, at_once: bool
) -> None:
    """The second capture may be of the return's own batch; another hold is there to be taken for this one."""
    await ledger.submit_many(
        [an_earn(60, partner=C, tariff=7), an_earn(9, partner=C, tariff=7, member=FRIEND)]
    )
    hold = (await ledger.submit(an_authorization(50, terms=12))).hold or 0
    other = (await ledger.submit(an_authorization(5, terms=12, member=FRIEND))).hold or 0
    await ledger.submit_many([a_capture(hold, 20, terms=12, final=False), a_capture(other, 5, terms=12)])
    await leave(database, ledger)
    asked: list[Command] = [a_capture(hold, 25, terms=12, final=True), a_return(hold, partner=B)]
    for commands in [asked] if at_once else [[command] for command in asked]:
        outcomes = await ledger.submit_many(commands)

    assert codes(outcomes)[-1] == "OK"
    assert sorted(await moved(database, "burn", "burn_return")) == [
        ("burn", C, OPERATOR, 7, 25),
        ("burn", C, C, 7, 25),
        ("burn_return", C, OPERATOR, 7, 25),
        ("burn_return", C, C, 7, 20),
    ]
    assert await obligors(database, MEMBER) == {OPERATOR}
    await proving.holds(database)


async def test_what_comes_back_to_an_emptied_lot_is_the_successors(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(60, partner=C))
    hold = (await ledger.submit(an_authorization(60))).hold or 0

    await leave(database, ledger)
    await ledger.submit(a_void(hold))

    assert await obligors(database, MEMBER) == {OPERATOR}
    assert await ledger.balance(MEMBER) == Balance(available=60)
    await proving.holds(database)


async def test_points_on_their_way_are_novated_where_they_land(ledger: Ledger, database: Database) -> None:
    """One transfer arrives after the novation; another is refused and goes back to a lot that changed."""
    friend = compose(40, 1)
    await ledger.submit_many([an_earn(60, partner=C), an_earn(1, member=friend)])
    await ledger.submit(a_transfer(25, to_member=friend))
    await ledger.submit(a_transfer(15, to_member=compose(99, 1)))

    await leave(database, ledger)
    async with database.writer.connect() as connection:
        assert await is_travelling(connection, C)
    await ledger.drive_all()
    assert await leave(database, ledger, "2") == 1
    async with database.writer.connect() as connection:
        assert not await is_travelling(connection, C)

    assert await leave(database, ledger, "3") == 0
    assert await ledger.balance(MEMBER) == Balance(available=35)
    assert await ledger.balance(friend) == Balance(available=26)
    assert {*await obligors(database, MEMBER), *await obligors(database, friend)} == {A, OPERATOR}
    total = {
        operation: points for operation, _, _, _, points in await moved(database, "novate_in", "novate_out")
    }
    assert total == {"novate_in": 60, "novate_out": 60}
    await proving.holds(database)


class Killed(BaseException):
    """The process is gone: nothing may catch it."""


@pytest.mark.parametrize("batches", [0, 1, 4])
async def test_a_novation_killed_anywhere_goes_on(
    ledger: Ledger, database: Database, urls: Urls, batches: int
) -> None:
    await ledger.submit_many([an_earn(10, member=member, partner=C) for member in MEMBERS])
    left = batches

    async def submit(commands: Sequence[Command]) -> list[Outcome]:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        return await ledger.submit_many(commands)

    with pytest.raises(Killed):
        await hand_over(database, submit, leaver=C, successor=B, round_="1", at=START, most=10**9)
    async with a_process(urls) as other:
        rest = await hand_over(
            database, other.submit_many, leaver=C, successor=B, round_="1", at=START, most=10**9
        )

    assert rest == len(MEMBERS) - 2 * batches
    assert await moved(database, "novate_in", "novate_out") == [
        ("novate_in", C, B, C, 10 * len(MEMBERS)),
        ("novate_out", C, C, C, 10 * len(MEMBERS)),
    ]
    await proving.holds(database)


async def test_a_bucket_that_is_read_only_is_left_to_the_next_round(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit_many([an_earn(10, member=member, partner=C) for member in MEMBERS])
    async with database.writer.begin() as connection:
        await connection.execute(update(heads).where(heads.c.bucket == 9).values(fenced="a proof failed"))

    await leave(database, ledger)
    async with database.writer.begin() as connection:
        await connection.execute(update(heads).values(fenced=None))

    assert await leave(database, ledger, "2") == 2
    assert await leave(database, ledger, "3") == 0
    await proving.holds(database)
