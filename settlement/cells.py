"""Cells: points that one operation moved between an issuer, an obligor and a redeemer at one price.

A period is a few hundred cells however many operations it had. Everything that settlement
computes starts from them, whether they come from the ledger's stored flows or from a scenario.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import msgspec

from ledger.accounts import REDEEMED_SIGN, STOCK_SIGN


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """Points (> 0; of `adjust` either sign in a scenario) of one operation, summed over a period.

    `redeemer` and `terms` are 0 where nobody redeems; of `recover` the redeemer is the creditor.
    `origin_period` is the period in which it happened, earlier than the cell's own for late items.
    """

    operation: str
    issuer: int
    obligor: int
    redeemer: int
    tariff: int
    terms: int
    origin_period: int
    points: int
    count: int = 1

    @property
    def outstanding(self) -> int:
        """The change of the obligor's points owed to members."""
        return STOCK_SIGN.get(self.operation, 0) * self.points

    @property
    def redeemed(self) -> int:
        """The change of the points redeemed at the redeemer."""
        return REDEEMED_SIGN.get(self.operation, 0) * self.points


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Holding:
    """Points (≥ 0) owed to members at the end of a period. Months are yyyymm."""

    issuer: int
    obligor: int
    tariff: int
    issue_month: int
    expiry_month: int
    points: int


def redeemed(cells: Iterable[Cell]) -> dict[tuple[int, int], int]:
    """Points by (obligor, redeemer): burns − returns + late − upheld disputes; none that is zero."""
    total: dict[tuple[int, int], int] = defaultdict(int)
    for cell in cells:
        total[cell.obligor, cell.redeemer] += cell.redeemed
    return {pair: points for pair, points in sorted(total.items()) if points}


def digest(period: int, cells: Sequence[Cell], holdings: Sequence[Holding]) -> bytes:
    """SHA-256 over a period's cells and holdings, whatever order they come in."""
    rows = [period, sorted(map(astuple, cells)), sorted(map(astuple, holdings))]
    return hashlib.sha256(b"kopilka/period/1\n" + msgspec.json.encode(rows)).digest()
