"""What the replay's tills send is well-formed, and says how a receipt was paid."""

from __future__ import annotations

import msgspec
import numpy as np

from gateway.replay.burns import Burn
from gateway.replay.items import Till, by_partner
from tests.gateway.test_replay_journey import a_journey, a_line

JOURNEY = a_journey(a_line(product_id=1), a_line(product_id=2, sales_value=20), a_line(basket_id=200))
TILL = Till(JOURNEY.receipts, ['{"card":"9000"}'])


def test_an_earn_names_basket_partner_and_member() -> None:
    first, second, third = (msgspec.json.decode(text) for text in TILL.earns(np.arange(3), {}))

    assert first["earn"]["idempotencyKey"] == "100/supermarket/earn"
    assert second["earn"]["idempotencyKey"] == "100/pharmacy/earn"
    assert third["earn"]["receipt"]["number"] == "200"
    assert first["earn"]["member"] == {"card": "9000"}
    assert "tenders" not in first["earn"]["receipt"]


def test_points_and_money_together_pay_the_whole_receipt() -> None:
    (text,) = TILL.earns(np.array([1]), {1: 510})

    assert msgspec.json.decode(text)["earn"]["receipt"]["tenders"] == [
        {"kind": "POINTS", "amount": {"amount": "510.00", "currency": "RUB"}},
        {"kind": "MONEY", "amount": {"amount": "1490.00", "currency": "RUB"}},
    ]


def test_a_burn_presents_the_code_of_the_phone() -> None:
    sent = msgspec.json.decode(TILL.burn(Burn(receipt=1, household=0, points=510), "ABC"))

    assert sent["burn"]["idempotencyKey"] == "100/pharmacy/burn"
    assert sent["burn"]["member"] == {"qr": "ABC"}
    assert sent["burn"]["points"] == 510
    assert [line["sku"] for line in sent["burn"]["receipt"]["lines"]] == ["2"]


def test_a_partners_receipts_stay_in_order() -> None:
    split = by_partner(JOURNEY.receipts, 0, 3)

    assert [each.tolist() for each in split[:2]] == [[0, 2], [1]]
    assert sum(len(each) for each in split) == 3
