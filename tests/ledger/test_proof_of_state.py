"""Whatever the `writer` changes in a row of state, history tells, and the proof names the row's bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ledger import Ledger, fence, invariants, proof
from ledger.evidence.history import WHOLE_HISTORY
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.keys import Keys
from tests.servers import Urls

from . import proving
from .builders import (
    FAR,
    MEMBER,
    START,
    A,
    B,
    a_burn,
    a_capture,
    a_merge,
    a_novation,
    a_receipt,
    a_return,
    a_transfer,
    a_void,
    an_adjustment,
    an_arming,
    an_authorization,
    an_earn,
    an_opening,
    an_opening_lot,
)

OTHER, GONE = compose(7, 2), compose(7, 3)
FRIEND, SURVIVOR = compose(40, 1), compose(40, 2)
DAY = timedelta(days=1)
TOKEN = bytes(16)


@pytest.fixture
async def rich(ledger: Ledger) -> Ledger:
    """Of everything that state holds at least one row, and of lots and slices two that might be confused."""
    soon, late = START + 20 * DAY, START + 25 * DAY
    await ledger.submit_many(
        [
            an_earn(100, expires_at=soon, receipt=a_receipt()),
            an_earn(100, expires_at=late, tariff=5),
            an_earn(50, available_at=START + 10 * DAY),
            an_earn(40, partner=B),
            an_opening(an_opening_lot(30), an_opening_lot(20, available_at=START + 9 * DAY), member=OTHER),
            an_earn(60, member=GONE),
            an_adjustment(15),
        ]
    )
    held = [await ledger.submit(an_authorization(60, expires_at=START + 5 * DAY)) for _ in range(3)]
    captured, voided, _ = (outcome.hold or 0 for outcome in held)
    await ledger.submit_many([a_capture(captured, 25), a_void(voided), a_novation(B, A)])
    await ledger.submit(a_burn(10, token=TOKEN))
    spent = [await ledger.submit(an_earn(points, member=GONE)) for points in (30, 20)]
    await ledger.submit(a_burn(110, member=GONE))
    await ledger.submit_many([a_return(earn.operation, member=GONE) for earn in spent])
    await ledger.submit_many([a_merge(SURVIVOR, member=GONE), a_transfer(7, to_member=FRIEND)])
    await ledger.drive_all()
    await ledger.submit(a_transfer(5, to_member=FRIEND))  # nobody drives this one
    return ledger


async def test_every_invariant_holds_of_a_rich_ledger(rich: Ledger, database: Database) -> None:
    await proving.holds(database)


OF_ONE_BUCKET = ("wallets", "lots", "holds", "slices", "transits", "dues", "returned")


async def test_who_may_write_state_moves_no_row_of_it_to_another_bucket(rich: Ledger, urls: Urls) -> None:
    """There it is not found: a wallet would begin with nothing, and what came back could come back again."""
    writer = await asyncpg.connect(urls.writer)

    for table in OF_ONE_BUCKET:
        assert await writer.fetchval(f"SELECT count(*) FROM {table}") > 0
        with pytest.raises(asyncpg.CheckViolationError, match=f"ck_{table}_own_bucket"):
            await writer.execute(f"UPDATE {table} SET bucket = bucket + 1")
    with pytest.raises(asyncpg.CheckViolationError, match="ck_counters_own_bucket"):
        await writer.execute("INSERT INTO counters VALUES (0, $1, 'earned/1', 'day', '')", MEMBER)
    for change in ("hash = ''", "recorded_at = 'infinity'"):
        with pytest.raises(asyncpg.CheckViolationError, match="ck_heads_sound"):
            await writer.execute(f"UPDATE heads SET {change}")

    await writer.close()


OF_HOME = [
    # two lots of one member, swapped point by point
    (
        "UPDATE lots SET available = available + CASE WHEN tariff = 5 THEN 1 ELSE -1 END "
        "WHERE member = {m} AND available > 1 AND issuer = 1 AND expires_at < '2026-02-01'",
        "lot_lines",
    ),
    ("UPDATE lots SET tariff = 6 - tariff WHERE member = {m} AND tariff IN (1, 5)", "lot_lines"),
    ("UPDATE lots SET issuer = 3 WHERE member = {m} AND issuer = 1", "lot_lines"),
    ("UPDATE lots SET member = {other} WHERE member = {m}", "lot_lines"),
    (
        "INSERT INTO lots SELECT bucket, member, id + 1, issuer, obligor, tariff, earned_at, expires_at, "
        "9, 0, 0 FROM lots WHERE member = {m} AND tariff = 5",
        "lot_lines",
    ),
    ("UPDATE lots SET obligor = 3 WHERE member = {m} AND tariff = 5", "lot_dates"),
    ("UPDATE lots SET obligor = 2 WHERE member = {m} AND issuer = 2", "lot_dates"),
    ("UPDATE lots SET expires_at = expires_at + interval '1 day' WHERE tariff = 5", "lot_dates"),
    ("UPDATE lots SET earned_at = earned_at - interval '1 day' WHERE tariff = 5", "lot_dates"),
    ("UPDATE lots SET earned = earned + 1 WHERE tariff = 5", "lot_dates"),
    ("UPDATE lots SET armed_at = NULL WHERE tariff = 5", "lot_dates"),
    ("UPDATE lots SET armed_at = armed_at + interval '1 second' WHERE tariff = 5", "lot_dates"),
    ("UPDATE lots SET available_at = '2026-12-01' WHERE member = {m} AND pending > 0", "lot_dates"),
    ("UPDATE lots SET parent = 1 WHERE tariff = 5", "lot_dates"),
    ("UPDATE lots SET forfeited = forfeited + 1 WHERE tariff = 5", "lot_dates"),
    ("UPDATE lots SET expires_at = expires_at + interval '1 day' WHERE member = {other}", "lot_dates"),
    ("UPDATE lots SET available_at = '2026-12-01' WHERE member = {other} AND pending > 0", "lot_dates"),
    ("UPDATE slices SET captured = released, released = captured WHERE released > 0", "slice_lines"),
    ("UPDATE slices SET captured = 0, released = captured WHERE captured = 25", "slice_lines"),
    ("UPDATE slices SET lot = lot + 1", "slice_lines"),
    ("UPDATE slices SET issuer = 3", "slice_lines"),
    ("UPDATE slices SET obligor = 3 WHERE released > 0", "slice_lines"),
    ("UPDATE slices SET obligor = 3 WHERE points > captured + released", "slice_lines"),
    ("UPDATE slices SET tariff = 3", "slice_lines"),
    ("UPDATE slices SET earned_at = earned_at - interval '1 day'", "slice_lines"),
    ("UPDATE slices SET expires_at = expires_at + interval '1 day'", "slice_lines"),
    ("UPDATE slices SET expires_at = expires_at - interval '1 day' WHERE released = 0", "slice_lines"),
    ("UPDATE slices SET member = {other}", "slice_lines"),
    ("UPDATE holds SET member = {other}", "holds"),
    ("UPDATE holds SET partner = 3", "holds"),
    ("UPDATE holds SET outlet = 3", "holds"),
    ("UPDATE holds SET terms = 99", "holds"),
    ("UPDATE holds SET expires_at = expires_at + interval '1 day'", "holds"),
    ("UPDATE holds SET is_open = NOT is_open", "holds"),
    ("UPDATE holds SET has_lapsed = true WHERE NOT is_open", "holds"),
    ("UPDATE wallets SET merged_into = {friend} WHERE member = {m}", "survivors"),
    ("UPDATE wallets SET merged_into = {friend} WHERE member = {gone}", "survivors"),
    ("UPDATE wallets SET merged_into = NULL WHERE member = {gone}", "survivors"),
    ("UPDATE transits SET to_member = {survivor} WHERE state = 'open'", "transits"),
    ("UPDATE transits SET member = {other} WHERE state = 'open'", "transits"),
    ("UPDATE transits SET kind = 'merge' WHERE state = 'open'", "transits"),
    ("UPDATE transits SET opened_at = opened_at + interval '1 minute'", "transits"),
    ("UPDATE transits SET points = points + 1 WHERE state <> 'open'", "transits"),
    ("UPDATE transits SET parts = set_byte(parts, 3, get_byte(parts, 3) # 1)", "transits"),
    ("UPDATE transits SET state = 'returned' WHERE state = 'arrived'", "transits"),
    ("UPDATE transits SET refusal = 'MEMBER_FROZEN'", "transits"),
    ("UPDATE dues SET issuer = 3 WHERE bucket = 7", "due_lines"),
    ("UPDATE dues SET obligor = 3 WHERE bucket = 7", "due_lines"),
    ("UPDATE dues SET tariff = 3 WHERE bucket = 7", "due_lines"),
    ("UPDATE dues SET original = original + 1 WHERE bucket = 7", "due_lines"),
    ("UPDATE heads SET height = height - 1 WHERE bucket = 7", "heads"),
    ("UPDATE heads SET operations = operations + 1 WHERE bucket = 7", "heads"),
    ("UPDATE heads SET period = period + 1 WHERE bucket = 7", "heads"),
    ("UPDATE heads SET recorded_at = recorded_at + interval '1 second' WHERE bucket = 7", "heads"),
    ("UPDATE heads SET hash = sha256(hash) WHERE bucket = 7", "heads"),
    ("UPDATE heads SET recorded_at = recorded_at + interval '1 second' WHERE bucket = 7", "ahead"),
    (
        "INSERT INTO keys SELECT bucket, substr(sha256(key), 1, 16), operation, recorded_at FROM keys "
        "WHERE operation = {first}",
        "claims",
    ),
]
OF_THE_SURVIVOR = [
    ("UPDATE dues SET original = original + 1 WHERE bucket = 40", "transits"),
    ("UPDATE dues SET obligor = 3 WHERE bucket = 40", "due_lines"),
    (
        "UPDATE dues SET points_left = points_left + CASE WHEN points = 20 THEN -1 ELSE 1 END * "
        "(SELECT min(points - points_left) FROM dues WHERE bucket = 40 AND points = 30) WHERE bucket = 40",
        "due_order",
    ),
    ("UPDATE lots SET parent = parent + 1 WHERE member = {friend}", "lot_dates"),
    ("UPDATE lots SET expires_at = expires_at + interval '1 day' WHERE member = {friend}", "lot_dates"),
]


OF_THE_OWNER = [
    ("DELETE FROM keys WHERE operation = {first}", "claims"),
    ("DELETE FROM keys WHERE operation = (SELECT id FROM operations WHERE kind = 'burn' LIMIT 1)", "claims"),
    ("DELETE FROM keys WHERE key = '\\x{token}'", "claims"),
    ("DELETE FROM keys WHERE key = '\\x{receipt}'", "claims"),
    ("UPDATE keys SET key = substr(sha256(key), 1, 16) WHERE operation = {first}", "claims"),
    ("UPDATE keys SET operation = {first} WHERE bucket = 7", "claims"),
    ("DELETE FROM lots WHERE tariff = 5", "lot_lines"),
    ("DELETE FROM holds WHERE NOT is_open", "holds"),
    ("DELETE FROM slices WHERE released > 0", "slice_lines"),
    ("DELETE FROM transits WHERE bucket = 7", "transits"),
    ("DELETE FROM dues WHERE bucket = 7", "due_lines"),
]
"""The writer deletes nothing, and changes no key."""


async def test_what_the_writer_changes_is_found_and_named(rich: Ledger, database: Database) -> None:
    await rich.submit(an_earn(12, partner=B, member=SURVIVOR))  # it pays the older debt in part

    blamed = await _blamed(database.writer, [*OF_HOME, *OF_THE_SURVIVOR])

    assert blamed == {damage: {7} for damage, _ in OF_HOME} | {damage: {40} for damage, _ in OF_THE_SURVIVOR}


@pytest.mark.parametrize(
    ("shift", "invariant"),
    [("recorded_at = recorded_at + interval '60 days'", "ahead"), ("period = period + 1", "periods")],
)
async def test_what_is_posted_on_a_head_that_was_shifted_is_found(
    ledger: Ledger, database: Database, shift: str, invariant: str
) -> None:
    """Else a burn of February would be settled in April, and nobody could tell."""
    await ledger.submit(an_earn(100))
    async with database.writer.begin() as connection:
        await connection.execute(text(f"UPDATE heads SET {shift} WHERE bucket = 7"))

    await ledger.submit(a_burn(10))

    found = (await proof.prove(database.writer, invariants.INVARIANTS)).findings
    assert {(finding.invariant, finding.bucket) for finding in found} == {(invariant, 7)}


async def test_rows_and_keys_that_are_gone_are_missed(rich: Ledger, urls: Urls) -> None:
    owner = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://"))

    blamed = await _blamed(owner, OF_THE_OWNER)
    await owner.dispose()

    assert blamed == {damage: {7} for damage, _ in OF_THE_OWNER}


async def test_operations_of_before_are_taken_at_the_word_of_their_rows(
    rich: Ledger, database: Database, urls: Urls
) -> None:
    """Their outcomes end before `kept`; what they left unsaid makes nobody read-only."""
    owner = create_async_engine(urls.owner.replace("postgresql://", "postgresql+asyncpg://"))
    async with owner.begin() as connection:
        await connection.execute(text("ALTER TABLE operations DISABLE TRIGGER USER"))
        for id_, outcome in (await connection.execute(text("SELECT id, outcome FROM operations"))).all():
            short = msgspec.msgpack.encode(msgspec.msgpack.decode(outcome)[:-1])
            sql = text("UPDATE operations SET outcome = :short WHERE id = :id")
            await connection.execute(sql, {"short": short, "id": id_})
    await owner.dispose()

    found = (await proof.prove(database.writer, invariants.INVARIANTS)).findings

    assert {finding.invariant for finding in found} == {"chain"}


async def _blamed(engine: AsyncEngine, damages: Sequence[tuple[str, str]]) -> dict[str, set[int | None]]:
    """The buckets that an invariant blames for each damage, which is undone before the next."""
    names = {"m": MEMBER, "other": OTHER, "gone": GONE, "friend": FRIEND, "survivor": SURVIVOR}
    claims = {"token": Keys.of_token(TOKEN).hex(), "receipt": Keys.of_receipt(A, 0, "earn", "1", "1").hex()}
    by_name = {invariant.name: invariant for invariant in invariants.INVARIANTS}
    blamed = {}
    for damage, invariant in damages:
        async with engine.connect() as connection:
            done = await connection.execute(text(damage.format(**names, **claims, first=compose(7, 1))))
            assert done.rowcount > 0, damage
            await connection.execute(WHOLE_HISTORY)
            found = await by_name[invariant].find(connection)
            await connection.rollback()
        blamed[damage] = {finding.bucket for finding in found}
    return blamed


@pytest.fixture
async def noticing(database: Database, driven_clock: DrivenClock) -> AsyncIterator[Ledger]:
    """A programme with notices: one lot was armed late, another is not armed."""
    year = [(1, START, datetime(2027, 1, 1, tzinfo=UTC))]
    async with database.writer.begin() as connection:
        await fence.extend(connection, year, "UTC", 10)
    opened = Ledger(database, driven_clock)
    await opened.start()
    await opened.submit_many([an_earn(100, expires_at=START + 3 * DAY), an_earn(50, expires_at=FAR)])
    await opened.submit(an_authorization(20, expires_at=START + 60 * DAY))
    await opened.submit(an_arming(until=START + 5 * DAY, notice_days=10))
    yield opened
    await opened.drain()


async def test_arming_is_what_the_notices_said(noticing: Ledger, database: Database) -> None:
    await proving.holds(database)
    damages = [
        ("UPDATE lots SET armed_at = '2026-01-01' WHERE armed_at IS NULL", "lot_dates"),
        ("UPDATE lots SET armed_at = NULL WHERE armed_at IS NOT NULL", "lot_dates"),
        ("UPDATE lots SET expires_at = expires_at + interval '1 hour' WHERE armed_at IS NULL", "lot_dates"),
        ("UPDATE lots SET expires_at = '2026-01-05' WHERE armed_at IS NOT NULL", "lot_dates"),
    ]

    blamed = await _blamed(database.writer, damages)

    assert blamed == {damage: {7} for damage, _ in damages}
