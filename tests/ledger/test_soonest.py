"""A burn is decided from the lots that it takes: the same ones, with the same future, as from all of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from ledger import Balance, Command, Ledger, Settle
from ledger.binary import INFINITY, instant, moment
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.lots import NONE_LEFT, consume
from ledger.lots import in_order as values_in_order
from ledger.outcomes import Outcome
from ledger.soonest import LEAST, MOST, Appetite, Rest, Row, burned, covering, in_order, soonest
from ledger.store import lot
from ledger.tables import wallets
from ledger.wallet import Wallet, lot_id, new_wallet

from . import proving
from .builders import (
    FAR,
    MEMBER,
    START,
    a_burn,
    a_capture,
    a_return,
    a_transfer,
    a_void,
    an_authorization,
    an_earn,
)
from .instances import code

OTHER = compose(MEMBER >> 56, 2)
NOTHING = Rest(INFINITY, NONE_LEFT)
SOON = [START + timedelta(days=days) for days in range(1, 6)]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Lots of one member in any order: some pending, some spent, few of them armed."""
    made = []
    for number in range(draw(st.integers(0, 7))):
        pending, available = draw(st.sampled_from([(0, 0), (5, 0), (0, 1), (0, 3), (2, 4)]))
        armed = draw(st.booleans())
        released = instant(draw(st.sampled_from(SOON))) if pending else INFINITY
        expires = instant(draw(st.sampled_from(SOON)))
        at = instant(START)
        known = (MEMBER, number, 1, 1, 1, at, expires, 9, pending, available, released)
        made.append((*known, at if armed else INFINITY, 0, bytes(6)))
    return draw(st.permutations(made))


def _wallet(known: list[Row], rest: Rest = NOTHING) -> Wallet:
    wallet = new_wallet(MEMBER)
    wallet.lots = {row[1]: lot(row) for row in known}
    wallet.rest_due_at, wallet.unread_from = moment(rest.due_at), rest.lots_from
    wallet.look_ahead()
    return wallet


@given(rows(), st.data())
def test_what_is_left_aside_is_neither_taken_nor_forgotten(known: list[Row], data: st.DataObject) -> None:
    points = data.draw(st.integers(0, sum(row[9] for row in known)))

    taken, rest = soonest(known, points)

    whole, part = _wallet(known), _wallet(taken, rest)
    assert part.next_due_at == whole.next_due_at
    assert part.lots_from() == whole.lots_from()
    expected = [(each.id, some) for each, some in consume(values_in_order(whole.lots.values()), points)]
    assert [
        (each.id, some) for each, some in consume(values_in_order(part.lots.values()), points)
    ] == expected
    assert len(taken) == len(expected)


@given(rows())
def test_of_too_few_points_all_are_there_to_be_refused(known: list[Row]) -> None:
    points = sum(row[9] for row in known)

    taken, _ = soonest(known, points + 1)

    assert sum(row[9] for row in taken) == points


@pytest.mark.parametrize(
    "other", [a_return(7, member=MEMBER), Settle.of(MEMBER, START), a_transfer(5, to_member=OTHER)]
)
def test_whoever_does_more_than_earn_and_burn_keeps_all_lots(other: Command) -> None:
    assert burned([a_burn(3), an_earn(9), an_authorization(4)]) == {MEMBER: 7}
    assert burned([a_burn(3), other]) == {}
    assert burned([other, a_burn(3), a_burn(3, member=OTHER)]) == {OTHER: 3}


async def test_burns_of_a_long_wallet_take_the_soonest_and_the_rest_expires_in_its_time(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit_many([an_earn(10, expires_at=SOON[n]) for n in (3, 1, 4, 0, 2)])

    first, second = await ledger.submit_many([a_burn(13), a_burn(4)])
    held = await ledger.submit(an_authorization(3, expires_at=SOON[4]))

    assert [_taken(outcome) for outcome in (first, second, held)] == [[10, 3], [4], [3]]
    assert held.balance == Balance(available=30, held=3)
    await proving.holds(database)
    # Of the lots that were loaded nothing is left: that the next expires was known from the others.
    await ledger.advance(SOON[2])
    assert await ledger.balance(MEMBER) == Balance(available=20, held=3)
    await proving.holds(database)


@given(rows(), st.data())
def test_the_first_lots_cover_what_all_of_them_would_be_taken_for(
    known: list[Row], data: st.DataObject
) -> None:
    points, most = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 8))
    live = in_order(row for row in known if row[8] or row[9])

    count = covering(live[:most], points)

    taken, _ = soonest(known, points)
    if count is None:
        assert sum(row[9] for row in live[:most]) < points
    else:
        assert [row for row in live[:count] if row[9]] == taken


def test_a_lane_reads_as_many_lots_as_its_burns_have_needed_lately() -> None:
    appetite = Appetite()
    read = []
    for needed in (0, 5, 1, 1, 1, 1, 1_000, 70):
        appetite.note(needed)
        read.append(appetite.lots)

    assert read == [LEAST, 5, 4, 3, 2, LEAST, MOST, MOST]


