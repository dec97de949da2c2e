"""The journey's coalition: six partners, which departments of the data each one runs, and its terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

NAME: Final = "Journey"
CURRENCY: Final = "RUB"
ZONE: Final = ZoneInfo("Europe/Moscow")
STARTS_AT: Final = datetime(2017, 1, 1, tzinfo=ZONE).astimezone(UTC)
"""Where the clock stands when the programme opens: the first local midnight of the data."""

BURN_ABOVE_POINTS: Final = 500
"""A member with more than this pays with points at the next basket."""

_TOBACCO: Final = ("CIGARETTES", "CIGARS", "TOBACCO OTHER")
_DRINK: Final = ("BEERS/ALES", "DOMESTIC WINE", "IMPORTED WINE", "LIQUOR", "MISC WINE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A partner's terms as the operator enters them. Prices per point and shares as decimal text.

    Lot lifetimes differ, so two partners' points never expire together, and points wait a day
    or more: then it does not matter which of a day's receipts is posted first.
    """

    funding: str
    issue_price: str
    fee: str
    earn_rate: str
    burn_cap: str
    pending_days: int
    lot_lifetime_days: int
    breakage_share: str
    excluded_categories: tuple[str, ...] = ()
    redemption_value: str = "1.00"
    burn_money_floor: str = "100.00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A merchant of the journey. The one without departments runs all that no other does."""

    key: str
    name: str
    departments: tuple[str, ...]
    terms: Terms


PARTNERS: Final = (
    Partner(
        key="supermarket",
        name="Korzina Supermarkets",
        departments=(),
        terms=Terms(
            funding="AT_REDEMPTION",
            issue_price="1.00",
            fee="0.015",
            earn_rate="0.005",
            burn_cap="0.99",
            pending_days=7,
            lot_lifetime_days=730,
            breakage_share="0",
            excluded_categories=_DRINK,
        ),
    ),
    Partner(
        key="pharmacy",
        name="Romashka Pharmacies",
        departments=("DRUG GM", "COSMETICS", "NUTRITION"),
        terms=Terms(
            funding="AT_ISSUE",
            issue_price="1.02",
            fee="0.01",
            earn_rate="0.03",
            burn_cap="0.5",
            pending_days=14,
            lot_lifetime_days=545,
            breakage_share="0.5",
            excluded_categories=_TOBACCO,
        ),
    ),
    Partner(
        key="fuel",
        name="Iskra Fuel",
        departments=("FUEL",),
        terms=Terms(
            funding="AT_REDEMPTION",
            issue_price="1.00",
            fee="0.005",
            earn_rate="0.01",
            burn_cap="0.99",
            pending_days=1,
            lot_lifetime_days=1095,
            breakage_share="0",
        ),
    ),
    Partner(
        key="cafe",
        name="Samovar Cafés",
        departments=("DELI", "PASTRY", "SALAD BAR", "CHEF SHOPPE", "RESTAURANT"),
        terms=Terms(
            funding="AT_ISSUE",
            issue_price="1.05",
            fee="0.02",
            earn_rate="0.025",
            burn_cap="0.99",
            pending_days=1,
            lot_lifetime_days=400,
            breakage_share="0.3",
        ),
    ),
    Partner(
        key="garden",
        name="Vesna Gardens",
        departments=("FLORAL", "GARDEN CENTER"),
        terms=Terms(
            funding="AT_ISSUE",
            issue_price="1.03",
            fee="0.015",
            earn_rate="0.03",
            burn_cap="0.7",
            pending_days=14,
            lot_lifetime_days=600,
            breakage_share="0.5",
        ),
    ),
    Partner(
        key="travel",
        name="Poputchik Travel",
        departments=("TRAVEL & LEISURE",),
        terms=Terms(
            funding="AT_REDEMPTION",
            issue_price="1.00",
            fee="0.02",
            earn_rate="0.02",
            burn_cap="0.3",
            pending_days=30,
            lot_lifetime_days=900,
            breakage_share="0",
        ),
    ),
)
"""In the order in which a basket's receipts are told apart."""

REST: Final = next(index for index, partner in enumerate(PARTNERS) if not partner.departments)
"""The partner that runs every department which nobody else does."""


def partner_of_department() -> dict[str, int]:
    """The position in `PARTNERS` of each department that is not the rest's."""
    return {department: index for index, partner in enumerate(PARTNERS) for department in partner.departments}
