"""Reading what tills send: integers out of clean input, a path and a reason for anything else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import micro_of
from partners import OccurredAtOutOfRange, TenderKind, read_receipt
from partners.amounts import money, money_text, percent_text, quantity


@dataclass(frozen=True)
class Amount:
    amount: str | Decimal
    currency: str = "RUB"


@dataclass(frozen=True)
class SentLine:
    sku: str = "4601"
    category: str = "BREAD"
    quantity: str | Decimal = "1"
    unit_price: Amount = Amount("10.50")
    discount: Amount | None = None


@dataclass(frozen=True)
class SentTender:
    kind: TenderKind
    amount: Amount


@dataclass(frozen=True)
class Sent:
    outlet: str = "17"
    terminal: str = "T1"
    number: str = "1"
    occurred_at: datetime | None = None
    lines: list[SentLine] = field(default_factory=lambda: [SentLine()])
    tenders: list[SentTender] | None = None


def test_a_receipt_is_read_into_integers() -> None:
    line = SentLine(quantity="1.234", unit_price=Amount("99.90"), discount=Amount("0.40"))
    points = SentTender(TenderKind.POINTS, Amount("20"))

    receipt = read_receipt(Sent(lines=[line], tenders=[points]), currency="RUB")

    assert receipt.lines[0].quantity_milli == 1_234
    assert receipt.lines[0].unit_price_micro == 99_900_000
    assert receipt.total_micro == 122_876_600
    assert receipt.tenders[0].amount_micro == 20_000_000


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (SentLine(quantity="-1"), "quantity"),
        (SentLine(quantity="0"), "quantity"),
        (SentLine(quantity="0.0001"), "quantity"),
        (SentLine(quantity="1000001"), "quantity"),
        (SentLine(quantity="NaN"), "quantity"),
        (SentLine(unit_price=Amount("10.505")), "unitPrice"),
        (SentLine(unit_price=Amount("-1")), "unitPrice"),
        (SentLine(unit_price=Amount("1e30")), "unitPrice"),
        (SentLine(unit_price=Amount("9" * 100_000)), "unitPrice"),
        (SentLine(unit_price=Amount("1000000000.01")), "unitPrice"),
        (SentLine(discount=Amount("10.51")), "discount"),
        (SentLine(sku="x" * 100_000), "sku"),
        (SentLine(sku=""), "sku"),
        (SentLine(sku="a\x00b"), "sku"),
        (SentLine(category="a\nb"), "category"),
        (SentLine(category="\ud800"), "category"),
    ],
)
def test_a_wrong_line_is_refused_by_its_path(line: SentLine, path: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_receipt(Sent(lines=[SentLine(), line]), currency="RUB")

    assert refusal.value.field[:4] == ("receipt", "lines", "1", path)
    assert len(refusal.value.message) < 100


def test_another_currency_is_refused() -> None:
    with pytest.raises(InvalidInput, match="currency is RUB") as refusal:
        read_receipt(Sent(lines=[SentLine(unit_price=Amount("1", "USD"))]), currency="RUB")

    assert refusal.value.field == ("receipt", "lines", "0", "unitPrice", "currency")


@pytest.mark.parametrize(
    "sent",
    [
        Sent(outlet="x" * 201),
        Sent(terminal=" "),
        Sent(number="\x07"),
        Sent(lines=[SentLine()] * 501),
        Sent(tenders=[SentTender(TenderKind.POINTS, Amount("10.51"))]),
        Sent(tenders=[SentTender(TenderKind.MONEY, Amount("-1"))]),
        Sent(lines=[SentLine(unit_price=Amount("999999999"))] * 2),
        Sent(occurred_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - the naive instant is the point
    ],
)
def test_a_wrong_receipt_is_refused(sent: Sent) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_receipt(sent, currency="RUB")

    assert refusal.value.field[0] == "receipt"


@pytest.mark.parametrize("year", [1, 1969, 9999])
def test_a_year_that_no_till_lived_in_is_out_of_range(year: int) -> None:
    with pytest.raises(OccurredAtOutOfRange):
        read_receipt(Sent(occurred_at=datetime(year, 1, 1, tzinfo=UTC)), currency="RUB")


@pytest.mark.parametrize("text", ["Кофейня «Ё»", "Café ☕️", "👨‍👩‍👧 family", "a b", "x" * 200])
def test_readable_names_are_kept_as_they_are(text: str) -> None:
    assert read_receipt(Sent(outlet=text), currency="RUB").outlet == text


def test_an_empty_receipt_costs_nothing() -> None:
    assert read_receipt(replace(Sent(), lines=[]), currency="RUB").total_micro == 0


def test_a_currency_without_minor_units_takes_whole_amounts_only() -> None:
    yen = Sent(lines=[SentLine(unit_price=Amount("10.5", "JPY"))])

    with pytest.raises(InvalidInput, match="more than 0 decimal places"):
        read_receipt(yen, currency="JPY")


@given(st.text(alphabet="0123456789.-+e_ ٣", max_size=20) | st.decimals().map(str))
def test_money_reads_like_the_exact_reader_or_refuses(text: str) -> None:
    assert _or_none(money, text, places=2, field="x") == _exact(text, 2)


@given(st.decimals(min_value=0, max_value=10**6, places=3))
def test_quantities_are_thousandths(value: Decimal) -> None:
    expected = int(value * 1_000) or None

    assert _or_none(quantity, str(value), field="x") == expected


@given(st.integers(0, 10**15))
def test_money_text_says_the_amount_exactly(micro: int) -> None:
    assert micro_of(money_text(micro)) == micro


@pytest.mark.parametrize(
    ("ppm", "text"), [(15_000, "1.5 %"), (990_000, "99 %"), (1_000_000, "100 %"), (5, "0.0005 %")]
)
def test_percent_text_wastes_no_zeros(ppm: int, text: str) -> None:
    assert percent_text(ppm) == text


def _or_none(read: Any, text: str, **more: Any) -> int | None:
    try:
        return int(read(text, **more))
    except InvalidInput:
        return None


def _exact(text: str, places: int) -> int | None:
    try:
        micro = micro_of(text, places=places)
    except InvalidInput:
        return None
    return micro if 0 <= micro <= 10**15 else None
