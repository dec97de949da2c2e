"""Statements: one partner's account of one period, down to the cell, as data that never changes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from ledger.kernel.refusals import Refusal
from partners.terms import WHOLE

from .cells import Holding
from .money import Movement, settle
from .prices import Prices
from .rollforward import RollForward


class StatementUnknown(Refusal):
    """No statement has this number."""

    code = "STATEMENT_UNKNOWN"

    def __init__(self, number: str) -> None:
        super().__init__(f"there is no statement {number}", field=("number",))


EDITION: Final = 2
"""How statements are drawn up from now on. The first edition told no rates."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Points × price = money; the partner pays `micro` when it is positive and receives otherwise.

    `price_micro` is None where the money was rounded (fee, VAT, breakage share). There `rate_ppm`, in
    millionths, was taken of the value of `points`, or of the fees. `origin_period` is when it happened.
    """

    purpose: str
    operation: str
    issuer: int
    obligor: int
    redeemer: int
    tariff: int
    terms: int
    origin_period: int
    points: int
    price_micro: int | None
    micro: int
    rate_ppm: int | None = None


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """The roll-forward of the points that the partner is obligor of, signed as they change it."""

    opening: int
    issued: int
    clawed_back: int
    redeemed: int
    recovered: int
    expired: int
    adjusted: int
    novated: int
    transferred: int
    closing: int
    brought: int = 0


class Age(msgspec.Struct, frozen=True, kw_only=True):
    """Points still owed to members, by month of issue and expiry (yyyymm), at redemption value."""

    issue_month: int
    expiry_month: int
    points: int
    value_micro: int


class Statement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a partner pays (+) or receives (−) for a period, micro-units, and out of what it is made.

    `entries` and `late` sum to `charge_micro`; opening + charge = due = payable + carried.
    `cells_hash` is the SHA-256 (hex) of the frozen cells of the period. What a later `edition` adds has a
    default, which is left out of the JSON: an earlier one is drawn up again to the same bytes.
    """

    number: str
    period: int
    starts_at: datetime
    ends_at: datetime
    partner: int
    partner_name: str
    currency: str
    opening_micro: int
    entries: tuple[Entry, ...]
    late: tuple[Entry, ...]
    charge_micro: int
    due_micro: int
    payable_micro: int
    carried_micro: int
    points: Points
    ageing: tuple[Age, ...]
    cells_hash: str
    edition: int = 1

    @property
    def fee_micro(self) -> int:
        """What the operator takes for reimbursing redemptions, without VAT."""
        return sum(entry.micro for entry in self.entries if entry.purpose == "fee")

    @property
    def vat_micro(self) -> int:
        """VAT on the fee."""
        return sum(entry.micro for entry in self.entries if entry.purpose == "vat")

    @property
    def breakage_share_micro(self) -> int:
        """The partner's part of the value of its expired points; it receives that, so it is ≤ 0."""
        return sum(entry.micro for entry in self.entries if entry.purpose == "breakage_share")


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """A statement as it is stored: `body` is its JSON, `hash` the SHA-256 of that."""

    number: str
    period: int
    partner: int
    charge_micro: int
    body: bytes
    hash: bytes


def to_row(statement: Statement) -> StatementRow:
    """The statement as it is stored: JSON, the same bytes whenever it is made from the same data."""
    body = msgspec.json.encode(statement)
    return StatementRow(
        number=statement.number,
        period=statement.period,
        partner=statement.partner,
        charge_micro=statement.charge_micro,
        body=body,
        hash=hashlib.sha256(body).digest(),
    )


def of_row(row: StatementRow) -> Statement:
    """A stored statement as data."""
    return msgspec.json.decode(row.body, type=Statement)


def entries_of(moved: Iterable[Movement], partner: int, prices: Prices, *, edition: int) -> list[Entry]:
    """The movements on a partner's account; one from it to itself is shown and costs nothing."""
    own = settle(partner)
    return [
        Entry(
            purpose=movement.purpose,
            operation=movement.operation,
            issuer=movement.issuer,
            obligor=movement.obligor,
            redeemer=movement.redeemer,
            tariff=movement.tariff,
            terms=movement.terms,
            origin_period=movement.origin_period,
            points=movement.points,
            price_micro=movement.price_micro,
            micro=movement.micro * ((movement.debit == own) - (movement.credit == own)),
            rate_ppm=_rate_ppm(movement, prices) if edition > 1 else None,
        )
        for movement in moved
        if own in (movement.debit, movement.credit) and (movement.points or movement.micro)
    ]


def _rate_ppm(movement: Movement, prices: Prices) -> int | None:
    match movement.purpose:
        case "fee":
            rate = prices.terms[movement.terms].fee
        case "breakage_share":
            rate = prices.tariffs[movement.tariff].breakage_share
        case "vat" if movement.rate is not None:
            rate = movement.rate
        case _:
            return None
    return int(rate * WHOLE)


def points_of(roll: RollForward) -> Points:
    """A roll-forward as a statement tells it."""
    changes = {field: getattr(roll, field) for field in Points.__struct_fields__}
    return Points(**changes)


def ageing_of(holdings: Iterable[Holding], prices: Prices) -> tuple[Age, ...]:
    """Holdings by month of issue and expiry, oldest first."""
    aged: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
    for holding in holdings:
        age = aged[holding.issue_month, holding.expiry_month]
        age[0] += holding.points
        age[1] += holding.points * prices.tariffs[holding.tariff].redemption_value_micro
    return tuple(
        Age(issue_month=issued, expiry_month=expires, points=points, value_micro=value)
        for (issued, expires), (points, value) in sorted(aged.items())
        if points
    )
