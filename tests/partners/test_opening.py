"""Opening balances: whatever a file says, each row has its answer, and none is taken over twice."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from ledger import flows
from ledger.kernel.refusals import InvalidInput, Refusal
from ledger.tables import lots, operations
from members import MasterKeys, enrol, find, forget
from members.card import new_card
from members.tables import members
from partners import opening
from partners.opening import Chunk, Format, Import, Rehearsal, RowOutcome

from .conftest import BY, Coalition

KEYS = MasterKeys.generate()


def phone(number: int) -> str:
    return f"+7916{number:07d}"


def a_lot(**changes: Any) -> dict[str, Any]:
    return {"issuer": "Bakery", "points": 100, "earned": "2025-06-01", "expires": "2026-06-30"} | changes


def a_row(number: int = 1, *given: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"member": f"m{number}", "phone": phone(number), "lots": list(given or (a_lot(),))} | changes


def lines(*rows: dict[str, Any] | bytes) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def parts(
    content: bytes, format_: Format = Format.JSON_LINES, *, size: int = 500, after: int = 0
) -> list[Chunk]:
    return list(opening.chunks(io.BytesIO(content), format_, size=size, after=after))


async def take_over(
    coalition: Coalition,
    content: bytes,
    format_: Format = Format.JSON_LINES,
    *,
    file: str = "balances",
    size: int = 500,
    killed_after: int | None = None,
) -> Import:
    """Import a file; `killed_after` so many chunks are posted, before the last of them is kept."""
    at = coalition.now
    async with coalition.database.writer.begin() as connection:
        issuers = await opening.issuers_at(connection, coalition.directory, at)
        known = await opening.begin(connection, source="old", file=file, at=at, by=BY)
    if known.ended_at is not None:
        return known
    for number, chunk in enumerate(parts(content, format_, size=size, after=known.done), 1):
        checked = await opening.post_chunk(
            coalition.database, coalition.ledger, KEYS, issuers, "old", chunk, at=at
        )
        if number == killed_after:
            return known
        async with coalition.database.writer.begin() as connection:
            known = await opening.keep(
                connection, known.id, chunk, checked, after=known.done, at=at, is_last=False
            )
    async with coalition.database.writer.begin() as connection:
        return await opening.end(connection, known, at=at)


async def outcomes(coalition: Coalition, known: Import) -> list[RowOutcome]:
    async with coalition.database.writer.connect() as connection:
        return await opening.outcomes(connection, known.id, after=0, first=10_000)


async def refusals(coalition: Coalition, known: Import) -> dict[int, tuple[str, str]]:
    """(code, field) by row."""
    rows = await outcomes(coalition, known)
    return {row.row: (row.code, ".".join(row.field)) for row in rows if row.code}


async def count(coalition: Coalition, table: Any) -> int:
    async with coalition.database.writer.connect() as connection:
        return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def member_of(coalition: Coalition, number: int = 1) -> int:
    async with coalition.database.writer.connect() as connection:
        found = await find(connection, KEYS, phone=phone(number))
    assert found is not None
    return found


async def test_a_member_arrives_with_their_lots_as_they_were(coalition: Coalition) -> None:
    pending = a_lot(issuer="Cinema", points=40, state="pending", available="2026-02-01")
    known = await take_over(coalition, lines(a_row(1, a_lot(), pending)))

    member = await member_of(coalition)
    balance = await coalition.ledger.balance(member)
    async with coalition.database.writer.connect() as connection:
        kept = (await connection.execute(select(lots).order_by(lots.c.id))).all()
    assert (balance.available, balance.pending) == (100, 40)
    assert [(lot.issuer, lot.obligor) for lot in kept] == [(1, 1), (2, 2)]
    # A day is the programme's: in Moscow it begins, and the last one ends, at 21:00 UTC.
    assert kept[0].earned_at == datetime(2025, 5, 31, 21, tzinfo=UTC)
    assert kept[0].expires_at == datetime(2026, 6, 30, 21, tzinfo=UTC)
    assert kept[1].available_at == datetime(2026, 1, 31, 21, tzinfo=UTC)
    assert (known.accepted, known.refused, known.totals.members) == (1, 0, 1)
    assert known.totals.points == {1: 100, 2: 40}


async def test_what_is_brought_along_is_no_earning(coalition: Coalition) -> None:
    pending = a_lot(points=40, available="2026-02-01")
    await take_over(coalition, lines(a_row(1, a_lot(), pending)))

    await coalition.ledger.advance(datetime(2026, 2, 2, tzinfo=UTC))

    async with coalition.database.writer.connect() as connection:
        moved = [flow for period in (1, 2) for flow in await flows.so_far(connection, period)]
    assert {(flow.operation, flow.points) for flow in moved} == {
        ("opening", 100),
        ("opening_pending", 40),
        ("release", 40),
    }
    assert (await coalition.ledger.balance(await member_of(coalition))).available == 140


async def test_the_operator_may_answer_for_what_a_partner_gave(coalition: Coalition) -> None:
    await take_over(coalition, lines(a_row(1, a_lot(obligor="operator"), a_lot(obligor="Cinema"))))

    async with coalition.database.writer.connect() as connection:
        kept = (await connection.execute(select(lots.c.issuer, lots.c.obligor, lots.c.tariff))).all()
    await coalition.directories.reload()
    tariffs = coalition.directory.tariffs
    assert sorted((lot.issuer, lot.obligor) for lot in kept) == [(1, 0), (1, 2)]
    assert all(tariffs[lot.tariff].obligor == lot.obligor for lot in kept)


BAD_ROWS: list[tuple[dict[str, Any] | bytes, str, str]] = [
    (b"{", "INVALID_INPUT", ""),
    (b"[1]", "INVALID_INPUT", ""),
    (b'{"member": "\xff"}', "INVALID_INPUT", ""),
    (b"[" * 100_000, "INVALID_INPUT", ""),
    (a_row(lots=[a_lot(points="10")]), "INVALID_INPUT", "lots.0.points"),
    (a_row(lots=[a_lot(), a_lot(points=-5)]), "INVALID_INPUT", "lots.1.points"),
    (a_row(lots=[a_lot(points=0)]), "INVALID_INPUT", "lots.0.points"),
    (a_row(lots=[a_lot(points=2**53 + 1)]), "INVALID_INPUT", "lots.0.points"),
    (a_row(lots=[a_lot(points=10**30)]), "INVALID_INPUT", "lots.0.points"),
    (a_row(lots=[a_lot(points=1.5)]), "INVALID_INPUT", "lots.0.points"),
    (a_row(lots=[a_lot(issuer="Nobody")]), "PARTNER_UNKNOWN", "lots.0.issuer"),
    (a_row(lots=[a_lot(obligor="Nobody")]), "PARTNER_UNKNOWN", "lots.0.obligor"),
    (a_row(lots=[a_lot(earned="2025-02-30")]), "INVALID_INPUT", "lots.0.earned"),
    (a_row(lots=[a_lot(earned="01.02.2025")]), "INVALID_INPUT", "lots.0.earned"),
    (a_row(lots=[a_lot(earned="2025-02-01T10:00:00")]), "INVALID_INPUT", "lots.0.earned"),
    (a_row(lots=[a_lot(earned="2026-02-01")]), "INVALID_INPUT", "lots.0.earned"),
    (a_row(lots=[a_lot(expires="2025-12-31")]), "INVALID_INPUT", "lots.0.expires"),
    (a_row(lots=[a_lot(expires="9999-12-31")]), "INVALID_INPUT", "lots.0.expires"),
    (a_row(lots=[a_lot(state="gone")]), "INVALID_INPUT", "lots.0.state"),
    (a_row(lots=[a_lot(state="pending")]), "INVALID_INPUT", "lots.0.available"),
    (a_row(lots=[a_lot(available="2026-07-01")]), "INVALID_INPUT", "lots.0.available"),
    (a_row(lots=[a_lot()] * 1_001), "INVALID_INPUT", "lots"),
    (a_row(phone="12345"), "INVALID_INPUT", "phone"),
    (a_row(phone=None), "INVALID_INPUT", "phone"),
    (a_row(card="1234567890123456"), "INVALID_INPUT", "card"),
    (a_row(member=""), "INVALID_INPUT", "member"),
    (a_row(member="x" * 100_000), "INVALID_INPUT", "member"),
    (a_row(name="x" * 100_000), "INVALID_INPUT", "name"),
    (a_row(phone="7" * 100_000), "INVALID_INPUT", "phone"),
    (a_row(name="a\x00b"), "INVALID_INPUT", "name"),
    (a_row(consents={"Marketing!": True}), "INVALID_INPUT", "consents"),
    (a_row(points=5), "INVALID_INPUT", ""),
    (a_row(name="x" * (1 << 20)), "INVALID_INPUT", ""),
]


async def test_a_bad_row_has_its_own_answer_and_stops_no_other(coalition: Coalition) -> None:
    rows: list[dict[str, Any] | bytes] = []
    for number, (bad, _, _) in enumerate(BAD_ROWS, 1):
        rows += [a_row(number), bad]

    known = await take_over(coalition, lines(*rows), size=7)

    expected = {2 * place: (code, field) for place, (_, code, field) in enumerate(BAD_ROWS, 1)}
    assert await refusals(coalition, known) == expected
    assert (known.accepted, known.refused) == (len(BAD_ROWS), len(BAD_ROWS))
    assert known.totals.points == {1: 100 * len(BAD_ROWS)}
    assert await count(coalition, members) == len(BAD_ROWS)


async def test_nobody_gets_a_phone_or_a_card_that_another_has(coalition: Coalition) -> None:
    async with coalition.database.writer.begin() as connection:
        await enrol(connection, KEYS, phone=phone(1), consents={}, at=coalition.now)
    card = new_card().number

    known = await take_over(
        coalition, lines(a_row(1), a_row(2, card=card), a_row(3, card=card), a_row(4, phone=phone(2)))
    )

    assert await refusals(coalition, known) == {
        1: ("PHONE_TAKEN", "phone"),
        3: ("CARD_TAKEN", "card"),
        4: ("PHONE_TAKEN", "phone"),
    }
    async with coalition.database.writer.connect() as connection:
        assert await find(connection, KEYS, card=card) == await member_of(coalition, 2)


async def test_a_member_named_twice_has_one_balance(coalition: Coalition) -> None:
    known = await take_over(coalition, lines(a_row(1), a_row(1, a_lot(points=7)), a_row(1)), size=2)

    assert await refusals(coalition, known) == {2: ("BALANCE_OPENED", "lots")}
    assert (await coalition.ledger.balance(await member_of(coalition))).available == 100


async def test_the_same_file_again_changes_nothing(coalition: Coalition) -> None:
    content = lines(*(a_row(number) for number in range(1, 21)), a_row(21, a_lot(points=-1)))
    first = await take_over(coalition, content, size=6)
    before = [await count(coalition, table) for table in (operations, lots, members)]

    again = await take_over(coalition, content, size=6)
    under_another_name = await take_over(coalition, content, file="copy", size=4)

    assert again == first
    assert [await count(coalition, table) for table in (operations, lots, members)] == before
    assert await outcomes(coalition, under_another_name) == await outcomes(coalition, first)


@pytest.mark.parametrize("killed_after", [1, 2, 3])
async def test_a_killed_import_begins_again_and_ends_the_same(
    coalition: Coalition, killed_after: int
) -> None:
    bad = a_row(99, a_lot(issuer="Nobody"))
    content = lines(*(a_row(number) for number in range(1, 9)), bad, a_row(1, a_lot(points=7)))

    stopped = await take_over(coalition, content, size=4, killed_after=killed_after)
    ended = await take_over(coalition, content, size=4)

    assert stopped.done == 4 * (killed_after - 1)
    assert (ended.accepted, ended.refused, ended.totals.points) == (8, 2, {1: 800})
    assert await refusals(coalition, ended) == {
        9: ("PARTNER_UNKNOWN", "lots.0.issuer"),
        10: ("BALANCE_OPENED", "lots"),
    }
    assert len(await outcomes(coalition, ended)) == 10
    assert await count(coalition, operations) == 8


async def test_people_who_arrived_before_the_kill_arrive_once(coalition: Coalition) -> None:
    """Killed between the enrolment and the ledger: members without a balance yet."""
    (chunk,) = parts(lines(a_row(1), a_row(2)))
    async with coalition.database.writer.begin() as connection:
        issuers = await opening.issuers_at(connection, coalition.directory, coalition.now)
    await coalition.ledger.drain()
    with pytest.raises(Refusal):
        await opening.post_chunk(
            coalition.database, coalition.ledger, KEYS, issuers, "old", chunk, at=coalition.now
        )
    assert (await count(coalition, members), await count(coalition, operations)) == (2, 0)

    await coalition.ledger.start()
    known = await take_over(coalition, lines(a_row(1), a_row(2)))

    assert known.accepted == 2
    assert (await count(coalition, members), await count(coalition, operations)) == (2, 2)


async def test_chunks_come_in_step(coalition: Coalition) -> None:
    first, second = parts(lines(a_row(1), a_row(2)), size=1)
    at = coalition.now
    async with coalition.database.writer.begin() as connection:
        issuers = await opening.issuers_at(connection, coalition.directory, at)
        known = await opening.begin(connection, source="old", file="f", at=at, by=BY)
    checked = await opening.post_chunk(
        coalition.database, coalition.ledger, KEYS, issuers, "old", second, at=at
    )

    with pytest.raises(opening.ImportOutOfStep, match="the next row is 1"):
        async with coalition.database.writer.begin() as connection:
            await opening.keep(connection, known.id, second, checked, after=1, at=at, is_last=True)
    assert first.last == 1


async def test_who_was_erased_does_not_come_back_by_the_file(coalition: Coalition) -> None:
    await take_over(coalition, lines(a_row(1)))
    async with coalition.database.writer.begin() as connection:
        await forget(connection, await member_of(coalition), at=coalition.now)

    known = await take_over(coalition, lines(a_row(1)), file="again")

    assert await refusals(coalition, known) == {1: ("MEMBER_FORGOTTEN", "member")}
    assert await count(coalition, members) == 1


async def test_totals_are_held_against_what_the_file_claims(coalition: Coalition) -> None:
    claim = {"control": {"members": 3, "points": {"Bakery": 200, "Cinema": 5}}}

    known = await take_over(coalition, lines(a_row(1), a_row(2), claim))

    assert (known.accepted, known.refused) == (2, 0)
    assert [(each.issuer, each.claimed, each.found) for each in opening.differing(known)] == [
        (None, 3, 2),
        (2, 5, 0),
    ]


TABLE = """member;phone;card;consents;issuer;points;earned;expires;state;available
m1;{0};;marketing_sms=yes analytics=no;Bakery;100;2025-06-01;2026-06-30;;
m1;{0};;marketing_sms=yes analytics=no;"Cinema";40;2025-06-01;2026-06-30;pending;2026-02-01
m2;{1};;;Bakery;ten;2025-06-01;2026-06-30;;
m3;{2};;;"Bak"ery;1;2025-06-01;2026-06-30;;

