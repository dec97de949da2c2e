"""Limits of programme and agreement: what they count, when, and that nothing is carried where none is set."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledger.kernel.refusals import InvalidInput
from members import MasterKeys
from partners import (
    Answer,
    IssuanceWindow,
    Limits,
    QuoteTokens,
    Terms,
    Till,
    authorize_burn,
    burn,
    capture_burn,
    earn,
    limit_programme,
    make_agreement,
)
from partners.earn import prepare_earn
from partners.holds import CaptureRequest
from partners.limits import check_limits

from .builders import MEMBER, NOW, TOKENS, a_burn, a_directory, a_line, a_receipt, an_authorisation, an_earn
from .conftest import BY, Coalition

_TOKENS = QuoteTokens(MasterKeys({1: bytes(range(32))}))


def code(answer: Answer) -> str:
    """OK, or what refused."""
    refused = answer.outcome.refused
    return "OK" if refused is None else f"{refused.code} {refused.limit}".strip()


async def agree(coalition: Coalition, till: Till, **changes: object) -> None:
    terms = Terms(pending_days=0, burn_money_floor_micro=0, **changes)  # type: ignore[arg-type]
    async with coalition.database.writer.begin() as connection:
        await make_agreement(connection, till.partner, terms=terms, at=coalition.now, by=BY)
    await coalition.directories.reload()


async def limit(coalition: Coalition, limits: Limits | None) -> None:
    async with coalition.database.writer.begin() as connection:
        await limit_programme(connection, limits, at=coalition.now, by=BY)
    await coalition.directories.reload()


_numbers = iter(range(1, 10_000))


async def give(coalition: Coalition, till: Till, points: int, *, member: int = MEMBER) -> Answer:
    """An earn of `points`, at one per cent."""
    number = str(next(_numbers))
    receipt = a_receipt(a_line(points * 100), number=number, at=None)
    request = an_earn(receipt, key=number, member=member)
    return await earn(coalition.ledger, coalition.directory, _TOKENS, till, request, at=coalition.now)


async def take(coalition: Coalition, till: Till, points: int) -> Answer:
    """A burn of `points`."""
    number = str(next(_numbers))
    request = a_burn(points, a_receipt(a_line(10_000), number=number, at=None), key=number)
    return await burn(coalition.ledger, coalition.directory, _TOKENS, till, request, at=coalition.now)


async def test_a_day_of_one_partner_is_not_that_of_another(coalition: Coalition) -> None:
    for till in (coalition.bakery, coalition.cinema):
        await agree(coalition, till, limits=Limits(earned_per_day_points=100))

    answers = [
        await give(coalition, till, points)
        for till, points in ((coalition.bakery, 100), (coalition.bakery, 1), (coalition.cinema, 100))
    ]

    assert [code(answer) for answer in answers] == ["OK", "LIMIT_EXCEEDED partner:1/earned_per_day", "OK"]


async def test_the_programme_counts_over_all_partners(coalition: Coalition) -> None:
    await limit(coalition, Limits(earned_per_day_points=100))

    answers = [await give(coalition, till, 60) for till in (coalition.bakery, coalition.cinema)]

    assert [code(answer) for answer in answers] == ["OK", "LIMIT_EXCEEDED programme/earned_per_day"]


async def test_a_local_midnight_begins_a_new_day(coalition: Coalition) -> None:
    await limit(coalition, Limits(earned_per_day_points=100))
    before = await give(coalition, coalition.bakery, 100)
    await coalition.ledger.advance(coalition.now.replace(hour=20, minute=59, second=59))
    late = await give(coalition, coalition.bakery, 1)
    await coalition.ledger.advance(coalition.now.replace(hour=21, minute=0, second=0))

    after = await give(coalition, coalition.bakery, 100)

    assert [code(each).split()[0] for each in (before, late, after)] == ["OK", "LIMIT_EXCEEDED", "OK"]


async def test_a_rolling_window_moves_with_the_clock(coalition: Coalition) -> None:
    await limit(coalition, Limits(burned_in_window_points=100, window_seconds=30 * 86_400))
    await give(coalition, coalition.bakery, 1_000)
    first = await take(coalition, coalition.cinema, 60)
    await coalition.ledger.advance(coalition.now + timedelta(days=20))
    second = await take(coalition, coalition.bakery, 40)
    third = await take(coalition, coalition.bakery, 1)
    await coalition.ledger.advance(coalition.now + timedelta(days=10, hours=6))
    fourth = await take(coalition, coalition.bakery, 60)

    over = "LIMIT_EXCEEDED programme/burned_in_window"
    assert [code(each) for each in (first, second, third, fourth)] == ["OK", "OK", over, "OK"]


async def test_a_receipt_earns_and_takes_no_more_than_its_limit(coalition: Coalition) -> None:
    await agree(
        coalition,
        coalition.bakery,
        limits=Limits(earned_per_receipt_points=100, burned_per_receipt_points=50),
    )

    answers = [await give(coalition, coalition.bakery, points) for points in (101, 100)]
    answers += [await take(coalition, coalition.bakery, points) for points in (51, 50, 50)]

    assert [code(each).split("/")[-1] for each in answers] == [
        "earned_per_receipt",
        "OK",
        "burned_per_receipt",
        "OK",
        "OK",
    ]


async def test_a_minute_holds_so_many_operations(coalition: Coalition) -> None:
    await give(coalition, coalition.bakery, 1_000)
    await limit(coalition, Limits(operations_per_minute=3))
    receipt = a_receipt(a_line(10_000), number="held", at=None)
    held = await authorize_burn(
        coalition.ledger,
        coalition.directory,
        _TOKENS,
        coalition.bakery,
        an_authorisation(10, receipt, key="held"),
        at=coalition.now,
    )
    assert held.outcome.hold is not None
    answers = [await give(coalition, coalition.cinema, 1), await take(coalition, coalition.bakery, 1)]
    capture = CaptureRequest(key="capture", hold=held.outcome.hold)

    fourth = await capture_burn(
        coalition.ledger, coalition.directory, coalition.bakery, capture, at=coalition.now
    )

    assert [code(each) for each in (*answers, fourth)] == [
        "OK",
        "OK",
        "LIMIT_EXCEEDED programme/operations_per_minute",
    ]


async def test_a_quote_and_a_late_receipt_are_no_way_round_a_new_limit(coalition: Coalition) -> None:
    yesterday = coalition.now
    await coalition.ledger.advance(yesterday + timedelta(days=1))
    await agree(coalition, coalition.bakery, limits=Limits(earned_per_day_points=10))
    late = an_earn(a_receipt(a_line(5_000), at=yesterday), key="late")

    answer = await earn(
        coalition.ledger, coalition.directory, _TOKENS, coalition.bakery, late, at=coalition.now
    )

    assert code(answer) == "LIMIT_EXCEEDED partner:1/earned_per_day"


async def test_lifted_limits_are_gone(coalition: Coalition) -> None:
    await limit(coalition, Limits(earned_per_day_points=10))
    await coalition.ledger.advance(coalition.now + timedelta(seconds=1))
    await limit(coalition, Limits())

    assert code(await give(coalition, coalition.bakery, 100)) == "OK"


async def test_a_partner_issues_its_limit_and_no_more(coalition: Coalition) -> None:
    await agree(
        coalition,
        coalition.bakery,
        issuance_limit_points=1_000,
        issuance_window=IssuanceWindow.MONTH,
    )
    members = [bucket << 56 | 99 for bucket in range(22)]

    answers = [await give(coalition, coalition.bakery, 50, member=member) for member in members]
    other = await give(coalition, coalition.cinema, 50)
    await coalition.ledger.advance(coalition.now + timedelta(days=31))
    next_month = await give(coalition, coalition.bakery, 50)

    assert [code(each) for each in answers] == ["OK"] * 20 + ["LIMIT_EXCEEDED partner:1/issued"] * 2
    assert [code(other), code(next_month)] == ["OK", "OK"]


def test_no_limit_carries_no_counter() -> None:
    directory = a_directory()
    till = Till(partner=1, principal="partner:1")

    command = prepare_earn(directory, TOKENS, till, an_earn(), at=NOW)

    assert command.counters == ()


def test_limits_of_which_none_is_set_are_none() -> None:
    assert check_limits(Limits()) is None
    assert check_limits(Limits(window_seconds=1)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("earned_per_day_points", -1),
        ("burned_in_window_points", 2**60),
        ("window_seconds", 0),
        ("window_seconds", 400 * 86_400),
        ("operations_per_minute", -5),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(field: str, value: int) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_limits(Limits(**({"earned_per_day_points": 1} | {field: value})))

    assert refusal.value.field == ("limits", field)


async def test_limits_are_dated_and_never_begin_in_the_past(coalition: Coalition) -> None:
    start = coalition.now + timedelta(days=2)
    async with coalition.database.writer.begin() as connection:
        await limit_programme(
            connection, Limits(earned_per_day_points=1), at=coalition.now, by=BY, starts_at=start
        )
    with pytest.raises(InvalidInput):
        async with coalition.database.writer.begin() as connection:
            await limit_programme(
                connection, None, at=coalition.now, by=BY, starts_at=coalition.now - timedelta(seconds=1)
            )
    directory = await coalition.directories.reload()

    assert directory.limits_at(start - timedelta(microseconds=1)) is None
    assert directory.limits_at(start) == Limits(earned_per_day_points=1)
