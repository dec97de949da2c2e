"""Earning and burning through the real engine, one member at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

from ledger import Balance, Ledger
from ledger import keys as ledger_keys
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import keys
from tests.servers import Urls

from . import proving
from .builders import MEMBER, A, B, a_burn, a_capture, a_receipt, a_void, an_authorization, an_earn
from .instances import a_process, code, codes, extend_calendar

DAY_2 = datetime(2026, 1, 2, tzinfo=UTC)
DAY_9 = datetime(2026, 1, 9, tzinfo=UTC)


async def test_points_earned_at_once_are_available(ledger: Ledger) -> None:
    outcome = await ledger.submit(an_earn(50))

    assert outcome.refused is None
    assert outcome.balance == Balance(available=50)
    assert await ledger.balance(MEMBER) == Balance(available=50)


async def test_pending_points_are_released_on_their_day(ledger: Ledger) -> None:
    await ledger.submit(an_earn(50, available_at=DAY_9))
    assert await ledger.balance(MEMBER) == Balance(pending=50)

    await ledger.advance(DAY_9)

    assert await ledger.balance(MEMBER) == Balance(available=50)


async def test_a_burn_takes_the_lots_that_expire_first(ledger: Ledger) -> None:
    later = await ledger.submit(an_earn(50, expires_at=datetime(2027, 5, 1, tzinfo=UTC)))
    sooner = await ledger.submit(an_earn(20, expires_at=datetime(2027, 2, 1, tzinfo=UTC)))

    burn = await ledger.submit(a_burn(30))

    assert [(s.points, s.lot >> 6 << 6 != 0) for s in burn.slices] == [(20, True), (10, True)]
    assert burn.slices[0].lot > burn.slices[1].lot
    assert sooner.operation > later.operation
    assert burn.balance == Balance(available=40)


async def test_a_burn_beyond_the_balance_is_refused_and_moves_nothing(ledger: Ledger) -> None:
    await ledger.submit(an_earn(20))

    burn = await ledger.submit(a_burn(21))

    assert burn.refused is not None
    assert burn.refused.code == "INSUFFICIENT_POINTS"
    assert await ledger.balance(MEMBER) == Balance(available=20)


async def test_a_hold_is_captured_in_parts_and_the_rest_comes_back(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None

    first = await ledger.submit(a_capture(hold, 10))
    last = await ledger.submit(a_capture(hold, 20, final=True))
    after = await ledger.submit(a_capture(hold, 1))

    assert first.hold_left == 50
    assert last.balance == Balance(available=70)
    assert after.refused is not None
    assert after.refused.code == "HOLD_CLOSED"


async def test_more_than_the_hold_has_left_is_refused(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None

    outcome = await ledger.submit(a_capture(hold, 61))

    assert outcome.refused is not None
    assert outcome.refused.code == "CAPTURE_EXCEEDS_HOLD"


async def test_a_voided_hold_returns_every_point(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None

    void = await ledger.submit(a_void(hold))

    assert void.balance == Balance(available=100)


async def test_a_hold_that_nobody_captures_lapses(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60, expires_at=DAY_2))).hold
    assert hold is not None

    await ledger.advance(DAY_2)
    late = await ledger.submit(a_capture(hold))

    assert await ledger.balance(MEMBER) == Balance(available=100)
    assert late.refused is not None
    assert late.refused.code == "HOLD_EXPIRED"


async def test_a_partner_cannot_touch_the_hold_of_another(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(60))).hold
    assert hold is not None

    outcome = await ledger.submit(a_void(hold, partner=A))

    assert outcome.refused is not None
    assert outcome.refused.code == "HOLD_NOT_FOUND"


async def test_points_whose_lot_expired_while_held_come_back_with_grace(
    ledger: Ledger, database: Database
) -> None:
    await ledger.submit(an_earn(100, expires_at=datetime(2026, 1, 25, tzinfo=UTC)))
    hold = (await ledger.submit(an_authorization(60, expires_at=datetime(2026, 2, 9, tzinfo=UTC)))).hold
    assert hold is not None

    await ledger.advance(datetime(2026, 1, 25, tzinfo=UTC))
    expired = await ledger.balance(MEMBER)
    await ledger.submit(a_void(hold))
    back = await ledger.balance(MEMBER)
    await proving.holds(database)  # the child lot expires in another month than its parent
    await ledger.advance(datetime(2026, 2, 9, tzinfo=UTC))

    assert expired == Balance(held=60)
    assert back == Balance(available=60)
    assert await ledger.balance(MEMBER) == Balance()
    await proving.holds(database)


async def test_the_same_key_gives_the_first_outcome_again(ledger: Ledger) -> None:
    first = await ledger.submit(an_earn(50, key="k"))
    again = await ledger.submit(an_earn(50, key="k"))

    assert again.replayed
    assert again.operation == first.operation
    assert await ledger.balance(MEMBER) == Balance(available=50)


async def test_the_same_key_for_another_request_is_a_conflict(ledger: Ledger) -> None:
    await ledger.submit(an_earn(50, key="k"))
    other = await ledger.submit(an_earn(51, key="k"))

    assert other.refused is not None
    assert other.refused.code == "IDEMPOTENCY_CONFLICT"


@pytest.mark.parametrize("first", [a_burn, an_authorization])
@pytest.mark.parametrize("second", [a_burn, an_authorization])
@pytest.mark.parametrize("is_alone", [True, False])
async def test_points_pay_for_a_receipt_once_whether_held_or_burned(
    ledger: Ledger, database: Database, first: Any, second: Any, is_alone: bool
) -> None:
    await ledger.submit(an_earn(100, receipt=a_receipt("1")))
    both = [first(30, receipt=a_receipt("1")), second(30, receipt=a_receipt("1"))]

    outcomes = [await ledger.submit(each) for each in both] if is_alone else await ledger.submit_many(both)

    assert codes(outcomes) == ["OK", "DUPLICATE_RECEIPT"]
    assert code(await ledger.submit(a_burn(30, receipt=a_receipt("2")))) == "OK"
    async with database.writer.connect() as connection:
        claims = await connection.scalar(select(func.count()).select_from(keys))
    assert claims == 2 + 2 + 1 + 2, "its key, and its receipt where it was accepted"
    await proving.holds(database)


async def test_a_voided_hold_keeps_its_receipt(ledger: Ledger) -> None:
    await ledger.submit(an_earn(100))
    hold = (await ledger.submit(an_authorization(30, receipt=a_receipt("1")))).hold
    assert hold is not None
    await ledger.submit(a_void(hold))

    again = [make(30, receipt=a_receipt("1")) for make in (an_authorization, a_burn)]

    assert codes(await ledger.submit_many(again)) == ["DUPLICATE_RECEIPT"] * 2


@pytest.mark.parametrize("second", [a_burn, an_authorization])
async def test_a_receipt_that_an_older_version_held_points_for_is_known(
    ledger: Ledger, database: Database, urls: Urls, monkeypatch: pytest.MonkeyPatch, second: Any
) -> None:
    await ledger.submit(an_earn(100))
    with monkeypatch.context() as formerly:
        formerly.setattr(ledger_keys, "_CLAIMED_AS", {})
        hold = await ledger.submit(an_authorization(30, receipt=a_receipt("1")))
        burn = await ledger.submit(a_burn(30, receipt=a_receipt("2")))
    owner = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://"))
    async with owner.begin() as connection:
        await connection.run_sync(import_module("gateway.migrations.versions.0019_receipts").claim)
    await owner.dispose()

    again = [second(5, receipt=a_receipt(number)) for number in ("1", "2")]

    assert codes([hold, burn]) == ["OK", "OK"]
    assert codes([await ledger.submit(each) for each in again]) == ["DUPLICATE_RECEIPT"] * 2
    assert {
        each.id for each in await ledger.operations_of_receipts([(B, 0, "1", "1"), (B, 0, "1", "2")])
    } == {
        hold.operation,
        burn.operation,
    }
    await proving.holds(database)


async def test_the_lane_that_has_waited_longest_is_next(database: Database, urls: Urls) -> None:
    await extend_calendar(database)
    async with a_process(urls, lanes=8, connections=1) as ledger:
        await ledger.submit_many([an_earn(1, member=compose(bucket, 1)) for bucket in range(8)])
        holder = await asyncpg.connect(urls.writer)
        blocking = holder.transaction()
        await blocking.start()
        await holder.execute("SELECT 1 FROM heads WHERE bucket = 0 FOR UPDATE")
        done: list[int] = []

        async def post(bucket: int) -> None:
            await ledger.submit(an_earn(1, member=compose(bucket, 1)))
            done.append(bucket)

        waiting = []
        for bucket in (0, 5, 2, 7, 1):
            waiting.append(asyncio.create_task(post(bucket)))
            await asyncio.sleep(0.02)
        await blocking.commit()
        await holder.close()
        await asyncio.gather(*waiting)

    assert done == [0, 5, 2, 7, 1]