m4;{3};;;"Bakery;1;2025-06-01;2026-06-30;;
m5;{4};;;Bakery;1;2025-06-01;2026-06-30
m6;{5};;;;;;;;
m7;{6};;;Bakery;5;2025-06-01;2026-06-30;;
m7;{6};;;Bakery;-5;2025-06-01;2026-06-30;;
#control;;;;;2;;;;
#control;;;;Bakery;100;;;;
""".format(*(phone(number) for number in range(1, 8)))


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace(";", "\t").encode(),
        TABLE.replace(";", ",").encode(),
    ],
    ids=["semicolons", "BOM and CRLF", "tabs", "commas"],
)
async def test_a_table_says_the_same(coalition: Coalition, content: bytes) -> None:
    known = await take_over(coalition, content, Format.CSV)

    balance = await coalition.ledger.balance(await member_of(coalition))
    assert (balance.available, balance.pending) == (100, 40)
    assert await refusals(coalition, known) == {
        4: ("INVALID_INPUT", "lots.0.points"),
        5: ("INVALID_INPUT", ""),
        7: ("INVALID_INPUT", ""),
        8: ("INVALID_INPUT", ""),
        11: ("INVALID_INPUT", "lots.1.points"),
    }
    assert (known.accepted, known.totals.points, known.control.members) == (2, {1: 100, 2: 40}, 2)
    assert opening.differing(known) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "lacks the column"),
        (b"member,phone\n", "lacks the column 'earned'"),
        (b"member,member,issuer,points,earned,expires\n", "a column twice"),
        (b"member,colour,issuer,points,earned,expires\n", "a column 'colour', which is none"),
        ("member,phone\n".encode("utf-16"), "UTF-16"),
        (b"\xff\xfe\xfa,a\n", "UTF-16"),
        (b"\xfa,a\n", "not UTF-8"),
        (b"x" * (1 << 21), "at most 1048576 bytes"),
    ],
)
def test_a_table_without_a_good_header_is_refused_whole(content: bytes, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parts(content, Format.CSV)


async def test_a_dry_run_says_what_the_import_will(coalition: Coalition) -> None:
    await take_over(coalition, lines(a_row(50)), file="before")
    card = new_card().number
    content = lines(
        a_row(1, card=card),
        a_row(2, card=card),
        a_row(3, phone=phone(1)),
        a_row(4, a_lot(points=-1)),
        a_row(50),
    )
    issuers = await _issuers(coalition)
    rehearsal = Rehearsal()
    told: list[RowOutcome] = []
    for chunk in parts(content, size=1):
        told += (
            await opening.check_chunk(
                coalition.database, KEYS, issuers, "old", chunk, rehearsal, at=coalition.now
            )
        ).rows
    before = await count(coalition, members)

    known = await take_over(coalition, content)

    assert before == 1
    assert [(row.row, row.code, row.field, row.points) for row in told] == [
        (row.row, row.code, row.field, row.points) for row in await outcomes(coalition, known)
    ]


async def _issuers(coalition: Coalition) -> opening.Issuers:
    async with coalition.database.writer.begin() as connection:
        return await opening.issuers_at(connection, coalition.directory, coalition.now)


def test_a_file_is_never_held_whole() -> None:
    read: list[int] = []

    class Endless(io.RawIOBase):
        def readline(self, size: int | None = -1) -> bytes:
            read.append(1)
            return lines(a_row(len(read)))

    first = next(opening.chunks(Endless(), Format.JSON_LINES, size=10))  # type: ignore[arg-type]

    assert len(first.sources) == 10
    assert len(read) == 10


@given(st.lists(st.binary(max_size=80), max_size=8), st.sampled_from(Format))
def test_no_bytes_at_all_break_the_reading(content: Sequence[bytes], format_: Format) -> None:
    header = b"member,phone,issuer,points,earned,expires\n" if format_ is Format.CSV else b""

    read = parts(header + b"\n".join(content), format_)

    assert all(source.row <= chunk.last for chunk in read for source in chunk.sources)
