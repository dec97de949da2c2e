"""Two members become one: whoever names the merged one means the survivor, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from ledger import Balance, Ledger, LedgerFault, Outcome, ReceiptKey, Recorded, records
from ledger.commands import Command
from ledger.driving import drive_all
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from tests.servers import Urls

from . import proving
from .builders import (
    MEMBER,
    START,
    a_burn,
    a_capture,
    a_merge,
    a_return,
    a_transfer,
    a_void,
    an_authorization,
    an_earn,
)
from .instances import a_process, codes

SURVIVOR = compose(40, 1)
LAST = compose(50, 1)
DAY = timedelta(days=1)


async def merged(ledger: Ledger, member: int = MEMBER, survivor: int = SURVIVOR) -> Outcome:
    outcome = await ledger.submit(a_merge(survivor, member=member))
    await ledger.drive_all()
    return outcome


async def test_everything_goes_to_the_survivor(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many(
        [
            an_earn(60),
            an_earn(30, available_at=START + DAY),
            an_earn(5, member=SURVIVOR),
            an_authorization(20),
        ]
    )

    outcome = await merged(ledger)

    assert codes([outcome]) == ["OK"]
    whole = Balance(available=45, pending=30, held=20)
    assert await ledger.balance(SURVIVOR) == whole
    assert await ledger.balance(MEMBER) == whole
    await ledger.advance(START + DAY + timedelta(hours=1))
    assert await ledger.balance(MEMBER) == Balance(available=95)
    await proving.holds(database)


async def test_commands_for_the_merged_are_the_survivors(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(60))
    await merged(ledger)

    outcomes = [
        await ledger.submit(an_earn(10)),
        await ledger.submit(a_burn(65)),
        await ledger.submit(a_burn(6)),
        (await ledger.transfer(a_transfer(5, member=LAST, to_member=MEMBER)))[0],
    ]
    many = await ledger.submit_many([an_earn(1), an_earn(2, member=SURVIVOR), an_earn(3)])

    assert codes(outcomes) == ["OK", "OK", "INSUFFICIENT_POINTS", "INSUFFICIENT_POINTS"]
    assert {outcome.operation >> 56 for outcome in outcomes[:3]} == {SURVIVOR >> 56}
    assert codes(many) == ["OK"] * 3
    assert await ledger.balance(MEMBER) == Balance(available=11)
    await proving.holds(database)


async def test_keys_and_receipts_of_before_stay_where_they_are(ledger: Ledger, database: Database) -> None:
    receipt = ReceiptKey(outlet=0, terminal="1", number="R-1")
    before = await ledger.submit(an_earn(60, key="before", receipt=receipt))
    await merged(ledger)

    repeat = await ledger.submit(an_earn(60, key="before", receipt=receipt))
    same_receipt = await ledger.submit(an_earn(60, receipt=receipt))
    after = await ledger.submit(an_earn(7, key="after"))
    again = await ledger.submit(an_earn(7, key="after"))

    assert (repeat.operation, repeat.replayed) == (before.operation, True)
    assert codes([same_receipt]) == ["DUPLICATE_RECEIPT"]
    assert (again.operation, again.replayed) == (after.operation, True)
    assert await ledger.balance(SURVIVOR) == Balance(available=67)
    await proving.holds(database)


async def test_a_hold_of_before_is_captured_at_home_and_its_rest_follows(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(60))
    holds = [(await ledger.submit(an_authorization(20))).hold or 0 for _ in range(3)]
    await merged(ledger)

    outcomes = [
        await ledger.submit(a_capture(holds[0], 5, final=True)),
        await ledger.submit(a_void(holds[1])),
    ]
    await ledger.drive_all()
    assert codes(outcomes) == ["OK", "OK"]
    assert await ledger.balance(SURVIVOR) == Balance(available=35, held=20)
    await ledger.advance(START + 2 * DAY)

    assert await ledger.balance(SURVIVOR) == Balance(available=55)
    await proving.holds(database)


async def test_chains_end_at_the_last_and_nobody_is_merged_twice(ledger: Ledger, database: Database) -> None:
    await ledger.submit_many([an_earn(60), an_earn(5, member=SURVIVOR), an_earn(1, member=LAST)])
    hold = (await ledger.submit(an_authorization(10))).hold or 0
    await merged(ledger)
    await merged(ledger, SURVIVOR, LAST)

    twice = await merged(ledger, MEMBER, LAST)
    to_itself = await merged(ledger, LAST, LAST)
    await ledger.submit(a_void(hold))
    await ledger.drive_all()

    assert codes([twice, to_itself]) == ["MEMBER_MERGED", "INVALID_INPUT"]
    for member in (MEMBER, SURVIVOR, LAST):
        assert await ledger.balance(member) == Balance(available=66)
    await proving.holds(database)


async def test_a_debt_becomes_the_survivors(ledger: Ledger, database: Database) -> None:
    """Two purchases came back whose points were spent; the survivor's next points pay the older first."""
    earns = [await ledger.submit(an_earn(points)) for points in (60, 40)]
    await ledger.submit(a_burn(100))
    await ledger.submit_many([a_return(earn.operation) for earn in earns])
    assert await ledger.balance(MEMBER) == Balance(clawback_due=100)

    await merged(ledger)

    assert await ledger.balance(MEMBER) == Balance(clawback_due=100)
    assert codes([await ledger.submit(a_burn(1))]) == ["INSUFFICIENT_POINTS"]
    await ledger.submit(an_earn(70, partner=2))
    assert await ledger.balance(SURVIVOR) == Balance(clawback_due=30)
    await ledger.submit(an_earn(50, partner=2))
    assert await ledger.balance(SURVIVOR) == Balance(available=20)
    await proving.holds(database)


