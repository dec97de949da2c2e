"""A receipt as it is sent, by whatever way it came: the shapes that `read_receipt` accepts."""
# ruff: noqa: D102 - a protocol's members are the fields of the published input, described there

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol


class TenderKind(StrEnum):
    """A means of payment, as far as the rules care."""

    MONEY = "money"
    POINTS = "points"


class MoneyGiven(Protocol):
    """An amount as it is sent: a decimal and a currency code."""

    @property
    def amount(self) -> str | Decimal: ...
    @property
    def currency(self) -> str: ...


class LineGiven(Protocol):
    """A line as it is sent."""

    @property
    def sku(self) -> str: ...
    @property
    def category(self) -> str: ...
    @property
    def quantity(self) -> str | Decimal: ...
    @property
    def unit_price(self) -> MoneyGiven: ...
    @property
    def discount(self) -> MoneyGiven | None: ...


class TenderGiven(Protocol):
    """A tender as it is sent."""

    @property
    def kind(self) -> TenderKind: ...
    @property
    def amount(self) -> MoneyGiven: ...


class ReceiptGiven(Protocol):
    """A receipt as it is sent, by whatever way it came."""

    @property
    def outlet(self) -> str: ...
    @property
    def terminal(self) -> str: ...
    @property
    def number(self) -> str: ...
    @property
    def occurred_at(self) -> datetime | None: ...
    @property
    def lines(self) -> Sequence[LineGiven]: ...
    @property
    def tenders(self) -> Sequence[TenderGiven] | None: ...
