"""Preparing an earn: where it counts, under which terms, until when, and what refuses it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from ledger.commands import Earn, ReceiptKey, Refused
from ledger.kernel.refusals import InvalidInput
from partners import Directory, EarnRequest, Outlet, Partner, Receipt, Terms, Till, decode_detail
from partners.earn import prepare_earn
from tests.partners.builders import (
    MEMBER,
    NOW,
    OPENED,
    TILL,
    TOKENS,
    a_directory,
    a_line,
    a_receipt,
    an_earn,
    days,
)

STORED = (
    "9597a23137a25431a131a35255429195a434363031a54252454144cd03e8ce3b9aca000090d6ff69"
    "68d6c09394b36578636c756465645f63617465676f72696573c200bb4576657279206c696e65206d"
    "6179206561726e20706f696e74732e94b0706169645f776974685f706f696e7473c200bd4e6f7468"
    "696e67207761732070616964207769746820706f696e74732e94a9626173655f72617465c30ad92d"
    "312025206f6620313030302e303020676976657320313020706f696e74732c20726f756e64656420"
    "646f776e2e9194000a000001c2"
)
"""The detail of `an_earn()` as the first release wrote it."""


def test_an_earn_carries_the_terms_tariff_and_lines_of_its_receipt() -> None:
    command = _prepare(an_earn(a_receipt(a_line(600), a_line(400))))

    assert (command.points, command.partner, command.outlet) == (10, 1, 10)
    assert (command.terms, command.tariff, command.obligor) == (200, 100, 1)
    assert command.receipt == ReceiptKey(outlet=10, terminal="T1", number="1")
    assert [item.points_earned for item in command.items] == [6, 4]
    assert command.member == MEMBER
    assert command.refused is None


def test_points_wait_until_a_local_morning_and_expire_at_a_local_midnight() -> None:
    late_evening = datetime(2026, 1, 14, 21, 30, tzinfo=UTC)

    command = _prepare(an_earn(a_receipt(at=late_evening)))

    assert command.available_at == datetime(2026, 1, 28, 21, tzinfo=UTC)
    assert command.expires_at == datetime(2027, 1, 15, 21, tzinfo=UTC)


def test_expiry_is_a_local_midnight_on_both_sides_of_a_clock_change() -> None:
    terms = Terms(pending_days=0, lot_lifetime_days=90)
    directory = a_directory((OPENED, terms), zone="Europe/Berlin")

    command = _prepare(an_earn(), directory)

    assert command.available_at is None
    assert command.expires_at == datetime(2026, 4, 15, 22, tzinfo=UTC)


def test_the_terms_are_those_of_the_day_of_the_purchase() -> None:
    directory = a_directory((OPENED, Terms()), (NOW, Terms(earn_rate_ppm=50_000)))

    yesterday, today = (
        _prepare(an_earn(a_receipt(at=at)), directory, at=NOW + days(1)) for at in (NOW - days(1), NOW)
    )

    assert (yesterday.terms, yesterday.points) == (200, 10)
    assert (today.terms, today.points) == (201, 50)


def test_the_detail_tells_the_receipt_and_the_reasons_again() -> None:
    request = an_earn(a_receipt(a_line(600), a_line(400)))

    detail = decode_detail(_prepare(request).detail)

    assert detail is not None
    assert detail.receipt == request.receipt
    assert [share.points_earned for share in detail.lines] == [6, 4]
    assert detail.rulings[-1].text == "1 % of 1000.00 gives 10 points, rounded down."


@pytest.mark.parametrize(
    ("directory", "till", "receipt", "code"),
    [
        (
            a_directory(partner=Partner(id=1, name="B", created_at=OPENED, suspended_at=NOW)),
            TILL,
            a_receipt(),
            "PARTNER_SUSPENDED",
        ),
        (a_directory(), TILL, a_receipt(outlet="18"), "OUTLET_UNKNOWN"),
        (
            a_directory(),
            Till(partner=1, principal="p", outlets=frozenset({11})),
            a_receipt(),
            "OUTLET_UNKNOWN",
        ),
        (
            a_directory(
                outlet=Outlet(id=10, partner=1, code="17", name="M", opened_at=OPENED, suspended_at=NOW)
            ),
            TILL,
            a_receipt(),
            "OUTLET_UNKNOWN",
        ),
        (a_directory(), TILL, a_receipt(at=NOW + timedelta(minutes=6)), "OCCURRED_AT_OUT_OF_RANGE"),
        (a_directory(), TILL, a_receipt(at=NOW - days(31)), "LATE_WINDOW_PASSED"),
        (a_directory((NOW - days(3), Terms())), TILL, a_receipt(at=NOW - days(400)), "LATE_WINDOW_PASSED"),
        (a_directory((NOW - days(3), Terms())), TILL, a_receipt(at=NOW - days(5)), "AGREEMENT_MISSING"),
    ],
)
def test_a_rule_refuses_as_data(directory: Directory, till: Till, receipt: Receipt, code: str) -> None:
    command = prepare_earn(directory, TOKENS, till, an_earn(receipt), at=NOW)

    assert command.refused is not None
    assert command.refused.code == code
    assert command.points == 0
    assert command.receipt is None


def test_a_till_may_be_a_few_minutes_ahead() -> None:
    assert _prepare(an_earn(a_receipt(at=NOW + timedelta(minutes=5)))).refused is None


def test_a_receipt_without_a_time_occurs_now() -> None:
    assert _prepare(an_earn(a_receipt(at=None))).occurred_at == NOW


def test_what_an_earlier_room_had_against_it_counts_first() -> None:
    expired = Refused(code="STEP_UP_REQUIRED", message="show a fresh code")

    assert _prepare(an_earn(refused=expired)).refused == expired


def test_another_currency_makes_no_sense() -> None:
    euros = msgspec.structs.replace(a_receipt(), currency="EUR")

    with pytest.raises(InvalidInput, match="RUB"):
        _prepare(an_earn(euros))


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x00"])
def test_a_key_has_1_to_255_readable_characters(key: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        _prepare(an_earn(key=key))

    assert refusal.value.field == ("idempotencyKey",)


def test_the_digest_covers_what_was_asked_and_nothing_else() -> None:
    asked = _prepare(an_earn()).digest
    in_moscow = NOW.astimezone(timezone(timedelta(hours=3)))

    assert _prepare(an_earn(a_receipt(at=in_moscow)), at=NOW + days(1)).digest == asked
    assert _prepare(an_earn(key="other")).digest == asked
    assert _prepare(an_earn(), a_directory((OPENED, Terms(earn_rate_ppm=1)))).digest == asked
    assert _prepare(an_earn(a_receipt(number="2"))).digest != asked
    assert _prepare(an_earn(a_receipt(at=None))).digest != asked
    assert _prepare(an_earn(member=MEMBER + 1)).digest != asked
    assert len(asked) == 32


def test_digests_and_details_stay_readable_from_release_to_release() -> None:
    command = _prepare(an_earn())

    assert command.digest.hex() == "9633c5c79e3ced405505ac4c6eb1e497b7f874f0ff0b215872c68991e2925984"
    assert decode_detail(bytes.fromhex(STORED)) == decode_detail(command.detail)


def _prepare(request: EarnRequest, directory: Directory | None = None, *, at: datetime = NOW) -> Earn:
    return prepare_earn(directory or a_directory(), TOKENS, TILL, request, at=at)
