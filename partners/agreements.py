"""Agreements: dated versions of a partner's terms, each with the tariff that its points are earned under."""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.kernel.refusals import InvalidInput

from . import store
from .directory import Agreement, PartnerUnknown, ProgrammeMissing
from .events import record
from .limits import check_limits
from .terms import Terms, check


async def make_agreement(
    connection: AsyncConnection,
    partner: int,
    *,
    terms: Terms,
    at: datetime,
    by: str,
    starts_at: datetime | None = None,
) -> Agreement:
    """Agree new terms with a partner, in force from `starts_at` (now, when that is None).

    Only a partner's first terms may begin in the past: later ones would change what has
    already been decided. Raises `PartnerUnknown`, `ProgrammeMissing`, and `InvalidInput`
    naming the term.
    """
    programme = await store.find_programme(connection)
    if programme is None:
        raise ProgrammeMissing
    if await store.lock_partner(connection, partner) is None:
        raise PartnerUnknown
    check(terms)
    terms = msgspec.structs.replace(terms, limits=check_limits(terms.limits))
    starts_at = starts_at or at
    if starts_at < at and await store.has_agreement(connection, partner):
        raise InvalidInput("new terms cannot begin in the past", field=("starts_at",))
    tariff = await store.tariff_of(
        connection,
        obligor=partner,
        funding=terms.funding,
        issue_price_micro=terms.issue_price_micro,
        redemption_value_micro=terms.redemption_value_micro,
        currency=programme.currency,
        breakage_share_ppm=terms.breakage_share_ppm,
    )
    made = await store.add_agreement(
        connection, partner=partner, tariff=tariff.id, terms=terms, starts_at=starts_at, at=at, by=by
    )
    body = {"agreement": made.id, "tariff": tariff.id, "starts_at": starts_at.isoformat(), "by": by}
    await record(connection, "agreement.made", partner=partner, at=at, body=body)
    return made
