"""The items of a `postBatch`: earns and burns as JSON, ready to be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import coalition
from .burns import Burn
from .journey import Numbers, Receipts, money_json

_KOPECKS_A_POINT = 100


class Till:
    """Writes what the tills of all partners send. `members` is each household's `MemberInput` as JSON."""

    def __init__(self, receipts: Receipts, members: Sequence[str]) -> None:
        self._receipts = receipts
        self._members = pa.array(members)
        self._partners = pa.array([partner.key for partner in coalition.PARTNERS])

    def earns(self, which: Numbers, paid: Mapping[int, int]) -> list[str]:
        """An earn for each receipt, in order; `paid` has the points that paid for some of them."""
        receipts = self._receipts
        rows = pa.array(which)
        endings = [self._ending(receipt, paid.get(receipt, 0)) for receipt in which.tolist()]
        items: Any = pc.binary_join_element_wise(
            '{"earn":{"idempotencyKey":"',
            pc.cast(pa.array(receipts.basket[which]), pa.string()),
            "/",
            self._partners.take(pa.array(receipts.partner[which])),
            '/earn","member":',
            self._members.take(pa.array(receipts.household[which])),
            ',"receipt":',
            receipts.json.take(rows),
            pa.array(endings, pa.string()),
            "}}}",
            "",
        )
        texts: list[str] = items.to_pylist()
        return texts

    def burn(self, burn: Burn, token: str) -> str:
        """A burn on a receipt, by the code that the member's phone shows."""
        receipts, receipt = self._receipts, burn.receipt
        partner = coalition.PARTNERS[int(receipts.partner[receipt])]
        key = msgspec.json.encode(f"{receipts.basket[receipt]}/{partner.key}/burn").decode()
        member = msgspec.json.encode({"qr": token}).decode()
        head = f'{{"burn":{{"idempotencyKey":{key},"member":{member},"points":{burn.points},"receipt":'
        text: str = receipts.json[receipt].as_py()
        return head + text + "}}}"

    def _ending(self, receipt: int, points: int) -> str:
        """What follows a receipt's lines: how it was paid, when points paid a share."""
        if not points:
            return ""
        by_points = points * _KOPECKS_A_POINT
        by_money = int(self._receipts.total[receipt]) - by_points
        return (
            f',"tenders":[{{"kind":"POINTS","amount":{money_json(by_points)}}},'
            f'{{"kind":"MONEY","amount":{money_json(by_money)}}}]'
        )


def by_partner(receipts: Receipts, first: int, last: int) -> list[Numbers]:
    """The receipts from `first` to `last` (excluded) of each partner, in order."""
    partner = receipts.partner[first:last]
    return [first + np.flatnonzero(partner == index) for index in range(len(coalition.PARTNERS))]
