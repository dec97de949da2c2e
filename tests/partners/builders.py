"""What a test of this room says only what matters about: terms, tills, receipts, requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from members import MasterKeys
from partners import (
    Agreement,
    AuthorizeRequest,
    BurnRequest,
    Directory,
    EarnRequest,
    Line,
    Outlet,
    Partner,
    Programme,
    QuoteTokens,
    Receipt,
    Tariff,
    Terms,
    Till,
)

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
OPENED = datetime(2025, 12, 1, tzinfo=UTC)
MEMBER = 5 << 56 | 7
TILL = Till(partner=1, principal="partner:1")
TOKENS = QuoteTokens(MasterKeys({1: bytes(range(32))}))
ROUBLE = 1_000_000


def a_directory(
    *agreements: tuple[datetime, Terms],
    zone: str = "Europe/Moscow",
    partner: Partner | None = None,
    outlet: Outlet | None = None,
) -> Directory:
    """Partner 1 with outlet "17" (id 10) under the given dated terms, or the standard ones."""
    dated = agreements or ((OPENED, Terms()),)
    return Directory(
        version=1,
        programme=Programme(
            name="Kopilka",
            currency="RUB",
            zone=ZoneInfo(zone),
            cut_off="monthly",
            point_value_micro=ROUBLE,
            defaults=Terms(),
            opened_at=OPENED,
        ),
        partners=[partner or Partner(id=1, name="Bakery", created_at=OPENED)],
        outlets=[outlet or Outlet(id=10, partner=1, code="17", name="Main street", opened_at=OPENED)],
        tariffs=[a_tariff(100 + index, terms) for index, (_, terms) in enumerate(dated)],
        agreements=[
            an_agreement(200 + index, terms, tariff=100 + index, starts_at=starts_at)
            for index, (starts_at, terms) in enumerate(dated)
        ],
    )


def a_tariff(id_: int, terms: Terms) -> Tariff:
    """Partner 1's tariff of some terms."""
    return Tariff(
        id=id_,
        obligor=1,
        funding=terms.funding,
        issue_price_micro=terms.issue_price_micro,
        redemption_value_micro=terms.redemption_value_micro,
        currency="RUB",
        breakage_share_ppm=terms.breakage_share_ppm,
    )


def an_agreement(id_: int, terms: Terms, *, tariff: int, starts_at: datetime) -> Agreement:
    """Partner 1's agreement of some terms."""
    return Agreement(
        id=id_,
        partner=1,
        tariff=tariff,
        starts_at=starts_at,
        made_at=OPENED,
        made_by="staff:test",
        terms=terms,
        excluded=frozenset(category.casefold() for category in terms.excluded_categories),
    )


def a_line(roubles: int = 100, *, category: str = "BREAD", milli: int = 1_000) -> Line:
    """One piece at a price in whole roubles."""
    return Line(sku="4601", category=category, quantity_milli=milli, unit_price_micro=roubles * ROUBLE)


def a_receipt(
    *lines: Line, number: str = "1", at: datetime | None = NOW, outlet: str = "17", **more: Any
) -> Receipt:
    """A receipt of some lines, of 1,000 roubles when none are given."""
    return Receipt(
        outlet=outlet,
        terminal="T1",
        number=number,
        currency="RUB",
        lines=lines or (a_line(1_000),),
        occurred_at=at,
        **more,
    )


def an_earn(
    receipt: Receipt | None = None, *, key: str = "k1", member: int = MEMBER, **more: Any
) -> EarnRequest:
    """A request to earn for a receipt."""
    return EarnRequest(key=key, member=member, receipt=receipt or a_receipt(), **more)


def a_burn(points: int = 100, receipt: Receipt | None = None, *, key: str = "b1", **more: Any) -> BurnRequest:
    """A request to burn points on a receipt."""
    return BurnRequest(key=key, member=MEMBER, points=points, receipt=receipt or a_receipt(), **more)


def an_authorisation(
    points: int = 100, receipt: Receipt | None = None, *, key: str = "a1", **more: Any
) -> AuthorizeRequest:
    """A request to hold points for a receipt."""
    return AuthorizeRequest(key=key, member=MEMBER, points=points, receipt=receipt or a_receipt(), **more)


def days(count: float) -> timedelta:
    """That many days."""
    return timedelta(days=count)