async def test_lots_that_are_spent_are_not_looked_at_again_until_points_come_back(
    ledger: Ledger, database: Database
) -> None:
    early = [START + timedelta(days=40 + n) for n in range(30)]
    await ledger.submit_many([an_earn(10, expires_at=at) for at in early])
    assert await _lots_from(database) == early[0]

    held = await ledger.submit(an_authorization(285, expires_at=FAR))
    assert await _lots_from(database) == early[28]
    await ledger.submit(an_earn(10, expires_at=early[28] - timedelta(hours=1)))  # moved as it is read
    assert await _lots_from(database) == early[28] - timedelta(hours=1)
    assert _taken(await ledger.submit(a_burn(12))) == [10, 2]
    assert await _lots_from(database) == early[28]

    await ledger.submit(a_void(held.operation))
    assert await _lots_from(database) == early[0]
    assert _taken(await ledger.submit(a_burn(15))) == [10, 5]
    assert await _lots_from(database) == early[1]
    assert await ledger.balance(MEMBER) == Balance(available=283)
    await proving.holds(database)


async def test_of_lots_that_expire_together_those_behind_the_spent_ones_are_read(
    ledger: Ledger, database: Database
) -> None:
    first, second, _ = await ledger.submit_many([an_earn(10, expires_at=FAR) for _ in range(3)])
    assert await _begins(database) == (FAR, lot_id(first.operation, 0))

    await ledger.submit(a_burn(15))
    await ledger.submit(an_earn(10, expires_at=FAR))  # moved as it is read

    assert await _begins(database) == (FAR, lot_id(second.operation, 0))
    assert _taken(await ledger.submit(a_burn(20))) == [5, 10, 5]
    await proving.holds(database)


async def test_a_wallet_that_falls_due_later_than_it_says_is_put_right_by_the_sweep(
    ledger: Ledger, database: Database
) -> None:
    """A burn does not read the lots behind the first few: the wallet stays due when the spent one was."""
    await ledger.submit_many([an_earn(10, expires_at=at) for at in SOON])
    await ledger.submit(a_burn(10))
    assert await _due_at(database) == SOON[0]

    await ledger.advance(SOON[0])

    assert await _due_at(database) == SOON[1]
    assert await ledger.balance(MEMBER) == Balance(available=40)
    await ledger.advance(SOON[1])
    assert await ledger.balance(MEMBER) == Balance(available=30)
    await proving.holds(database)


@pytest.mark.parametrize("reason", ["read-only", "another bucket's"])
async def test_a_wallet_is_put_right_only_in_a_batch_of_its_bucket_that_may_write(
    reason: str, ledger: Ledger, database: Database
) -> None:
    await ledger.submit_many([an_earn(10, expires_at=at) for at in SOON])
    await ledger.submit(a_burn(10))
    await _let_pass(ledger, database, SOON[0])
    if reason == "read-only":
        async with database.writer.begin() as connection:
            await connection.execute(text("UPDATE heads SET fenced = 'a test'"))
        outcome = await ledger.submit(a_burn(1))
    else:
        outcome = await ledger.submit(a_capture(compose(8, 1), 1, member=MEMBER))

    assert code(outcome) == ("READ_ONLY" if reason == "read-only" else "HOLD_NOT_FOUND")
    assert await _due_at(database) == SOON[0]


async def test_a_burn_comes_after_what_has_fallen_due_on_any_lot(ledger: Ledger, database: Database) -> None:
    spendable = [an_earn(10, expires_at=at) for at in SOON[1:4]]
    await ledger.submit_many([*spendable, an_earn(10, available_at=SOON[0], expires_at=FAR)])
    await _let_pass(ledger, database, SOON[0])

    outcome = await ledger.submit(a_burn(5))
    await _let_pass(ledger, database, SOON[1])
    another = await ledger.submit(a_burn(15))

    assert (_taken(outcome), outcome.balance) == ([5], Balance(available=35))
    assert (_taken(another), another.balance) == ([10, 5], Balance(available=15))  # five have expired
    await proving.holds(database)


async def _lots_from(database: Database) -> datetime | None:
    async with database.writer.connect() as connection:
        return await connection.scalar(select(wallets.c.lots_from))


async def _begins(database: Database) -> tuple[datetime, int]:
    async with database.writer.connect() as connection:
        found = (await connection.execute(select(wallets.c.lots_from, wallets.c.first_lot))).one()
        return found.lots_from, found.first_lot


async def _due_at(database: Database) -> datetime | None:
    async with database.writer.connect() as connection:
        return await connection.scalar(select(wallets.c.next_due_at))


async def _let_pass(ledger: Ledger, database: Database, to: datetime) -> None:
    """Time goes by and nobody sweeps."""
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE clock SET now = :at"), {"at": to})
    assert isinstance(ledger.clock, DrivenClock)
    ledger.clock.see(to)


def _taken(outcome: Outcome) -> list[int]:
    return [part.points for part in outcome.slices]
