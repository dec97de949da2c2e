"""Opening balances in the ledger: journals of their own kind, all lots or none, once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger import Ledger, Open, OpeningLot, stock
from ledger.kernel.database import Database

from . import proving
from .builders import FAR, MEMBER, START, a_burn, an_earn
from .instances import code

DAY = timedelta(days=1)


def a_lot(points: int = 100, **changes: Any) -> OpeningLot:
    good: dict[str, Any] = {
        "issuer": 1,
        "obligor": 1,
        "tariff": 1,
        "earned_at": START - 90 * DAY,
        "expires_at": FAR,
    }
    return OpeningLot(points=points, **(good | changes))


def an_opening(*lots: OpeningLot, **changes: Any) -> Open:
    good: dict[str, Any] = {
        "principal": "opening:old",
        "key": str(MEMBER),
        "digest": repr(lots).encode()[:32],
        "member": MEMBER,
        "occurred_at": START,
        "partner": 0,
    }
    return Open(lots=lots or (a_lot(),), **(good | changes))


async def test_lots_keep_their_dates_and_are_burned_in_their_order(
    database: Database, ledger: Ledger
) -> None:
    await ledger.submit(an_earn(50, expires_at=START + 100 * DAY))
    opened = await ledger.submit(
        an_opening(a_lot(30, expires_at=START + 200 * DAY), a_lot(20, expires_at=START + 50 * DAY))
    )
    burned = await ledger.submit(a_burn(60))

    assert (opened.kind, opened.points, opened.balance.available) == ("opening", 50, 100)
    assert [taken.points for taken in burned.slices] == [20, 40]
    await proving.holds(database)


async def test_pending_points_wait_and_then_expire_when_they_must(database: Database, ledger: Ledger) -> None:
    pending = a_lot(30, available_at=START + 10 * DAY, expires_at=START + 20 * DAY)
    past = a_lot(5, available_at=START - DAY)
    opened = await ledger.submit(an_opening(pending, past))

    assert (opened.balance.pending, opened.balance.available) == (30, 5)
    await ledger.advance(START + 10 * DAY)
    assert (await ledger.balance(MEMBER)).available == 35
    await ledger.advance(START + 20 * DAY)
    assert (await ledger.balance(MEMBER)).available == 5
    await proving.holds(database)


async def test_a_repeat_opens_nothing_more(database: Database, ledger: Ledger) -> None:
    first = await ledger.submit(an_opening())
    again = await ledger.submit(an_opening())
    other = await ledger.submit(an_opening(a_lot(7)))

    assert (again.operation, again.replayed) == (first.operation, True)
    assert code(other) == "IDEMPOTENCY_CONFLICT"
    assert (await ledger.balance(MEMBER)).available == 100
    await proving.holds(database)


@pytest.mark.parametrize(
    ("lots", "field"),
    [
        ((a_lot(), a_lot(expires_at=START)), ("lots", "1", "expires")),
        ((a_lot(0),), ("lots", "0", "points")),
        ((a_lot(),) * 1_001, ("lots",)),
    ],
)
async def test_one_bad_lot_and_none_is_made(
    database: Database, ledger: Ledger, lots: tuple[OpeningLot, ...], field: tuple[str, ...]
) -> None:
    outcome = await ledger.submit(an_opening(*lots))

    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.field) == ("INVALID_INPUT", field)
    assert (await ledger.balance(MEMBER)).available == 0
    await proving.holds(database)


async def test_stock_ages_by_the_day_of_earning(database: Database, ledger: Ledger) -> None:
    await ledger.submit(an_opening(a_lot(30, earned_at=datetime(2025, 3, 5, tzinfo=START.tzinfo))))

    async with database.writer.connect() as connection:
        (cell,) = await stock.live(connection)
    assert (cell.issue_month, cell.points) == (202503, 30)
    await proving.holds(database)
