"""The papers of closed periods are drawn up again by the proof, and what was rewritten is named."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Ledger
from ledger.kernel.database import Database
from ledger.kernel.ids import TREASURY
from partners import create_partner
from settlement import issued, periods, proof, store
from settlement.close import advance
from settlement.closing_note import ClosingNote, decode_closing_note, encode_closing_note
from settlement.periods import SheetUnreadable, Stage
from tests.damage import damaged_for_now
from tests.servers import Urls
from tests.settlement.coalition import ENDS, STAFF, Coalition, store_period
from tests.settlement.scenarios import GOLDEN, golden_inputs

EXPECTED: dict[str, Any] = GOLDEN["expected"]


@pytest.fixture
async def closed(coalition: Coalition, database: Database, ledger: Ledger) -> Coalition:
    """The golden coalition after both of its periods are closed, with late items and a novation."""
    for period in (1, 2):
        await store_period(database, coalition, golden_inputs(), EXPECTED, period)
        await ledger.advance(ENDS[period])
        await advance(database, ledger, period, at=ledger.clock.now(), by=STAFF)
    return coalition


async def found_in(connection: AsyncConnection, name: str) -> list[str]:
    """What the invariant of that name finds."""
    (invariant,) = [each for each in proof.INVARIANTS if each.name == name]
    return [found.row for found in await invariant.find(connection)]


def _rewritten(old: str, new: str, where: str) -> str:
    """Statements with other words, and with a hash of them."""
    words = f"convert_to(replace(convert_from(body, 'utf8'), '{old}', '{new}'), 'utf8')".replace(":", "\\:")
    return f"UPDATE statements SET (body, hash) = (SELECT b, sha256(b) FROM {words} AS b) WHERE {where}"


REWRITTEN: Final = {
    "UPDATE statements SET body = body || ' ' WHERE number = '0002-0002'": (
        "period 2: statement 0002-0002 is of partner 2",
    ),
    _rewritten('"due_micro":', '"due_micro":9', "number = '0002-0002'"): (
        "period 2: statement 0002-0002 is of partner 2",
    ),
    "DELETE FROM statements WHERE number = '0001-0003'": ("period 1: statement 0001-0003 is missing",),
    "UPDATE sheet_lines SET opening_micro = CASE partner WHEN 1 THEN 0 ELSE opening_micro"
    " + (SELECT opening_micro FROM sheet_lines WHERE period = 2 AND partner = 1) END"
    " WHERE period = 2 AND partner IN (0, 1)": (
        "period 2: the line of the operator is",
        "period 2: the line of partner 1 is opening 0,",
    ),
    "UPDATE sheet_lines SET payable_micro = payable_micro + 1000000 * (3 - 2 * partner)"
    " WHERE period = 2 AND partner IN (1, 2)": (
        "period 2: the line of partner 1 is",
        "period 2: the line of partner 2 is",
    ),
    "INSERT INTO obligations VALUES (1, 1, 2, 500), (1, 2, 1, 500)"
    " ON CONFLICT (period, debtor, creditor) DO UPDATE SET micro = obligations.micro + 500": (
        "period 1: what 1 owes 2 is",
        "period 1: what 2 owes 1 is",
    ),
    "UPDATE sheets SET mode = 'gross' WHERE period = 1": (
        "period 1: the sheet is RUB, gross; it should be RUB, multilateral",
    ),
    "UPDATE sheets SET mode = 'by hand' WHERE period = 1": (
        "period 1: the sheet is RUB, by hand; it should be RUB, multilateral",
    ),
    "UPDATE sheets SET drawn_up_at = drawn_up_at - interval '1 hour' WHERE period = 2": (
        "period 2: the sheet was drawn up at 2026-02-28T23:00:00+00:00; it should have been at 2026-03-01",
    ),
    "UPDATE agreements SET fee_ppm = 300000 WHERE partner = 2": (
        "period 1: the line of the operator is",
        "period 1: the line of partner 2 is",
    ),
    "UPDATE tariffs SET redemption_value_micro = redemption_value_micro * 2 WHERE obligor = 1": (
        "period 1: the line of partner 1 is",
        "period 1: statement 0001-0001 is",
    ),
    "DELETE FROM agreements WHERE partner = 2": ("period 1 cannot be drawn up again: nothing is known of 2",),
    "DELETE FROM sheets WHERE period = 1": ("period 1 has no sheet, and the one after it is closed",),
    "UPDATE tariffs SET issue_price_micro = issue_price_micro * 2 WHERE obligor = 1": (
        "period 1: tariff 1 is at_redemption, issue price 1900000 micro, ",
        "period 2: tariff 1 is at_redemption, issue price 1900000 micro, ",
    ),
    "UPDATE period_stages SET reached_by = 'staff:nobody' WHERE stage = 'PROPOSED'": (
        "period 1: stage 4 is PROPOSED at 2026-02-01T00:00:00+00:00 by staff:nobody; it should be PROPOSED",
    ),
    "DELETE FROM period_stages WHERE period = 1": ("period 1: stage 1 is missing; it should be CUT_OFF",),
    # Everything that tells of a line is taken away: only the note still knows of it.
    "WITH lines AS (DELETE FROM sheet_lines WHERE period = 1 AND partner = 3),"
    " owed AS (DELETE FROM obligations WHERE period = 1 AND 3 IN (debtor, creditor))"
    " DELETE FROM statements WHERE period = 1 AND partner = 3": (
        "period 1: the line of partner 3 is missing",
    ),
    "WITH renamed AS (UPDATE partners SET name = 'Z' WHERE id = 3) "
    + _rewritten('"partner_name":"C"', '"partner_name":"Z"', "partner = 3"): (
        "period 1: its papers are not those of the treasury's note",
        "period 2: its papers are not those of the treasury's note",
    ),
    f"DELETE FROM operations WHERE bucket = {TREASURY} AND key LIKE 'period\\:2%'": (
        "period 2 has no note in the treasury, and the one before it has",
    ),
    "UPDATE calendar SET period = 99 WHERE period = 1": ("period 1 is closed, and not in the calendar",),
}
"""What the owner of the database might do, and rows that are named for it."""


async def test_what_was_rewritten_is_named(closed: Coalition, database: Database, urls: Urls) -> None:
    async with database.writer.connect() as connection:
        assert await found_in(connection, "papers") == []

    for damage, rows in REWRITTEN.items():
        async with damaged_for_now(urls, damage) as connection:
            found = await found_in(connection, "papers")
        for row in rows:
            assert any(each.startswith(row) for each in found), (damage, found)


async def test_a_sheet_that_is_netted_as_nobody_nets_is_not_shown(closed: Coalition, urls: Urls) -> None:
    async with damaged_for_now(urls, "UPDATE sheets SET mode = 'by hand' WHERE period = 1") as connection:
        with pytest.raises(SheetUnreadable, match="the sheet of period 1 says that it is netted 'by hand'"):
            await periods.period(connection, 1)
        with pytest.raises(SheetUnreadable):
            await periods.periods(connection, at=ENDS[2])
        assert (await periods.period(connection, 2)).sheet is not None


STAGES_CHANGED: Final = {
    "DELETE FROM period_stages WHERE period = 1 AND stage = 'FROZEN'": "period 1: row 3 is RECONCILING at",
    "DELETE FROM period_stages WHERE period = 1 AND stage = 'PROPOSED'": (
        "period 1: has a sheet and is not proposed"
    ),
    "DELETE FROM sheets WHERE period = 2": "period 2: is proposed without a sheet",
    "UPDATE period_stages SET ordinal = ordinal + 1 WHERE period = 2 AND stage = 'PROPOSED'": (
        "period 2: row 5 is PROPOSED at"
    ),
    "UPDATE period_stages SET stage = 'APPROVED' WHERE period = 2 AND stage = 'RECONCILING'": (
        "period 2: row 3 is APPROVED at"
    ),
    "UPDATE period_stages SET reached_at = reached_at - interval '1 second' WHERE stage = 'FROZEN'": (
        "period 1: row 2 is FROZEN at"
    ),
}


def test_a_note_that_names_no_edition_is_of_papers_of_the_first() -> None:
    note = ClosingNote(
        by=STAFF, reason="closing", period=1, papers=b"", partners=(), stages=(), prices={}, edition=2
    )
    kept = msgspec.msgpack.decode(encode_closing_note(note))
    del kept["edition"]

    assert decode_closing_note(encode_closing_note(note)).edition == 2
    assert decode_closing_note(msgspec.msgpack.encode(kept)).edition == 1


FIRST_EDITION: Final = [
    "84c998f1647c49e7a2835e5410dc35783e55ff85f8e27d6afaef37f2b9d3f840",
    "0e38be4caeb757250728868ad5004ad0876e7f103a4f6eb13e9aca4c9268bbd0",
    "23c231d86f46694fd3c2faa59eb9c511f3b8266f015b342ace48b85e4835e86a",
    "367d8de0a24df28f1404ad540cd9e09af650e4856430d7fbcd515249c4a28f3b",
]
"""The hashes of the golden January's statements as they were issued before there were notes and rates."""


