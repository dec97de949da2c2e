"""Lots of another programme in the terms of this one: who gave them, at which prices, until when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Open, OpeningLot
from ledger.kernel.ids import OPERATOR
from ledger.kernel.refusals import InvalidInput, Refusal
from ledger.kernel.values import MAX_POINTS
from partners import store
from partners.days import end_of_day, start_of_day
from partners.digest import digest_of
from partners.directory import Directory, PartnerUnknown
from partners.terms import Funding

from .given import MAX_LOTS, GivenLot

_YEARS: Final = range(1970, 2200)
_OPERATOR_NAME: Final = "operator"


class AgreementMissing(Refusal):
    """Who is to answer for a lot has no agreement now, so it has no prices."""

    code = "AGREEMENT_MISSING"

    def __init__(self) -> None:
        super().__init__("this partner has no agreement in force")


class Issuers:
    """Partners as files name them: by number, by name where only one has it, or as `also` knows them."""

    def __init__(
        self,
        directory: Directory,
        *,
        also: Mapping[str, int] | None = None,
        operator_tariffs: Mapping[int, int] | None = None,
    ) -> None:
        """`operator_tariffs` are those of the operator's own points, by issuer."""
        self.directory = directory
        self._operator_tariffs = operator_tariffs or {}
        self._named: dict[str, int | None] = {}
        for partner in directory.partners.values():
            self._named[partner.name] = None if partner.name in self._named else partner.id
        self._named |= {str(number): number for number in directory.partners}
        self._named |= also or {}

    def find(self, name: str) -> int:
        """The partner of that name. Raises `PartnerUnknown`."""
        found = self._named.get(name)
        if found is None:
            raise PartnerUnknown
        return found

    def tariff(self, obligor: int, issuer: int, at: datetime) -> int:
        """The prices of the obligor's points at `at`. Raises `AgreementMissing`."""
        if obligor == OPERATOR:
            if issuer not in self._operator_tariffs:
                raise AgreementMissing
            return self._operator_tariffs[issuer]
        agreement = self.directory.agreement_at(obligor, at)
        if agreement is None:
            raise AgreementMissing
        return agreement.tariff


async def issuers_at(
    connection: AsyncConnection, directory: Directory, at: datetime, *, also: Mapping[str, int] | None = None
) -> Issuers:
    """The issuers of now. Points that the operator answers for are worth what their issuer's are."""
    tariffs = {}
    for partner in directory.partners:
        agreement = directory.agreement_at(partner, at)
        if agreement is not None:
            value = agreement.terms.redemption_value_micro
            made = await store.tariff_of(
                connection,
                obligor=OPERATOR,
                funding=Funding.AT_ISSUE,
                issue_price_micro=value,
                redemption_value_micro=value,
                currency=directory.programme.currency,
                breakage_share_ppm=0,
            )
            tariffs[partner] = made.id
    return Issuers(directory, also=also, operator_tariffs=tariffs)


def read_lots(given: Sequence[GivenLot], issuers: Issuers, *, at: datetime) -> tuple[OpeningLot, ...]:
    """The lots, priced at `at`. Raises a `Refusal` with the path of the first that makes no sense."""
    if len(given) > MAX_LOTS:
        raise InvalidInput(f"a member has at most {MAX_LOTS} lots", field=("lots",))
    return tuple(_read_lot(number, lot, issuers, at) for number, lot in enumerate(given))


def opening(source: str, member: int, lots: tuple[OpeningLot, ...], *, at: datetime) -> Open:
    """The command that opens a member's balance: once for each programme they come from.

    The digest covers what the file says, not the prices that it means today.
    """
    said = [
        (lot.issuer, lot.obligor, lot.points, lot.earned_at, lot.expires_at, lot.available_at) for lot in lots
    ]
    return Open(
        principal=f"opening:{source}",
        key=str(member),
        digest=digest_of("opening", said),
        member=member,
        occurred_at=at,
        partner=OPERATOR,
        lots=lots,
    )


def _read_lot(number: int, given: GivenLot, issuers: Issuers, at: datetime) -> OpeningLot:
    zone = issuers.directory.programme.zone
    with _at(number, "issuer"):
        issuer = issuers.find(given.issuer)
    with _at(number, "obligor"):
        obligor = _obligor(given.obligor, issuer, issuers)
        tariff = issuers.tariff(obligor, issuer, at)
    with _at(number, "points"):
        _check(0 < given.points <= MAX_POINTS, f"points must be more than 0 and at most {MAX_POINTS}")
    with _at(number, "earned"):
        earned_at = _instant(given.earned, zone, last=False)
        _check(earned_at <= at, "points cannot be earned in the future")
    with _at(number, "expires"):
        expires_at = _instant(given.expires, zone, last=True)
        _check(expires_at > at, "these points have expired")
    with _at(number, "state"):
        state = given.state or ("available" if given.available is None else "pending")
        _check(state in ("available", "pending"), "a lot is available or pending")
    with _at(number, "available"):
        available_at = None if state == "available" else _available_at(given, zone, expires_at)
    return OpeningLot(
        points=given.points,
        issuer=issuer,
        obligor=obligor,
        tariff=tariff,
        earned_at=earned_at,
        expires_at=expires_at,
        available_at=available_at,
    )


@contextmanager
def _at(number: int, column: str) -> Iterator[None]:
    """Say of a refusal which lot it is about, and which of its values."""
    try:
        yield
    except Refusal as refusal:
        refusal.field = ("lots", str(number), column)
        raise


def _check(is_so: bool, complaint: str) -> None:
    if not is_so:
        raise InvalidInput(complaint)


def _obligor(name: str | None, issuer: int, issuers: Issuers) -> int:
    if name is None:
        return issuer
    return OPERATOR if name == _OPERATOR_NAME else issuers.find(name)


def _available_at(given: GivenLot, zone: ZoneInfo, expires_at: datetime) -> datetime:
    if given.available is None:
        raise InvalidInput("a pending lot says when it is available")
    available_at = _instant(given.available, zone, last=False)
    _check(available_at < expires_at, "these points would expire before they are available")
    return available_at


def _instant(text: str, zone: ZoneInfo, *, last: bool) -> datetime:
    """The instant that `text` means: as it is, or where that day begins or (`last`) ends."""
    try:
        if len(text) == 10:
            day = date.fromisoformat(text)
            if day.year in _YEARS:
                return end_of_day(day, zone) if last else start_of_day(day, zone)
        else:
            at = datetime.fromisoformat(text)
            if at.tzinfo is not None and at.year in _YEARS:
                return at.astimezone(UTC)
    except ValueError:
        pass
    raise InvalidInput("not a date such as 2026-01-31, nor an instant with its offset")
