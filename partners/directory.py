"""Who may earn and burn, where and on what terms: one immutable picture of it, held in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from zoneinfo import ZoneInfo

import msgspec

from ledger.kernel.refusals import Refusal

from .limits import DatedLimits, Limits
from .terms import Funding, Terms


class ProgrammeMissing(Refusal):
    """Nothing can be done before the operator has created the programme."""

    code = "PROGRAMME_MISSING"

    def __init__(self) -> None:
        super().__init__("the programme has not been created yet")


class PartnerUnknown(Refusal):
    """No partner has this id."""

    code = "PARTNER_UNKNOWN"

    def __init__(self) -> None:
        super().__init__("no such partner", field=("partner",))


class OutletUnknown(Refusal):
    """The partner has no such outlet, or the client may not act for it."""

    code = "OUTLET_UNKNOWN"

    def __init__(self, message: str = "this partner has no such outlet") -> None:
        super().__init__(message, field=("outlet",))


class Programme(msgspec.Struct, frozen=True, kw_only=True):
    """What all partners share. A point takes `point_value_micro` off the price it pays for.

    `notice_days` before points expire their member is told; None where nobody is.
    """

    name: str
    currency: str
    zone: ZoneInfo
    cut_off: str
    point_value_micro: int
    defaults: Terms
    opened_at: datetime
    notice_days: int | None = None

    @property
    def time_zone(self) -> str:
        """The IANA name of the zone in which days and months are counted."""
        return self.zone.key


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant of the coalition. Suspended, it neither gives nor takes points."""

    id: int
    name: str
    created_at: datetime
    suspended_at: datetime | None = None

    @property
    def is_suspended(self) -> bool:
        """True while the operator keeps the partner from trading."""
        return self.suspended_at is not None


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """A shop or site of a partner, under the code that the partner's tills send."""

    id: int
    partner: int
    code: str
    name: str
    opened_at: datetime
    suspended_at: datetime | None = None

    @property
    def is_suspended(self) -> bool:
        """True while receipts from this outlet are not taken."""
        return self.suspended_at is not None


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """Immutable prices, pinned on every lot earned under them. Micro-units of `currency` per point."""

    id: int
    obligor: int
    funding: Funding
    issue_price_micro: int
    redemption_value_micro: int
    currency: str
    breakage_share_ppm: int


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a partner's terms, in force from `starts_at` until the next one starts.

    Its id is the terms id of every operation under it. `excluded` are the categories that
    neither earn nor are paid with points, case-folded.
    """

    id: int
    partner: int
    tariff: int
    starts_at: datetime
    made_at: datetime
    made_by: str
    terms: Terms
    excluded: frozenset[str] = frozenset()


_starts_at = attrgetter("starts_at")


class Directory:
    """Everything above, looked up in memory. `version` grows with every change of any of it."""

    def __init__(
        self,
        *,
        version: int,
        programme: Programme | None,
        partners: Iterable[Partner] = (),
        outlets: Iterable[Outlet] = (),
        tariffs: Iterable[Tariff] = (),
        agreements: Iterable[Agreement] = (),
        limits: Iterable[DatedLimits] = (),
    ) -> None:
        self.version = version
        self.partners = {partner.id: partner for partner in partners}
        self.outlets = {outlet.id: outlet for outlet in outlets}
        self.tariffs = {tariff.id: tariff for tariff in tariffs}
        self.agreements = {agreement.id: agreement for agreement in agreements}
        self.limits = tuple(sorted(limits, key=lambda each: (each.starts_at, each.id)))
        self._programme = programme
        self._by_code = {(outlet.partner, outlet.code): outlet for outlet in self.outlets.values()}
        self._dated: dict[int, tuple[Agreement, ...]] = {}
        for agreement in sorted(self.agreements.values(), key=lambda each: (each.starts_at, each.id)):
            self._dated[agreement.partner] = (*self._dated.get(agreement.partner, ()), agreement)

    @property
    def has_programme(self) -> bool:
        """True once the operator has created the programme."""
        return self._programme is not None

    @property
    def programme(self) -> Programme:
        """The programme; raises `ProgrammeMissing` before there is one."""
        if self._programme is None:
            raise ProgrammeMissing
        return self._programme

    def partner(self, partner: int) -> Partner:
        """The partner of that id; raises `PartnerUnknown`."""
        found = self.partners.get(partner)
        if found is None:
            raise PartnerUnknown
        return found

    def outlet(self, partner: int, code: str) -> Outlet | None:
        """The partner's outlet of that code."""
        return self._by_code.get((partner, code))

    def outlets_of(self, partner: int) -> list[Outlet]:
        """A partner's outlets in the order of their ids."""
        return sorted((o for o in self.outlets.values() if o.partner == partner), key=attrgetter("id"))

    def agreement_at(self, partner: int, at: datetime) -> Agreement | None:
        """The terms in force for `partner` at an instant; the later made of two that start together."""
        dated = self._dated.get(partner, ())
        found = bisect_right(dated, at, key=_starts_at)
        return dated[found - 1] if found else None

    def terms(self, agreement: int) -> Terms:
        """The terms of the agreement of that id; the programme's defaults when there is none."""
        found = self.agreements.get(agreement)
        return found.terms if found else self.programme.defaults

    def limits_at(self, at: datetime) -> Limits | None:
        """The limits over all partners at an instant, None when none are set."""
        if not self.limits:
            return None
        found = bisect_right(self.limits, at, key=_starts_at)
        return self.limits[found - 1].limits if found else None

    def agreements_of(self, partner: int) -> tuple[Agreement, ...]:
        """All versions of a partner's terms, earliest start first."""
        return self._dated.get(partner, ())
