"""Quotes: what they promise, to whom, for which receipt, and for how long."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from ledger.kernel.refusals import InvalidInput
from members import MasterKeys
from partners import CapName, Directory, Quote, QuoteRefused, QuoteRequest, QuoteTokens, Receipt, Terms
from partners.burn import prepare_burn
from partners.earn import prepare_earn
from partners.quote import make_quote
from partners.quote_token import is_good_for
from tests.partners.builders import (
    MEMBER,
    NOW,
    OPENED,
    TILL,
    TOKENS,
    a_burn,
    a_directory,
    a_line,
    a_receipt,
    an_earn,
)

GENEROUS = Terms(earn_rate_ppm=100_000, burn_cap_ppm=500_000)
CHANGED = a_directory((OPENED, GENEROUS), (NOW + timedelta(seconds=1), Terms()))
LATER = NOW + timedelta(minutes=5)


def test_a_quote_tells_what_is_earned_what_may_be_burned_and_why() -> None:
    quoted = _quote(a_receipt(a_line(600), a_line(400)), balance=5_000)

    assert quoted.earn_points == 100
    assert (quoted.most_points, quoted.cap.name) == (500, CapName.PERCENT)
    assert [share.points_earned for share in quoted.lines] == [60, 40]
    assert [share.points_burned for share in quoted.lines] == [300, 200]
    assert quoted.expires_at == NOW + timedelta(minutes=10)
    assert all(ruling.text for ruling in quoted.rulings)


def test_an_earn_gets_the_quoted_points_though_terms_have_changed() -> None:
    receipt = a_receipt(at=LATER)
    quoted = _quote(receipt)

    without = prepare_earn(CHANGED, TOKENS, TILL, an_earn(receipt), at=LATER)
    command = prepare_earn(CHANGED, TOKENS, TILL, an_earn(receipt, quote=quoted.token), at=LATER)

    assert without.points == 10
    assert (command.points, command.terms) == (quoted.earn_points, 200)


def test_a_burn_gets_the_quoted_cap_though_terms_have_changed() -> None:
    receipt = a_receipt(at=LATER)
    token = _quote(receipt, balance=5_000).token

    at_the_cap = prepare_burn(CHANGED, TOKENS, TILL, a_burn(500, receipt, quote=token), at=LATER)
    above = prepare_burn(CHANGED, TOKENS, TILL, a_burn(501, receipt, quote=token), at=LATER)

    assert at_the_cap.refused is None
    assert above.refused is not None
    assert above.refused.code == "CAP_EXCEEDED"


@pytest.mark.parametrize(
    "receipt",
    [
        a_receipt(number="2"),
        a_receipt(a_line(999)),
        a_receipt(a_line(1_000, category="MILK")),
        msgspec.structs.replace(a_receipt(), terminal="T2"),
    ],
)
def test_a_quote_is_good_for_one_receipt(receipt: Receipt) -> None:
    token = _quote(a_receipt()).token

    assert _code(receipt, token) == "QUOTE_STALE"
    assert _code(a_receipt(), token) is None


def test_a_quote_is_one_members_at_one_partner() -> None:
    token = _quote(a_receipt()).token
    promise = TOKENS.read(token)

    assert promise is not None
    assert _code(a_receipt(), token, member=MEMBER + 1) == "QUOTE_STALE"
    assert is_good_for(promise, partner=1, member=MEMBER, receipt=a_receipt(), at=NOW)
    assert not is_good_for(promise, partner=2, member=MEMBER, receipt=a_receipt(), at=NOW)


def test_a_quote_ends_at_its_instant() -> None:
    receipt = a_receipt()
    quoted = _quote(receipt)

    assert _code(receipt, quoted.token, minutes=9.99) is None
    assert _code(receipt, quoted.token, minutes=10) == "QUOTE_STALE"


@pytest.mark.parametrize("text", ["", "x", "\N{SNOWMAN}", "A" * 100_000, "AQ", "=" * 40])
def test_any_other_text_is_a_stale_quote(text: str) -> None:
    assert _code(a_receipt(), text) == "QUOTE_STALE"


def test_a_changed_token_is_stale_wherever_it_was_changed() -> None:
    token = _quote(a_receipt()).token

    for place in range(len(token) - 1):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert _code(a_receipt(), changed) == "QUOTE_STALE"


def test_a_rotated_key_still_reads_what_the_old_one_made() -> None:
    keys = MasterKeys({1: bytes(range(32))})
    token = _quote(a_receipt()).token
    rotated = QuoteTokens(keys.with_next_version())

    promise = rotated.read(token)

    assert promise is not None
    assert QuoteTokens(keys).read(rotated.make(promise)) is None
    assert rotated.read(rotated.make(promise)) == promise


def test_what_refuses_a_receipt_refuses_its_quote() -> None:
    with pytest.raises(QuoteRefused) as refusal:
        _quote(a_receipt(outlet="18"))

    assert refusal.value.code == "OUTLET_UNKNOWN"


def test_a_quote_in_another_currency_makes_no_sense() -> None:
    with pytest.raises(InvalidInput):
        _quote(msgspec.structs.replace(a_receipt(), currency="USD"))


def _quote(receipt: Receipt, *, balance: int = 0, directory: Directory = CHANGED) -> Quote:
    request = QuoteRequest(member=MEMBER, receipt=msgspec.structs.replace(receipt, occurred_at=NOW))
    return make_quote(directory, TOKENS, TILL, request, balance=balance, at=NOW)


def _code(receipt: Receipt, token: str, *, member: int = MEMBER, minutes: float = 1) -> str | None:
    request = an_earn(receipt, member=member, quote=token)
    at = NOW + timedelta(minutes=minutes)
    refused = prepare_earn(CHANGED, TOKENS, TILL, request, at=at).refused
    return refused.code if refused else None
