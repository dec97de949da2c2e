"""A close begins when it may, leaves no bucket behind, opens with what was due and drops no money."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update

from ledger import Ledger
from ledger.evidence import sealing
from ledger.kernel.database import Database
from ledger.kernel.ids import TREASURY, compose
from ledger.proof import prove
from ledger.tables import heads
from settlement import journals, periods, proof
from settlement.audits import CHEAP, INVARIANTS, audit, lift
from settlement.close import BucketsBehind, EarlierPeriodOpen, advance
from settlement.journals import TreasuryReadOnly
from settlement.periods import Stage
from tests.ledger.builders import a_burn, an_earn
from tests.settlement.coalition import ENDS, STAFF, Coalition, found_coalition
from tests.settlement.scenarios import golden_inputs


@pytest.fixture
async def coalition(database: Database) -> Coalition:
    return await found_coalition(database, golden_inputs())


async def trade(coalition: Coalition, ledger: Ledger) -> None:
    member, a, b = compose(3, 1), coalition.partners["A"], coalition.partners["B"]
    await ledger.submit(
        an_earn(
            333,
            member=member,
            partner=b,
            obligor=b,
            tariff=coalition.tariffs["B"],
            occurred_at=ledger.clock.now(),
        )
    )
    await ledger.submit(
        a_burn(111, member=member, partner=a, terms=coalition.terms["A"], occurred_at=ledger.clock.now())
    )


async def test_a_period_opens_with_what_the_last_one_left_due(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    await trade(coalition, ledger)
    await ledger.advance(ENDS[1])
    await trade(coalition, ledger)
    await ledger.advance(ENDS[2])
    first, second = [(await advance(database, ledger, n, at=ENDS[2], by=STAFF)).sheet for n in (1, 2)]
    assert first is not None
    assert second is not None
    due = {line.partner: line.due_micro for line in first.lines}
    assert any(due.values())
    assert {line.partner: line.opening_micro for line in second.lines if line.partner in due} == due


@pytest.mark.parametrize("stage", [Stage.CUT_OFF, Stage.FROZEN, Stage.RECONCILING])
async def test_a_period_waits_until_the_one_before_it_is_proposed(
    coalition: Coalition, database: Database, ledger: Ledger, stage: Stage
) -> None:
    await ledger.advance(ENDS[2])
    async with database.writer.begin() as connection:
        for each in list(Stage)[1 : list(Stage).index(stage) + 1]:
            hash_ = bytes(32) if each is Stage.FROZEN else None
            await periods.reach(connection, 1, each, at=ENDS[1], by=STAFF, hash_=hash_)
    with pytest.raises(EarlierPeriodOpen):
        await advance(database, ledger, 2, at=ENDS[2], by=STAFF)


async def test_a_bucket_that_is_read_only_and_behind_keeps_its_period_open(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    await trade(coalition, ledger)
    await _fence(database, 3)
    await ledger.advance(ENDS[1])
    with pytest.raises(BucketsBehind, match="bucket 3 is read-only"):
        await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    async with database.writer.connect() as connection:
        assert await periods.stage_of(connection, 1) is Stage.OPEN


@pytest.mark.parametrize("is_found", [True, False])
async def test_a_head_that_is_ahead_of_its_log_keeps_its_period_open(
    coalition: Coalition, database: Database, ledger: Ledger, is_found: bool
) -> None:
    await trade(coalition, ledger)
    await _set_period(database, 3, 2)
    if is_found:
        (known,) = (await audit(database, at=ENDS[1], invariants=CHEAP)).new
        assert (known.invariant, known.bucket) == ("heads", 3)
    await ledger.advance(ENDS[1])

    with pytest.raises(BucketsBehind, match="bucket 3 is read-only" if is_found else "bucket 3 has not left"):
        await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    async with database.writer.connect() as connection:
        assert await periods.stage_of(connection, 1) is Stage.OPEN
        assert [span.period for span in await sealing.due(connection)] == []
    await _set_period(database, 3, 1)
    if is_found:
        async with database.writer.begin() as connection:
            await lift(database, connection, 3, by=STAFF, because="put right", at=ENDS[1])
    closed = await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    assert closed.stage is Stage.PROPOSED
    assert (await prove(database.writer, INVARIANTS)).findings == ()


async def test_what_a_bucket_wrote_ahead_of_its_period_keeps_it_open_once_it_is_found(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    await trade(coalition, ledger)
    await _set_period(database, 3, 2)
    await trade(coalition, ledger)
    found = (await audit(database, at=ENDS[1])).new
    assert {known.bucket for known in found if known.invariant == "periods"} == {3}
    await ledger.advance(ENDS[1])

    with pytest.raises(BucketsBehind, match="bucket 3 is read-only"):
        await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    async with database.writer.connect() as connection:
        assert await periods.stage_of(connection, 1) is Stage.OPEN


async def test_a_period_waits_where_it_is_while_the_treasury_is_read_only(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    await ledger.advance(ENDS[1])
    async with database.writer.begin() as connection:
        await periods.reach(connection, 1, Stage.CUT_OFF, at=ENDS[1], by=STAFF)
    await _fence(database, TREASURY)

    with pytest.raises(TreasuryReadOnly, match="bucket 64") as refused:
        await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    assert (refused.value.code, refused.value.retryable) == ("READ_ONLY", True)
    async with database.writer.begin() as connection:
        assert await periods.stage_of(connection, 1) is Stage.RECONCILING
        await lift(database, connection, TREASURY, by=STAFF, because="put right", at=ENDS[1])
    assert (await advance(database, ledger, 1, at=ENDS[1], by=STAFF)).stage is Stage.PROPOSED


async def _fence(database: Database, bucket: int) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(update(heads).where(heads.c.bucket == bucket).values(fenced="a finding"))


async def _set_period(database: Database, bucket: int, period: int) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(update(heads).where(heads.c.bucket == bucket).values(period=period))


async def test_a_journal_in_several_parts_is_posted_whole(
    coalition: Coalition, database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_LINES_AT_ONCE", 1)
    await trade(coalition, ledger)
    await ledger.advance(ENDS[1])
    await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    assert (await prove(database.writer, proof.INVARIANTS)).findings == ()


async def test_cells_that_count_otherwise_than_their_flows_are_named(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    await trade(coalition, ledger)
    await ledger.advance(ENDS[1])
    await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    async with database.writer.begin() as connection:
        await connection.execute(text("UPDATE flows SET count = count + 1 WHERE operation = 'burn'"))
    assert "cells" in {each.invariant for each in (await prove(database.writer, proof.INVARIANTS)).findings}
