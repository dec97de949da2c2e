"""Returns go by the terms of their purchase, and give back in the order that those name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from ledger.commands import LineReturned
from ledger.records import Recorded
from partners import (
    Answer,
    Place,
    RefundOrder,
    ReturnRequest,
    Terms,
    burn,
    earn,
    make_agreement,
    return_purchase,
)
from tests.partners.builders import MEMBER, TOKENS, a_burn, a_line, a_receipt, an_earn
from tests.partners.conftest import BY, Coalition

ROUBLE = 1_000_000


async def agree(coalition: Coalition, **terms: Any) -> None:
    """New terms of the bakery, from now on."""
    async with coalition.database.writer.begin() as connection:
        await make_agreement(
            connection,
            coalition.bakery.partner,
            terms=Terms(pending_days=0, burn_money_floor_micro=0, **terms),
            at=coalition.now,
            by=BY,
        )
    await coalition.directories.reload()


async def bought(coalition: Coalition, *, points: int = 300) -> None:
    """Two coats for 1,000 with `points` of them paid, under receipt 2."""
    services = coalition.ledger, coalition.directory, TOKENS, coalition.bakery
    savings = an_earn(a_receipt(a_line(100_000), number="1", at=coalition.now), key="savings")
    await earn(*services, savings, at=coalition.now)
    coats = a_receipt(a_line(500, milli=2_000), number="2", at=coalition.now)
    for answer in (
        await burn(*services, a_burn(points, coats, key="paid"), at=coalition.now),
        await earn(*services, an_earn(coats, key="bought"), at=coalition.now),
    ):
        assert answer.outcome.refused is None, answer.outcome.refused


async def give_back(coalition: Coalition, number: str, milli: int | None = None) -> Answer:
    """So much of receipt 2 comes back."""
    request = ReturnRequest(
        key=number,
        purchase=Place(outlet="17", terminal="T1", number="2"),
        lines=None if milli is None else (LineReturned(line=0, quantity_milli=milli),),
        receipt=Place(outlet="17", terminal="T1", number=number),
    )
    return await return_purchase(
        coalition.ledger, coalition.directory, coalition.bakery, request, at=coalition.now
    )


def told(answer: Answer) -> tuple[int, int, int]:
    """Roubles to pay back, points restored, points taken back."""
    assert answer.outcome.returned is not None, answer.outcome.refused
    back = answer.outcome.returned
    return back.money_micro // ROUBLE, back.restored, back.cancelled + back.taken + back.due


@pytest.mark.parametrize(
    ("order", "first", "second"),
    [
        (RefundOrder.MONEY_FIRST, (500, 0, 5), (200, 300, 5)),
        (RefundOrder.POINTS_FIRST, (200, 300, 5), (500, 0, 5)),
        (RefundOrder.PROPORTIONAL, (350, 150, 5), (350, 150, 5)),
    ],
)
async def test_the_agreement_says_what_is_given_back_first_and_all_orders_come_to_the_same(
    coalition: Coalition, order: RefundOrder, first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    await agree(coalition, refund_order=order)
    await bought(coalition)

    half, rest = await give_back(coalition, "r1", 1_000), await give_back(coalition, "r2")

    assert (told(half), told(rest)) == (first, second)
    assert half.detail is not None
    words = order.value.split("_")[0]
    assert words in half.detail.rulings[0].text or "proportion" in half.detail.rulings[0].text
    assert (await coalition.ledger.balance(MEMBER)).available == 1_000


async def test_a_return_goes_by_the_terms_of_its_purchase_whatever_was_agreed_since(
    coalition: Coalition,
) -> None:
    await agree(coalition, refund_order=RefundOrder.POINTS_FIRST, earn_rate_ppm=10_000)
    await bought(coalition)
    await agree(coalition, refund_order=RefundOrder.MONEY_FIRST, earn_rate_ppm=900_000)

    half = await give_back(coalition, "r1", 1_000)

    recorded = await coalition.ledger.operation(half.outcome.operation)
    assert told(half) == (200, 300, 5)
    assert isinstance(recorded, Recorded)
    assert coalition.directory.agreements[recorded.terms].terms.refund_order is RefundOrder.POINTS_FIRST


async def test_a_repeat_is_answered_though_the_receipt_names_two_members_by_now(coalition: Coalition) -> None:
    await bought(coalition)
    first = await give_back(coalition, "r1", 1_000)
    other = an_earn(a_receipt(a_line(1), number="2", at=coalition.now), key="other", member=9 << 56 | 4)
    await earn(coalition.ledger, coalition.directory, TOKENS, coalition.bakery, other, at=coalition.now)

    again = await give_back(coalition, "r1", 1_000)
    fresh = await give_back(coalition, "r2", 1_000)

    assert again.outcome == msgspec.structs.replace(first.outcome, replayed=True)
    assert fresh.outcome.refused is not None
    assert fresh.outcome.refused.code == "RECEIPT_AMBIGUOUS"


async def test_a_purchase_is_its_partners_own(coalition: Coalition) -> None:
    await bought(coalition)

    stolen = await give_back(replace(coalition, bakery=coalition.cinema), "r1")

    assert stolen.outcome.refused is not None
    assert stolen.outcome.refused.code == "OPERATION_NOT_FOUND"
