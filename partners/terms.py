"""The terms that a partner trades under: prices, rates, caps and times. Their dates are an agreement's."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from ledger.kernel.refusals import InvalidInput

from .limits import IssuanceWindow, Limits, check_limits
from .names import name

WHOLE: Final = 1_000_000
"""One whole in millionths: shares and rates are integers of this scale."""

_PRICE_LIMIT: Final = 10**9
"""A thousand units of currency a point."""
_LONGEST_DAYS: Final = 36_500


class Funding(StrEnum):
    """When the one who pays for a point pays for it."""

    AT_ISSUE = "at_issue"
    AT_REDEMPTION = "at_redemption"


class RefundOrder(StrEnum):
    """What a returned purchase gives back first."""

    MONEY_FIRST = "money_first"
    POINTS_FIRST = "points_first"
    PROPORTIONAL = "proportional"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All terms of an agreement. Money in micro-units of the programme's currency, shares in millionths.

    `issue_price_micro` is what the issuer pays per point funded at issue,
    `redemption_value_micro` what the redeemer is paid per point. `fee_ppm` is charged on the
    reimbursement, `vat_ppm` on the fee. `earn_rate_ppm` is points per 1.000000 of money, in
    millionths. A burn takes at most `burn_cap_ppm` of the price, leaves at least
    `burn_money_floor_micro` to pay in money, and at most `burn_limit_points` (None: no limit),
    in steps of `burn_step_points`. Excluded lines neither earn points nor are paid with them;
    gift cards and delivery are excluded unless included. `breakage_share_ppm` is the issuer's
    share of what expires. `late_window_days` is how long after a purchase its receipt is taken.
    The partner gives at most `issuance_limit_points` in an `issuance_window`, `limits` bind each
    of its members. A charity takes donations.
    """

    funding: Funding = Funding.AT_REDEMPTION
    issue_price_micro: int = WHOLE
    redemption_value_micro: int = WHOLE
    fee_ppm: int = 0
    vat_ppm: int = 0
    earn_rate_ppm: int = 10_000
    burn_cap_ppm: int = 990_000
    burn_money_floor_micro: int = 100 * WHOLE
    burn_limit_points: int | None = None
    burn_step_points: int = 1
    excluded_categories: tuple[str, ...] = ()
    includes_gift_cards: bool = False
    includes_delivery: bool = False
    pending_days: int = 14
    lot_lifetime_days: int = 365
    hold_ttl_seconds: int = 900
    quote_ttl_seconds: int = 600
    refund_order: RefundOrder = RefundOrder.MONEY_FIRST
    issuance_limit_points: int | None = None
    collateral_micro: int = 0
    breakage_share_ppm: int = 0
    late_window_days: int = 30
    settlement_currency: str = "RUB"
    issuance_window: IssuanceWindow = IssuanceWindow.EVER
    limits: Limits | None = None
    is_charity: bool = False


def check(terms: Terms) -> Terms:
    """`terms` themselves when every value is within its bounds and they agree with each other.

    Raises `InvalidInput` naming the first term that is not.
    """
    for field, low, high in _BOUNDS:
        value = getattr(terms, field)
        if value is not None and not low <= value <= high:
            raise InvalidInput(f"must be between {low} and {high}", field=(field,))
    if terms.funding is Funding.AT_ISSUE and terms.issue_price_micro < terms.redemption_value_micro:
        raise InvalidInput(
            "points funded at issue cannot cost less than they are redeemed for", field=("issue_price_micro",)
        )
    if terms.lot_lifetime_days <= terms.pending_days:
        raise InvalidInput("points would expire before they are available", field=("lot_lifetime_days",))
    for category in terms.excluded_categories:
        name(category, field="excluded_categories")
    check_currency(terms.settlement_currency, field="settlement_currency")
    check_limits(terms.limits)
    return terms


def check_currency(code: str, *, field: str) -> str:
    """`code` itself when it looks like an ISO 4217 code; raises `InvalidInput` at `field` otherwise."""
    if len(code) == 3 and code.isascii() and code.isalpha() and code.isupper():
        return code
    raise InvalidInput("not an ISO 4217 currency code", field=(field,))


_BOUNDS: Final = (
    ("issue_price_micro", 0, _PRICE_LIMIT),
    ("redemption_value_micro", 0, _PRICE_LIMIT),
    ("fee_ppm", 0, WHOLE),
    ("vat_ppm", 0, WHOLE),
    ("earn_rate_ppm", 0, 100 * WHOLE),
    ("burn_cap_ppm", 0, WHOLE),
    ("burn_money_floor_micro", 0, 10**15),
    ("burn_limit_points", 0, 2**53),
    ("burn_step_points", 1, 10**6),
    ("pending_days", 0, _LONGEST_DAYS),
    ("lot_lifetime_days", 1, _LONGEST_DAYS),
    ("hold_ttl_seconds", 1, 30 * 86_400),
    ("quote_ttl_seconds", 1, 86_400),
    ("issuance_limit_points", 0, 2**53),
    ("collateral_micro", 0, 10**18),
    ("breakage_share_ppm", 0, WHOLE),
    ("late_window_days", 0, _LONGEST_DAYS),
)
