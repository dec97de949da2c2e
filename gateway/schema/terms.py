"""Terms as the operator sends them: what is left out is as the programme has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import strawberry

from ledger.kernel.refusals import InvalidInput
from partners import Funding as KnownFunding
from partners import RefundOrder as KnownRefundOrder
from partners import Terms as KnownTerms

from .directory import Funding, RefundOrder
from .limits import IssuanceWindow, LimitsInput, read_limits, read_window
from .money import micro_units
from .scalars import CurrencyCode, Decimal, Points


@strawberry.input(
    description=(
        "Terms. What is left out is as the programme's defaults have it. Shares are of 1, so 0.015 is 1.5 %. "
        "Money is in units of the programme's currency, with at most six decimals."
    )
)
class TermsInput:
    """All terms of an agreement, each of them optional."""

    funding: Funding | None = strawberry.field(
        default=strawberry.UNSET, description="When the partner pays for the points it gives."
    )
    issue_price: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="Money that it pays for a point funded at issue."
    )
    redemption_value: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="Money that a partner is paid for a point burned there."
    )
    fee: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="The operator's share of what a redeemer is reimbursed, of 1."
    )
    vat: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="Value added tax on that fee, of 1."
    )
    earn_rate: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="Points given for one unit of money."
    )
    burn_cap: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="The most of a price that points may pay, of 1."
    )
    burn_money_floor: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="The least of a price that is paid in money."
    )
    burn_limit: Points | None = strawberry.field(
        default=strawberry.UNSET, description="The most points that a receipt takes."
    )
    burn_step: int | None = strawberry.field(
        default=strawberry.UNSET, description="Points are taken in multiples of this."
    )
    excluded_categories: list[str] | None = strawberry.field(
        default=strawberry.UNSET, description="Lines that neither earn nor take points."
    )
    includes_gift_cards: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether gift cards earn and take points."
    )
    includes_delivery: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether delivery earns and takes points."
    )
    pending_days: int | None = strawberry.field(
        default=strawberry.UNSET, description="Days until earned points may be spent."
    )
    lot_lifetime_days: int | None = strawberry.field(
        default=strawberry.UNSET, description="Days until earned points expire."
    )
    hold_ttl_seconds: int | None = strawberry.field(
        default=strawberry.UNSET, description="Seconds that a hold lasts at most."
    )
    quote_ttl_seconds: int | None = strawberry.field(
        default=strawberry.UNSET, description="Seconds that a quote is kept."
    )
    refund_order: RefundOrder | None = strawberry.field(
        default=strawberry.UNSET, description="What a returned purchase gives back first."
    )
    issuance_limit: Points | None = strawberry.field(
        default=strawberry.UNSET, description="The most points that are given in the issuance window."
    )
    issuance_window: IssuanceWindow | None = strawberry.field(
        default=strawberry.UNSET, description="The time in which the issuance limit counts."
    )
    limits: LimitsInput | None = strawberry.field(
        default=strawberry.UNSET, description="What each member may do at this partner, all limits together."
    )
    is_charity: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Whether members may donate points to it."
    )
    collateral: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="Money that the partner has deposited."
    )
    breakage_share: Decimal | None = strawberry.field(
        default=strawberry.UNSET, description="The partner's share of what expires, of 1."
    )
    late_window_days: int | None = strawberry.field(
        default=strawberry.UNSET, description="Days after a purchase that its receipt is taken."
    )
    settlement_currency: CurrencyCode | None = strawberry.field(
        default=strawberry.UNSET, description="The currency that the partner is settled in."
    )


_PLAIN = (
    "includes_gift_cards",
    "includes_delivery",
    "is_charity",
    "pending_days",
    "lot_lifetime_days",
    "hold_ttl_seconds",
    "quote_ttl_seconds",
    "late_window_days",
    "settlement_currency",
)
_IN_MILLIONTHS = {
    "issue_price": "issue_price_micro",
    "redemption_value": "redemption_value_micro",
    "fee": "fee_ppm",
    "vat": "vat_ppm",
    "earn_rate": "earn_rate_ppm",
    "burn_cap": "burn_cap_ppm",
    "burn_money_floor": "burn_money_floor_micro",
    "collateral": "collateral_micro",
    "breakage_share": "breakage_share_ppm",
}
_IN_POINTS = {
    "burn_limit": "burn_limit_points",
    "burn_step": "burn_step_points",
    "issuance_limit": "issuance_limit_points",
}


def read_terms(given: TermsInput, defaults: KnownTerms, *, at: str) -> KnownTerms:
    """`defaults` with what was given in their place. Raises `InvalidInput` within `at`."""
    changes: dict[str, object] = {}
    for name in _PLAIN:
        if (value := getattr(given, name)) is not None:
            changes[name] = value
    for name, term in _IN_POINTS.items():
        if (value := getattr(given, name)) is not None:
            changes[term] = value
    with within(at):
        for name, term in _IN_MILLIONTHS.items():
            if (value := getattr(given, name)) is not None:
                changes[term] = micro_units(value, name)
    if given.issuance_window is not None:
        changes["issuance_window"] = read_window(given.issuance_window)
    if given.limits is not None:
        changes["limits"] = read_limits(given.limits)
    if given.funding is not None:
        changes["funding"] = KnownFunding[given.funding.name]
    if given.refund_order is not None:
        changes["refund_order"] = KnownRefundOrder[given.refund_order.name]
    if given.excluded_categories is not None:
        changes["excluded_categories"] = tuple(given.excluded_categories)
    return msgspec.structs.replace(defaults, **changes)


@contextmanager
def within(at: str) -> Iterator[None]:
    """Say of a term that makes no sense that it stands below `at` in the input."""
    try:
        yield
    except InvalidInput as refusal:
        is_term = refusal.field and (refusal.field[0] in _TERMS or refusal.field[0] in _IN_MILLIONTHS)
        field = (at, *refusal.field) if is_term else refusal.field
        raise InvalidInput(refusal.message, field=field) from None


_TERMS = frozenset(KnownTerms.__struct_fields__)
