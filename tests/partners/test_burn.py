"""Preparing burns, holds, captures and voids: caps enforced, lines allocated, holds timed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledger.commands import Burn
from ledger.kernel.refusals import InvalidInput
from partners import (
    BurnRequest,
    CaptureRequest,
    Directory,
    Partner,
    QuoteRequest,
    Terms,
    VoidRequest,
    decode_detail,
)
from partners.burn import prepare_authorize, prepare_burn
from partners.holds import prepare_capture, prepare_void
from partners.quote import make_quote
from tests.partners.builders import (
    MEMBER,
    NOW,
    OPENED,
    ROUBLE,
    TILL,
    TOKENS,
    a_burn,
    a_directory,
    a_line,
    a_receipt,
    an_authorisation,
)

SUSPENDED = a_directory(partner=Partner(id=1, name="B", created_at=OPENED, suspended_at=NOW))


def test_a_burn_is_spread_over_its_lines_for_the_fiscal_receipt() -> None:
    command = _burn(a_burn(101, a_receipt(a_line(600), a_line(400)), presence=b"t" * 16))
    detail = decode_detail(command.detail)

    assert (command.points, command.terms, command.token) == (101, 200, b"t" * 16)
    assert [item.points_burned for item in command.items] == [61, 40]
    assert detail is not None
    assert [share.money_off_micro for share in detail.lines] == [60_600_000, 40_400_000]


def test_more_than_the_cap_is_refused_and_the_cap_named() -> None:
    command = _burn(a_burn(901))

    assert command.refused is not None
    assert command.refused.code == "CAP_EXCEEDED"
    assert command.refused.field == ("points",)
    assert command.refused.message == (
        "At least 100.00 of 1000.00 is paid in money. At most 900 points can be taken."
    )


def test_exactly_the_cap_is_taken() -> None:
    assert _burn(a_burn(900)).refused is None


def test_points_off_the_step_are_refused() -> None:
    command = _burn(a_burn(55), a_directory((OPENED, Terms(burn_step_points=10))))

    assert command.refused is not None
    assert command.refused.message == "Points are taken in steps of 10."


@pytest.mark.parametrize("quoted", [False, True])
def test_a_till_does_not_pick_its_terms_by_dating_its_receipt_back(quoted: bool) -> None:
    changed = a_directory((OPENED, Terms()), (NOW, Terms(burn_cap_ppm=100_000)))
    receipt = a_receipt(at=NOW - timedelta(days=2))
    asked = QuoteRequest(member=MEMBER, receipt=receipt)
    token = make_quote(changed, TOKENS, TILL, asked, balance=1_000, at=NOW).token if quoted else None

    taken = prepare_burn(changed, TOKENS, TILL, a_burn(100, receipt, quote=token), at=NOW)
    held = prepare_authorize(changed, TOKENS, TILL, an_authorisation(100, receipt, quote=token), at=NOW)
    above = prepare_burn(changed, TOKENS, TILL, a_burn(101, receipt, quote=token), at=NOW)

    assert (taken.terms, taken.occurred_at, held.terms) == (201, receipt.occurred_at, 201)
    assert above.refused is not None
    assert above.refused.code == "CAP_EXCEEDED"


@pytest.mark.parametrize("points", [0, -1, 2**53 + 1])
def test_points_are_more_than_none(points: int) -> None:
    with pytest.raises(InvalidInput) as refusal:
        _burn(a_burn(points))

    assert refusal.value.field == ("points",)


def test_presence_is_no_part_of_what_is_asked() -> None:
    assert _burn(a_burn(presence=b"1" * 16)).digest == _burn(a_burn(presence=b"2" * 16)).digest
    assert _burn(a_burn(1)).digest != _burn(a_burn(2)).digest


@pytest.mark.parametrize(("asked", "seconds"), [(None, 900), (60, 60), (10_000, 900)])
def test_a_hold_lasts_as_long_as_the_agreement_allows(asked: int | None, seconds: int) -> None:
    request = an_authorisation(ttl_seconds=asked)

    command = prepare_authorize(a_directory(), TOKENS, TILL, request, at=NOW)

    assert command.expires_at == NOW + timedelta(seconds=seconds)


def test_a_hold_of_no_time_makes_no_sense() -> None:
    with pytest.raises(InvalidInput):
        prepare_authorize(a_directory(), TOKENS, TILL, an_authorisation(ttl_seconds=0), at=NOW)


def test_a_suspended_partner_captures_nothing_and_may_still_void() -> None:
    capture = prepare_capture(SUSPENDED, TILL, CaptureRequest(key="c", hold=9), at=NOW)
    void = prepare_void(TILL, VoidRequest(key="v", hold=9), at=NOW)

    assert capture.refused is not None
    assert capture.refused.code == "PARTNER_SUSPENDED"
    assert void.refused is None


def test_a_capture_names_its_hold_and_its_partner() -> None:
    request = CaptureRequest(key="c", hold=9, points=5, final=True)

    command = prepare_capture(a_directory(), TILL, request, at=NOW)

    assert (command.hold, command.points, command.final, command.partner) == (9, 5, True, 1)


def test_a_line_never_pays_more_than_it_costs() -> None:
    directory = a_directory((OPENED, Terms(burn_cap_ppm=1_000_000, burn_money_floor_micro=0)))

    detail = decode_detail(_burn(a_burn(3, a_receipt(a_line(1), a_line(1), a_line(1))), directory).detail)

    assert detail is not None
    assert [share.money_off_micro for share in detail.lines] == [ROUBLE] * 3


def _burn(request: BurnRequest, directory: Directory | None = None) -> Burn:
    return prepare_burn(directory or a_directory(), TOKENS, TILL, request, at=NOW)
