"""Trading through the real ledger: earn, quote, hold, capture, burn, batches and repeats."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from ledger.commands import Refused
from ledger.kernel.refusals import InvalidInput
from partners import (
    Answer,
    CaptureRequest,
    QuoteRequest,
    Receipt,
    Request,
    Terms,
    Till,
    VoidRequest,
    authorize_burn,
    burn,
    capture_burn,
    earn,
    make_agreement,
    position,
    post_batch,
    quote,
    suspend_partner,
    void_burn,
)
from tests.partners.builders import (
    MEMBER,
    TOKENS,
    a_burn,
    a_line,
    a_receipt,
    an_authorisation,
    an_earn,
)
from tests.partners.conftest import BY, Coalition

STRANGER = 9 << 56 | 1


async def test_a_receipt_becomes_points_and_says_why(coalition: Coalition) -> None:
    answer = await _earn(coalition, roubles=12_345)

    assert answer.outcome.refused is None
    assert answer.outcome.points == answer.outcome.balance.available == 123
    assert answer.detail is not None
    assert answer.detail.rulings[-1].text == "1 % of 12345.00 gives 123 points, rounded down."


async def test_a_repeat_tells_the_same_explanation_whatever_has_changed_since(coalition: Coalition) -> None:
    first = await _earn(coalition)
    async with coalition.database.writer.begin() as connection:
        at, partner = coalition.now, coalition.bakery.partner
        await make_agreement(connection, partner, terms=Terms(earn_rate_ppm=1), at=at, by=BY)
        await suspend_partner(connection, partner, reason="audit", at=at, by=BY)
    await coalition.directories.reload()

    repeat = await _earn(coalition)
    new = await _earn(coalition, key="k2")

    assert repeat.outcome.replayed
    assert repeat.detail == first.detail
    assert repeat.outcome.operation == first.outcome.operation
    assert _code(new) == "PARTNER_SUSPENDED"


async def test_a_receipt_is_posted_once_whatever_the_key(coalition: Coalition) -> None:
    await _earn(coalition)

    assert _code(await _earn(coalition, key="other")) == "DUPLICATE_RECEIPT"


async def test_a_key_is_good_for_one_request(coalition: Coalition) -> None:
    await _earn(coalition)

    assert _code(await _earn(coalition, roubles=2)) == "IDEMPOTENCY_CONFLICT"


async def test_a_receipt_of_zero_earns_zero(coalition: Coalition) -> None:
    answer = await _earn(coalition, roubles=0)

    assert answer.outcome.refused is None
    assert answer.outcome.points == 0


async def test_a_quote_is_honoured_by_the_burn_and_the_earn_that_follow(coalition: Coalition) -> None:
    await _earn(coalition, roubles=100_000)
    receipt = _receipt(coalition, 2_000, number="next")

    quoted = await quote(
        coalition.ledger,
        coalition.directory,
        TOKENS,
        coalition.cinema,
        QuoteRequest(member=MEMBER, receipt=receipt),
        at=coalition.now,
    )
    burned = await burn(
        coalition.ledger,
        coalition.directory,
        TOKENS,
        coalition.cinema,
        a_burn(quoted.most_points, receipt, quote=quoted.token),
        at=coalition.now,
    )

    assert quoted.most_points == 1_000
    assert quoted.cap.text == "The member has 1000 points."
    assert burned.outcome.balance.available == 0
    assert burned.detail is not None
    assert burned.detail.quoted
    assert [share.money_off_micro for share in burned.detail.lines] == [1_000_000_000]


async def test_a_hold_is_captured_in_parts_and_the_rest_comes_back(coalition: Coalition) -> None:
    await _earn(coalition, roubles=100_000)
    hold = await _hold(coalition, 500)

    part = await _capture(coalition, hold, points=200, key="c1")
    last = await _capture(coalition, hold, points=100, final=True, key="c2")

    assert part.outcome.hold_left == 300
    assert last.outcome.balance.available == 700
    assert last.outcome.balance.held == 0


async def test_a_hold_lasts_as_long_as_the_agreement_says(coalition: Coalition) -> None:
    await _earn(coalition, roubles=100_000)
    answer = await authorize_burn(
        coalition.ledger,
        coalition.directory,
        TOKENS,
        coalition.cinema,
        an_authorisation(500, _receipt(coalition, 1_000, number="h")),
        at=coalition.now,
    )
    assert answer.outcome.hold is not None

    await coalition.ledger.advance(coalition.now + timedelta(minutes=15))
    late = await _capture(coalition, answer.outcome.hold, points=None, key="c1")

    assert _code(late) == "HOLD_EXPIRED"
    assert (await coalition.ledger.balance(MEMBER)).available == 1_000


async def test_a_hold_is_its_own_partners(coalition: Coalition) -> None:
    await _earn(coalition, roubles=100_000)
    hold = await _hold(coalition, 500)

    stolen = await _capture(coalition, hold, points=None, key="c1", till=coalition.bakery)
    voided = await void_burn(
        coalition.ledger, coalition.cinema, VoidRequest(key="v", hold=hold), at=coalition.now
    )

    assert _code(stolen) == "HOLD_NOT_FOUND"
    assert voided.outcome.balance.available == 1_000


async def test_a_member_token_backs_one_burn(coalition: Coalition) -> None:
    await _earn(coalition, roubles=100_000)

    codes = [
        _code(
            await burn(
                coalition.ledger,
                coalition.directory,
                TOKENS,
                coalition.cinema,
                a_burn(1, _receipt(coalition, 1_000, number=key), key=key, presence=b"t" * 16),
                at=coalition.now,
            )
        )
        for key in ("b1", "b2")
    ]

    assert codes == [None, "MEMBER_TOKEN_USED"]


async def test_more_points_than_the_member_has_are_the_ledgers_to_refuse(coalition: Coalition) -> None:
    answer = await burn(
        coalition.ledger,
        coalition.directory,
        TOKENS,
        coalition.cinema,
        a_burn(1, _receipt(coalition, 1_000)),
        at=coalition.now,
    )

    assert _code(answer) == "INSUFFICIENT_POINTS"


async def test_a_batch_answers_each_item_as_it_would_be_answered_alone(coalition: Coalition) -> None:
    alone = await _earn(coalition)
    unread = Refused(code="INVALID_INPUT", message="not a decimal number", field=("items", "3"))
    items: list[Request | Refused] = [
        an_earn(_receipt(coalition, 1_000), key="k1"),
        an_earn(_receipt(coalition, 50_000, number="2"), key="k2"),
        a_burn(0, _receipt(coalition, 1_000, number="3"), key="k3"),
        unread,
        a_burn(100, _receipt(coalition, 1_000, number="5"), key="k5"),
        an_authorisation(50, _receipt(coalition, 1_000, number="6"), key="k6"),
        VoidRequest(key="k7", hold=1),
        CaptureRequest(key="k8", hold=1),
        an_earn(_receipt(coalition, 1_000, number="9"), key="k9", member=STRANGER),
    ]

    answers = await _batch(coalition, items)
    again = await _batch(coalition, items)

    assert answers[0].outcome == msgspec.structs.replace(alone.outcome, replayed=True)
    assert [_code(answer) for answer in answers] == [
        None,
        None,
        "INVALID_INPUT",
        "INVALID_INPUT",
        None,
        None,
        "HOLD_NOT_FOUND",
        "HOLD_NOT_FOUND",
        None,
    ]
    assert answers[5].outcome.balance.available == 360
    assert [a.outcome.operation for a in again] == [a.outcome.operation for a in answers]
    assert [a.detail for a in again] == [a.detail for a in answers]


async def test_a_batch_has_500_items_at_most(coalition: Coalition) -> None:
    items = [an_earn(_receipt(coalition, 1_000), key="k1")] * 501

    with pytest.raises(InvalidInput):
        await _batch(coalition, items)


async def test_a_partner_reads_what_it_gave_and_took_this_period(coalition: Coalition) -> None:
    await _earn(coalition, roubles=100_000)
    hold = await _hold(coalition, 500)
    await _capture(coalition, hold, points=300, key="c1")

    async with coalition.database.writer.connect() as connection:
        bakery = await position(connection, coalition.bakery.partner, period=1)
        cinema = await position(connection, coalition.cinema.partner, period=1)

    assert (bakery.issued, bakery.redeemed) == (1_000, 0)
    assert (cinema.issued, cinema.redeemed) == (0, 300)


async def _earn(coalition: Coalition, *, roubles: int = 1_000, key: str = "k1") -> Answer:
    request = an_earn(_receipt(coalition, roubles), key=key)
    directory = coalition.directory
    return await earn(coalition.ledger, directory, TOKENS, coalition.bakery, request, at=coalition.now)


async def _hold(coalition: Coalition, points: int) -> int:
    request = an_authorisation(points, _receipt(coalition, 1_000, number="h"))
    answer = await authorize_burn(
        coalition.ledger, coalition.directory, TOKENS, coalition.cinema, request, at=coalition.now
    )
    assert answer.outcome.hold is not None
    return answer.outcome.hold


async def _capture(
    coalition: Coalition,
    hold: int,
    *,
    points: int | None,
    key: str,
    final: bool = False,
    till: Till | None = None,
) -> Answer:
    request = CaptureRequest(key=key, hold=hold, points=points, final=final)
    till = till or coalition.cinema
    return await capture_burn(coalition.ledger, coalition.directory, till, request, at=coalition.now)


async def _batch(coalition: Coalition, items: Sequence[Request | Refused]) -> list[Answer]:
    return await post_batch(
        coalition.ledger, coalition.directory, TOKENS, coalition.bakery, items, at=coalition.now
    )


def _receipt(coalition: Coalition, roubles: int, *, number: str = "1") -> Receipt:
    return a_receipt(a_line(roubles), number=number, at=coalition.now)


def _code(answer: Answer) -> str | None:
    return answer.outcome.refused.code if answer.outcome.refused else None