@pytest.mark.parametrize("is_pending", [False, True])
@pytest.mark.parametrize("burned", [0, 70])
async def test_a_purchase_of_before_is_returned_where_its_points_are_now(
    ledger: Ledger, database: Database, is_pending: bool, burned: int
) -> None:
    earn = await ledger.submit(an_earn(100, available_at=START + DAY if is_pending else None))
    await ledger.submit(an_earn(70, partner=2, member=SURVIVOR))
    await merged(ledger)
    await ledger.submit(a_burn(burned)) if burned else None

    returned = await ledger.submit(a_return(earn.operation))
    await ledger.drive_all()

    assert codes([returned]) == ["OK"]
    rest = 70 - burned
    assert await ledger.balance(SURVIVOR) == Balance(available=rest)
    await proving.holds(database)


async def test_points_that_wait_are_cancelled_with_their_purchase_after_two_merges(
    ledger: Ledger, database: Database
) -> None:
    earn = await ledger.submit(an_earn(100, available_at=START + DAY))
    await ledger.submit_many([an_earn(5, member=SURVIVOR), an_earn(1, member=LAST)])
    await merged(ledger)
    await merged(ledger, SURVIVOR, LAST)

    await ledger.submit(a_return(earn.operation))
    await ledger.drive_all()

    assert await ledger.balance(LAST) == Balance(available=6)
    await proving.holds(database)


async def test_what_the_survivor_spent_of_a_returned_purchase_is_owed(
    ledger: Ledger, database: Database
) -> None:
    earn = await ledger.submit(an_earn(100))
    await merged(ledger)
    await ledger.submit(a_burn(60))

    await ledger.submit(a_return(earn.operation))
    await ledger.drive_all()

    assert await ledger.balance(SURVIVOR) == Balance(clawback_due=60)
    await ledger.submit(an_earn(80))
    assert await ledger.balance(MEMBER) == Balance(available=20)
    await proving.holds(database)


