"""Prices: what a point costs its issuer, what it is worth at a redeemer, and what the operator takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from ledger.kernel.ids import OPERATOR
from partners.directory import Directory
from partners.terms import WHOLE, Funding


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Immutable prices pinned on a lot, in micro-units per point; the share is of 1."""

    id: int
    funding: Funding
    issue_price_micro: int
    redemption_value_micro: int
    breakage_share: Fraction

    def is_reserved(self, obligor: int) -> bool:
        """True when the operator already holds the redemption value of the obligor's points.

        The operator's own points always are: it reserves when it grants or takes over.
        """
        return obligor == OPERATOR or self.funding is Funding.AT_ISSUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a redeemer's agreement says of money: the operator's fee and the VAT on it, of 1."""

    id: int
    fee: Fraction
    vat: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Every tariff and every version of terms that a period's cells name, in one currency."""

    currency: str
    tariffs: Mapping[int, Tariff]
    terms: Mapping[int, Terms]

    def told(self, *, tariffs: Collection[int], terms: Collection[int]) -> dict[str, str]:
        """Those of these ids that there are, in words: as they are noted when a period is closed."""
        return {
            f"tariff {tariff.id}": f"{tariff.funding}, issue price {tariff.issue_price_micro} micro, "
            f"redemption value {tariff.redemption_value_micro} micro, {tariff.breakage_share} of breakage"
            for tariff in self.tariffs.values()
            if tariff.id in tariffs
        } | {
            f"terms {each.id}": f"fee {each.fee}, VAT {each.vat}"
            for each in self.terms.values()
            if each.id in terms
        }


def agreed(directory: Directory) -> Prices:
    """The prices of everything that partners ever agreed to. Both are immutable once they exist."""
    return Prices(
        currency=directory.programme.currency,
        tariffs={
            tariff.id: Tariff(
                id=tariff.id,
                funding=tariff.funding,
                issue_price_micro=tariff.issue_price_micro,
                redemption_value_micro=tariff.redemption_value_micro,
                breakage_share=Fraction(tariff.breakage_share_ppm, WHOLE),
            )
            for tariff in directory.tariffs.values()
        },
        terms={
            agreement.id: Terms(
                id=agreement.id,
                fee=Fraction(agreement.terms.fee_ppm, WHOLE),
                vat=Fraction(agreement.terms.vat_ppm, WHOLE),
            )
            for agreement in directory.agreements.values()
        },
    )
