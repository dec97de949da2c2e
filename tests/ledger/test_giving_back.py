"""Held points find their way back: to the right member, in full, and for the whole of the grace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from ledger import Balance, Ledger, fence
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose

from . import proving
from .builders import FAR, MEMBER, START, a_capture, a_void, an_authorization, an_earn
from .instances import codes

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("voided_at", "last_day"),
    [
        # Half past midnight, and the hour before midnight, in Berlin; fourteen days of grace.
        (datetime(2026, 10, 19, 22, 30, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=BERLIN)),
        (datetime(2026, 3, 20, 22, 30, tzinfo=UTC), datetime(2026, 4, 3, tzinfo=BERLIN)),
    ],
)
async def test_grace_counts_local_days_when_the_clocks_change_meanwhile(
    database: Database, driven_clock: DrivenClock, voided_at: datetime, last_day: datetime
) -> None:
    ledger = await _in_berlin(database, driven_clock)
    await ledger.advance(voided_at - 3 * DAY)
    await ledger.submit(an_earn(40, occurred_at=START, expires_at=voided_at - DAY))
    hold = (await ledger.submit(an_authorization(40, expires_at=voided_at + DAY))).hold
    assert hold is not None
    await ledger.advance(voided_at)

    await ledger.submit(a_void(hold))
    await ledger.advance(last_day.replace(hour=23, minute=59, second=59).astimezone(UTC))
    alive = await ledger.balance(MEMBER)
    await ledger.advance((last_day.replace(tzinfo=None) + DAY).replace(tzinfo=BERLIN).astimezone(UTC))
    dead = await ledger.balance(MEMBER)

    assert (alive.available, dead.available) == (40, 0)
    await ledger.drain()


async def test_a_hold_given_with_another_members_name_is_not_found(
    ledger: Ledger, database: Database
) -> None:
    """Elsewhere a capture trusts the member it is sent with and takes the points from the wrong wallet."""
    neighbour, stranger = compose(7, 2), compose(40, 1)
    await ledger.submit_many(
        [
            an_earn(100),
            an_earn(100, member=neighbour),
            an_earn(100, member=stranger, available_at=START + DAY, expires_at=FAR),
        ]
    )
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None
    await ledger.advance(START + DAY / 2)

    outcomes = [await ledger.submit(a_capture(hold, member=other)) for other in (neighbour, stranger)]
    outcomes += [await ledger.submit(a_void(hold, member=other)) for other in (neighbour, stranger)]

    assert codes(outcomes) == ["HOLD_NOT_FOUND"] * 4
    assert await ledger.balance(MEMBER) == Balance(available=40, held=60)
    await proving.holds(database)


async def _in_berlin(database: Database, clock: DrivenClock) -> Ledger:
    """A running ledger whose periods are the months of Berlin."""
    starts = [datetime(2026, month, 1, tzinfo=BERLIN) for month in range(1, 13)]
    spans = [(n, *span) for n, span in enumerate(pairwise(starts), start=1)]
    async with database.writer.begin() as connection:
        await fence.extend(connection, spans, BERLIN.key)
    ledger = Ledger(database, clock)
    await ledger.start()
    return ledger
