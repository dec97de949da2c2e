"""Grants: points that the operator pays for, shown to the member as given by a merchant or by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Grant, Ledger
from ledger.kernel.ids import OPERATOR
from ledger.kernel.refusals import InvalidInput

from . import store
from .answer import Answer, answer_of
from .days import end_of_day, local_day
from .digest import digest_of
from .directory import Directory, Programme, Tariff
from .events import record
from .holds import check_points
from .names import idempotency_key
from .notes import Note, check_reason, encode_note
from .terms import Funding
from .till import PARTNER_SUSPENDED


class GrantRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`points` for a member, shown as given by `partner` (`OPERATOR`: by the operator itself).

    They last `lifetime_days`, or as long as the programme's defaults say when that is None.
    """

    key: str
    member: int
    points: int
    reason: str
    partner: int = OPERATOR
    lifetime_days: int | None = None


async def grant_points(
    ledger: Ledger, directory: Directory, tariff: Tariff, request: GrantRequest, *, by: str, at: datetime
) -> Answer:
    """Give points at the operator's cost, under its `tariff`, available at once.

    Raises `PartnerUnknown`, `InvalidInput`, `Throttled`.
    """
    check_points(request.points)
    days = request.lifetime_days
    if days is not None and not 1 <= days <= 36_500:
        raise InvalidInput("points last 1 to 36,500 days", field=("lifetimeDays",))
    shown = None if request.partner == OPERATOR else directory.partner(request.partner)
    programme = directory.programme
    lifetime = timedelta(days=programme.defaults.lot_lifetime_days if days is None else days)
    command = Grant(
        principal=by,
        key=idempotency_key(request.key),
        digest=digest_of(
            "grant", request.member, request.points, request.partner, days, check_reason(request.reason)
        ),
        member=request.member,
        occurred_at=at,
        partner=request.partner,
        detail=encode_note(Note(by=by, reason=request.reason)),
        refused=PARTNER_SUSPENDED if shown is not None and shown.is_suspended else None,
        points=request.points,
        obligor=OPERATOR,
        tariff=tariff.id,
        expires_at=end_of_day(local_day(at, programme.zone) + lifetime, programme.zone),
    )
    return answer_of(await ledger.submit(command))


def known_tariff(directory: Directory) -> Tariff | None:
    """The operator's tariff of today's defaults, if it was ever needed before."""
    value = directory.programme.defaults.redemption_value_micro
    return next(
        (
            tariff
            for tariff in directory.tariffs.values()
            if tariff.obligor == OPERATOR
            and tariff.redemption_value_micro == value
            and tariff.currency == directory.programme.currency
        ),
        None,
    )


async def make_tariff(connection: AsyncConnection, programme: Programme, *, at: datetime, by: str) -> Tariff:
    """The operator's tariff, found or created: a point costs what it is redeemed for, all reserved."""
    value = programme.defaults.redemption_value_micro
    tariff = await store.tariff_of(
        connection,
        obligor=OPERATOR,
        funding=Funding.AT_ISSUE,
        issue_price_micro=value,
        redemption_value_micro=value,
        currency=programme.currency,
        breakage_share_ppm=0,
    )
    await record(connection, "tariff.made", at=at, body={"tariff": tariff.id, "by": by})
    return tariff
