"""The wheel's tables become receipts: by partner, in order, exact to the kopeck."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pandas as pd
import pytest

from gateway.replay.coalition import PARTNERS
from gateway.replay.journey import Journey, journey_of, load_journey

SUPERMARKET, PHARMACY, CAFE = (
    [each.key for each in PARTNERS].index(key) for key in ("supermarket", "pharmacy", "cafe")
)


def a_line(**given: Any) -> dict[str, Any]:
    return {
        "household_id": 7,
        "store_id": 330,
        "basket_id": 100,
        "product_id": 1,
        "quantity": 1,
        "sales_value": 1.39,
        "retail_disc": 0.0,
        "coupon_match_disc": 0.0,
        "transaction_timestamp": pd.Timestamp("2017-01-01 11:53:26"),
    } | given


def a_journey(*lines: dict[str, Any], days: int | None = None) -> Journey:
    products = pd.DataFrame(
        [
            {"product_id": 1, "department": "GROCERY", "product_category": "BREAD"},
            {"product_id": 2, "department": "COSMETICS", "product_category": 'LIP "GLOSS"'},
            {"product_id": 3, "department": "DELI", "product_category": None},
            {"product_id": 4, "department": "GROCERY", "product_category": "LIQUOR"},
        ]
    )
    return journey_of(pd.DataFrame(lines), products, days=days)


def sent(journey: Journey, receipt: int = 0) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(journey.receipts.json[receipt].as_py() + "}")
    return decoded


def price_of(line: dict[str, Any]) -> Decimal:
    discount = Decimal(line.get("discount", {"amount": "0"})["amount"])
    return Decimal(line["quantity"]) * Decimal(line["unitPrice"]["amount"]) - discount


def test_a_basket_becomes_one_receipt_per_partner() -> None:
    journey = a_journey(
        a_line(product_id=3), a_line(product_id=1), a_line(product_id=2), a_line(product_id=1)
    )

    assert journey.receipts.partner.tolist() == [SUPERMARKET, PHARMACY, CAFE]
    assert journey.receipts.basket.tolist() == [100, 100, 100]
    assert [len(sent(journey, receipt)["lines"]) for receipt in range(3)] == [2, 1, 1]
    assert journey.baskets_by_day.tolist() == [1]


def test_dollars_are_read_as_hundreds_of_roubles_in_programme_time() -> None:
    receipt = sent(a_journey(a_line()))

    assert receipt["occurredAt"] == "2017-01-01T08:53:26Z"
    assert (receipt["outlet"], receipt["number"]) == ("S330", "100")
    assert receipt["lines"] == [
        {
            "sku": "1",
            "category": "BREAD",
            "quantity": "1",
            "unitPrice": {"amount": "139.00", "currency": "RUB"},
        }
    ]


@pytest.mark.parametrize("quantity", [1, 2, 3, 7, 9095])
def test_lines_cost_exactly_what_was_paid(quantity: int) -> None:
    journey = a_journey(a_line(quantity=quantity, sales_value=19.99, retail_disc=0.51, coupon_match_disc=0.2))

    (line,) = sent(journey)["lines"]
    assert price_of(line) == 1999
    assert journey.receipts.total.tolist() == [199_900]


def test_lines_of_quantity_zero_are_dropped_and_their_baskets_still_counted() -> None:
    journey = a_journey(a_line(quantity=0), a_line(basket_id=101), a_line(basket_id=101, quantity=0))

    assert journey.dropped_lines == 2
    assert journey.receipts.basket.tolist() == [101]
    assert journey.baskets_by_day.tolist() == [2]


def test_baskets_go_by_time_and_then_by_id() -> None:
    later = pd.Timestamp("2017-01-02 09:00:00")
    journey = a_journey(
        a_line(basket_id=3, transaction_timestamp=later), a_line(basket_id=2), a_line(basket_id=1)
    )

    assert journey.receipts.basket.tolist() == [1, 2, 3]
    assert journey.receipts.day.tolist() == [0, 0, 1]


def test_days_are_local_and_can_be_limited() -> None:
    night = pd.Timestamp("2017-01-02 00:30:00")
    lines = [a_line(), a_line(basket_id=101, transaction_timestamp=night)]

    assert a_journey(*lines).days == 2
    assert a_journey(*lines, days=1).receipts.basket.tolist() == [100]


def test_excluded_categories_cannot_be_paid_with_points() -> None:
    journey = a_journey(a_line(product_id=1), a_line(product_id=4, sales_value=10))

    assert journey.receipts.total.tolist() == [113_900]
    assert journey.receipts.payable.tolist() == [13_900]


def test_odd_names_and_unknown_products_are_sent_as_they_are() -> None:
    journey = a_journey(a_line(product_id=2), a_line(product_id=3), a_line(product_id=999))

    categories = [sent(journey, receipt)["lines"][0]["category"] for receipt in range(3)]

    assert categories == ["UNKNOWN", 'LIP "GLOSS"', "DELI"]


def test_the_whole_year_is_there() -> None:
    journey = load_journey()

    assert int(journey.baskets_by_day.sum()) == 155_848
    assert len(journey.receipts) == 251_474
    assert journey.dropped_lines == 8_869
    assert len(journey.households) == 2_469
    assert journey.days == 366
    assert str(journey.day(365)) == "2018-01-01"
    for receipt in range(0, len(journey.receipts), 5_000):
        total = sum(price_of(line) for line in sent(journey, receipt)["lines"])
        assert total * 100 == int(journey.receipts.total[receipt])