async def test_a_period_closed_before_there_were_notes_is_drawn_up_as_it_was_then(
    coalition: Coalition, database: Database, ledger: Ledger, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.close.EDITION", 1)
    await store_period(database, coalition, golden_inputs(), EXPECTED, 1)
    await ledger.advance(ENDS[1])
    await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    async with damaged_for_now(urls, f"DELETE FROM operations WHERE bucket = {TREASURY}") as connection:
        rows = await store.statements(connection, period=1)
        assert await found_in(connection, "papers") == []

    assert [row.hash.hex() for row in rows] == FIRST_EDITION


@pytest.mark.parametrize("by", [-1, 1])
async def test_before_there_were_notes_a_sheet_was_drawn_up_no_later_than_it_was_proposed(
    closed: Coalition, urls: Urls, by: int
) -> None:
    damage = f"UPDATE sheets SET drawn_up_at = drawn_up_at + {by} * interval '1 hour' WHERE period = 1"
    async with damaged_for_now(urls, damage) as connection:
        await connection.execute(text(f"DELETE FROM operations WHERE bucket = {TREASURY}"))
        found = [row for row in await found_in(connection, "papers") if "drawn up at" in row]

    assert len(found) == (by > 0)


async def test_a_close_killed_between_its_note_and_its_papers_goes_on_with_what_was_noted(
    coalition: Coalition, database: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any, **__: Any) -> None:
        raise ConnectionError

    await ledger.advance(ENDS[1])
    with monkeypatch.context() as patch:
        patch.setattr("settlement.store.add_sheet", killed)
        with pytest.raises(ConnectionError):
            await advance(database, ledger, 1, at=ENDS[1], by=STAFF)
    async with database.writer.begin() as connection:
        assert await found_in(connection, "papers") == []
        await create_partner(connection, name="E", at=ENDS[1], by=STAFF)

    proposed = (await advance(database, ledger, 1, at=ENDS[2], by="staff:another")).history[-1]

    assert (proposed.stage, proposed.at, proposed.by) == (Stage.PROPOSED, ENDS[1], STAFF)
    async with database.writer.connect() as connection:
        assert await found_in(connection, "papers") == []
        assert [row.partner for row in await store.statements(connection, period=1)] == [1, 2, 3, 4]


async def test_a_stage_that_is_missing_or_out_of_turn_is_named(
    closed: Coalition, database: Database, urls: Urls
) -> None:
    async with database.writer.connect() as connection:
        assert await found_in(connection, "stages") == []

    for damage, row in STAGES_CHANGED.items():
        async with damaged_for_now(urls, damage) as connection:
            found = await found_in(connection, "stages")
        assert any(each.startswith(row) for each in found), (damage, found)


async def test_who_was_asked_first_and_comes_last_reaches_no_stage_before_the_last_one(
    coalition: Coalition, database: Database, ledger: Ledger
) -> None:
    await ledger.advance(ENDS[1])
    async with database.writer.begin() as connection:
        await periods.reach(connection, 1, Stage.CUT_OFF, at=ENDS[2], by=STAFF)

    closed = await advance(database, ledger, 1, at=ENDS[1], by=STAFF)

    assert {reached.at for reached in closed.history} == {ENDS[2]}
    async with database.writer.connect() as connection:
        assert await found_in(connection, "stages") == []


async def test_a_statement_tells_the_rates_of_what_was_rounded(closed: Coalition, database: Database) -> None:
    async with database.writer.connect() as connection:
        statement = await issued.find(connection, f"0001-{closed.partners['B']:04d}")

    told = {entry.purpose: (entry.price_micro, entry.rate_ppm) for entry in statement.entries}
    assert statement.edition == 2
    assert told["fee"] == (None, 15_000)
    assert told["breakage_share"] == (None, 500_000)
    assert told["issue"] == (927_500, None)


async def test_what_is_wrong_in_one_period_is_not_told_of_the_next(closed: Coalition, urls: Urls) -> None:
    damage = "UPDATE sheet_lines SET charge_micro = charge_micro + 5 WHERE period = 1 AND partner = 3"

    async with damaged_for_now(urls, damage) as connection:
        (found,) = await found_in(connection, "papers")

    assert found.startswith("period 1: the line of partner 3 is opening 0, charge ")


async def test_stages_after_the_papers_are_not_held_against_their_note(closed: Coalition, urls: Urls) -> None:
    later = "INSERT INTO period_stages VALUES (1, 5, 'APPROVED', '2026-02-03T00\\:00\\:00Z', 'b')"

    async with damaged_for_now(urls, later) as connection:
        assert await found_in(connection, "papers") == []
        assert await found_in(connection, "stages") == []


async def test_who_joins_after_a_close_has_no_part_in_it(closed: Coalition, database: Database) -> None:
    async with database.writer.begin() as connection:
        await create_partner(connection, name="E", at=ENDS[2], by=STAFF)

        assert await found_in(connection, "papers") == []
