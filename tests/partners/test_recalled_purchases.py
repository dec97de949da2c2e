"""What a return finds of its purchase, and when it may have been made; with no database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.outcomes import Balance, Outcome
from ledger.records import Recorded
from ledger.refusals import OperationNotFound
from partners import Place, ReturnRequest
from partners.returns import Recalled, prepare_return, recall
from partners.terms import Terms
from partners.till import AHEAD

from .builders import MEMBER, NOW, TILL, a_directory

OTHER = 9 << 56 | 4
DAY = timedelta(days=1)


def stored(number: int, kind: str, **given: Any) -> Recorded:
    """An operation at receipt 2 of outlet 10."""
    member = given.get("member", MEMBER)
    defaults: dict[str, Any] = {
        "id": member >> 56 << 56 | number, "kind": kind, "member": member, "partner": 1, "outlet": 10,
        "terms": number, "period": 1, "origin_period": 1, "occurred_at": NOW, "recorded_at": NOW,
        "principal": "partner:1", "key": str(number), "refusal": "", "reference": 0, "points": 5,
        "terminal": "T1", "receipt": "2", "detail": b"",
        "outcome": Outcome(operation=number, kind=kind, recorded_at=NOW, balance=Balance()),
    }  # fmt: skip
    return Recorded(**{**defaults, **given})


class Posted:
    """A ledger that has posted this and nothing else."""

    def __init__(self, *posted: Recorded) -> None:
        self.posted = posted

    async def operations(self, ids: set[int]) -> dict[int, Recorded]:
        return {each.id: each for each in self.posted if each.id in ids}

    async def operations_of_receipts(self, receipts: object) -> Sequence[Recorded]:
        return [each for each in self.posted if receipts and each.receipt]

    async def operations_by_key(self, principal: str, key: str) -> Sequence[Recorded]:
        return [each for each in self.posted if (each.principal, each.key) == (principal, key)]


def a_request(**given: Any) -> ReturnRequest:
    place = Place(outlet="17", terminal="T1", number="2")
    named = {} if "operation" in given else {"purchase": place}
    return ReturnRequest(
        **{"key": "r", "receipt": Place(outlet="17", terminal="T1", number="r1"), **named, **given}
    )


async def found(request: ReturnRequest, *posted: Recorded) -> Any:
    (each,) = await recall(Posted(*posted), a_directory(), TILL, [request])  # type: ignore[arg-type]
    return each


@pytest.mark.parametrize("paid", ["burn", "authorize"])
async def test_the_terms_are_those_under_which_points_paid(paid: str) -> None:
    assert (await found(a_request(), stored(1, "earn"), stored(2, paid))).terms == 2


async def test_a_purchase_was_made_when_its_first_operation_was() -> None:
    late, early = stored(1, "earn"), stored(2, "burn", occurred_at=NOW - DAY)
    assert (await found(a_request(), late, early)).occurred_at == NOW - DAY


async def test_what_was_refused_is_no_purchase() -> None:
    refused = stored(1, "burn", refusal="INSUFFICIENT_POINTS")
    assert isinstance(await found(a_request(), refused), OperationNotFound)
    somebody = stored(2, "earn", member=OTHER)
    assert (await found(a_request(), refused, somebody)).member == OTHER


async def test_an_operation_names_its_own_member_whoever_shares_the_receipt() -> None:
    theirs, ours = stored(1, "burn", member=OTHER), stored(2, "earn")
    assert (await found(a_request(operation=ours.id), theirs, ours)).member == MEMBER


@pytest.mark.parametrize(
    ("before", "age", "code"),
    [
        (AHEAD, timedelta(), None),
        (AHEAD + timedelta(microseconds=1), timedelta(), "OCCURRED_AT_OUT_OF_RANGE"),
        (timedelta(), timedelta(days=Terms().late_window_days), None),
        (timedelta(), timedelta(days=Terms().late_window_days, microseconds=1), "LATE_WINDOW_PASSED"),
    ],
)
def test_the_bounds_of_when_a_return_was_made(before: timedelta, age: timedelta, code: str | None) -> None:
    made: datetime = NOW - age
    purchase = Recalled(operation=1, member=MEMBER, terms=0, occurred_at=made + before)
    command = prepare_return(a_directory(), TILL, a_request(occurred_at=made), purchase, at=NOW)
    assert (command.refused.code if command.refused else None) == code  # type: ignore[union-attr]