async def test_points_that_are_sent_pay_what_their_recipient_owes(ledger: Ledger, database: Database) -> None:
    earn = await ledger.submit(an_earn(60))
    await ledger.submit(a_burn(60))
    await ledger.submit(a_return(earn.operation))
    await ledger.submit(an_earn(100, partner=2, member=SURVIVOR))

    await ledger.transfer(a_transfer(90, member=SURVIVOR, to_member=MEMBER))

    assert await ledger.balance(MEMBER) == Balance(available=30)
    await proving.holds(database)


async def test_the_history_of_both_is_one(ledger: Ledger, database: Database) -> None:
    for hour in range(6):
        await ledger.advance(START + timedelta(hours=hour))
        await ledger.submit(an_earn(10, member=MEMBER if hour % 2 else SURVIVOR))
    await merged(ledger)

    whole = await ledger.history(SURVIVOR)
    paged: list[Recorded] = []
    while page := await ledger.history(MEMBER, before=paged[-1].id if paged else None, limit=4):
        paged += page

    assert [each.id for each in paged] == [each.id for each in whole]
    assert [each.member for each in whole if each.kind == "earn"] == [MEMBER, SURVIVOR] * 3
    assert {each.kind for each in whole} == {"earn", "merge", "merge_out", "merge_in", "merge_done"}
    assert await ledger.history(MEMBER, before=whole[-1].id + 1_000) == []  # there is no such operation


class Killed(BaseException):
    """The process is gone: nothing may catch it."""


@pytest.mark.parametrize("legs", [1, 2, 3])
async def test_a_merge_killed_anywhere_is_ended_by_another_process(
    ledger: Ledger, database: Database, urls: Urls, legs: int
) -> None:
    await ledger.submit_many([an_earn(60), an_earn(30, available_at=START + DAY)])
    await ledger.submit(a_merge(SURVIVOR))
    left = legs - 1

    async def submit(commands: Sequence[Command]) -> list[Outcome]:
        nonlocal left
        if not left:
            raise Killed
        left -= 1
        return await ledger.submit_many(commands)

    async def drive_for_ever() -> None:
        while True:
            await drive_all(database, submit)
            await submit(())

    with pytest.raises(Killed):
        await drive_for_ever()
    async with a_process(urls) as other:
        await asyncio.gather(other.drive_all(), ledger.drive_all())

    assert await ledger.balance(MEMBER) == Balance(available=60, pending=30)
    await proving.holds(database)


async def test_a_token_used_before_a_merge_backs_nothing_after_it(ledger: Ledger, database: Database) -> None:
    await ledger.submit(an_earn(100))
    first = await ledger.submit(a_burn(10, token=bytes(16)))
    await ledger.submit(a_merge(compose(40, 1)))
    await ledger.drive_all()

    again = await ledger.submit(a_burn(10, token=bytes(16)))

    assert codes([first, again]) == ["OK", "MEMBER_TOKEN_USED"]
    await proving.holds(database)


async def test_a_circle_of_survivors_is_a_fault_of_who_meets_it_and_of_nobody_else(
    ledger: Ledger, database: Database
) -> None:
    """`members` refuses circles; one that was made by hand must not keep a lane busy for ever."""
    await ledger.submit(an_earn(10))
    await ledger.submit(an_earn(10, member=SURVIVOR))
    await ledger.submit_many([a_merge(SURVIVOR), a_merge(MEMBER, member=SURVIVOR)])
    elsewhere = compose(9, 9)

    outcomes = await ledger.submit_many([an_earn(5), an_earn(5, member=elsewhere)])
    with pytest.raises(LedgerFault, match=r"^a member's survivors have no end$"):
        await ledger.submit(an_earn(5))
    async with asyncio.timeout(10):
        for ask in (ledger.balance, ledger.history):
            with pytest.raises(records.NoSurvivor):
                await ask(MEMBER)

    assert codes(outcomes) == ["FAULT", "OK"]
