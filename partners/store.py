"""The partners' SQL: one function per question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Row, func, insert, null, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from .directory import Agreement, Directory, Outlet, Partner, Programme, Tariff
from .limits import DatedLimits, Limits
from .tables import (
    agreements,
    events,
    events_head,
    outlets,
    partners,
    programme,
    programme_limits,
    requests,
    tariffs,
)
from .terms import Funding, Terms

_TERMS: Final = Terms.__struct_fields__
_DATED_LIMITS: Final = (programme_limits.c.id, programme_limits.c.starts_at, programme_limits.c.limits)
_PROGRAMME_LOCK: Final = 0x6B6F7072
_REQUEST_LOCK: Final = 0x6B6F7071


@dataclass(frozen=True, slots=True)
class Event:
    """A fact that is no journal, at its height in the one gapless log of such facts."""

    height: int
    recorded_at: datetime
    kind: str
    partner: int | None
    body: dict[str, Any]


async def load_directory(connection: AsyncConnection) -> Directory:
    """Everything the directory holds. The connection must be in a REPEATABLE READ transaction."""
    return Directory(
        version=await height(connection),
        programme=await find_programme(connection),
        partners=[_partner(row) for row in await connection.execute(select(partners))],
        outlets=[_outlet(row) for row in await connection.execute(select(outlets))],
        tariffs=[_tariff(row) for row in await connection.execute(select(tariffs))],
        agreements=[_agreement(row) for row in await connection.execute(select(agreements))],
        limits=[_dated_limits(row) for row in await connection.execute(select(*_DATED_LIMITS))],
    )


async def lock_programme(connection: AsyncConnection) -> None:
    """Let one transaction at a time ask whether the programme exists and create it."""
    await connection.execute(select(func.pg_advisory_xact_lock(_PROGRAMME_LOCK)))


async def find_programme(connection: AsyncConnection) -> Programme | None:
    """The programme, None before it was created."""
    row = (await connection.execute(select(programme))).one_or_none()
    if row is None:
        return None
    return Programme(
        name=row.name,
        currency=row.currency,
        zone=ZoneInfo(row.time_zone),
        cut_off=row.cut_off,
        point_value_micro=row.point_value_micro,
        defaults=msgspec.convert(row.defaults, Terms),
        opened_at=row.opened_at,
        notice_days=row.notice_days,
    )


async def add_programme(connection: AsyncConnection, made: Programme) -> None:
    """Store the programme."""
    await connection.execute(
        insert(programme).values(
            id=1,
            name=made.name,
            currency=made.currency,
            time_zone=made.time_zone,
            cut_off=made.cut_off,
            point_value_micro=made.point_value_micro,
            defaults=msgspec.to_builtins(made.defaults),
            opened_at=made.opened_at,
            notice_days=made.notice_days,
        )
    )


async def lock_partner(connection: AsyncConnection, partner: int) -> Partner | None:
    """A partner by id, whose row does not change before the transaction ends."""
    query = select(partners).where(partners.c.id == partner).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return _partner(row) if row else None


async def add_partner(connection: AsyncConnection, *, name: str, at: datetime) -> Partner:
    """Store a new partner under the next id."""
    query = insert(partners).values(name=name, created_at=at).returning(partners)
    return _partner((await connection.execute(query)).one())


async def suspend_partner(connection: AsyncConnection, partner: int, at: datetime | None) -> Partner:
    """Write since when a partner is suspended; None reinstates it."""
    query = update(partners).where(partners.c.id == partner).values(suspended_at=at).returning(partners)
    return _partner((await connection.execute(query)).one())


async def lock_outlet(connection: AsyncConnection, outlet: int) -> Outlet | None:
    """An outlet by id, whose row does not change before the transaction ends."""
    query = select(outlets).where(outlets.c.id == outlet).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return _outlet(row) if row else None


async def add_outlet(
    connection: AsyncConnection, *, partner: int, code: str, name: str, at: datetime
) -> Outlet | None:
    """Store a new outlet; None when the partner has one of that code already."""
    query = (
        upsert(outlets)
        .values(partner=partner, code=code, name=name, opened_at=at)
        .on_conflict_do_nothing(constraint="uq_outlets_partner_code")
        .returning(outlets)
    )
    row = (await connection.execute(query)).one_or_none()
    return _outlet(row) if row else None


async def suspend_outlet(connection: AsyncConnection, outlet: int, at: datetime | None) -> Outlet:
    """Write since when an outlet is suspended; None reinstates it."""
    query = update(outlets).where(outlets.c.id == outlet).values(suspended_at=at).returning(outlets)
    return _outlet((await connection.execute(query)).one())


async def tariff_of(
    connection: AsyncConnection,
    *,
    obligor: int,
    funding: Funding,
    issue_price_micro: int,
    redemption_value_micro: int,
    currency: str,
    breakage_share_ppm: int,
) -> Tariff:
    """The tariff of exactly these prices, found or created."""
    prices = {
        "obligor": obligor,
        "funding": funding.value,
        "issue_price_micro": issue_price_micro,
        "redemption_value_micro": redemption_value_micro,
        "currency": currency,
        "breakage_share_ppm": breakage_share_ppm,
    }
    await connection.execute(
        upsert(tariffs).values(**prices).on_conflict_do_nothing(constraint="uq_tariffs_prices")
    )
    same = [tariffs.c[column] == value for column, value in prices.items()]
    return _tariff((await connection.execute(select(tariffs).where(*same))).one())


async def has_agreement(connection: AsyncConnection, partner: int) -> bool:
    """True when the partner ever had terms. Relies on ix_agreements_partner_starts_at."""
    query = select(agreements.c.id).where(agreements.c.partner == partner).limit(1)
    return (await connection.execute(query)).one_or_none() is not None


async def add_agreement(
    connection: AsyncConnection,
    *,
    partner: int,
    tariff: int,
    terms: Terms,
    starts_at: datetime,
    at: datetime,
    by: str,
) -> Agreement:
    """Store a new version of a partner's terms."""
    row = {
        **{field: getattr(terms, field) for field in _TERMS},
        "funding": terms.funding.value,
        "refund_order": terms.refund_order.value,
        "excluded_categories": list(terms.excluded_categories),
        "issuance_window": terms.issuance_window.value,
        "limits": _limits_row(terms.limits),
        "partner": partner,
        "tariff": tariff,
        "starts_at": starts_at,
        "made_at": at,
        "made_by": by,
    }
    return _agreement((await connection.execute(insert(agreements).values(row).returning(agreements))).one())


async def add_limits(
    connection: AsyncConnection, limits: Limits | None, *, starts_at: datetime, at: datetime, by: str
) -> DatedLimits:
    """Store a new version of the limits over all partners."""
    row = {"starts_at": starts_at, "made_at": at, "made_by": by, "limits": _limits_row(limits)}
    query = insert(programme_limits).values(row).returning(*_DATED_LIMITS)
    return _dated_limits((await connection.execute(query)).one())


async def lock_request(connection: AsyncConnection, *, principal: str, key: str) -> None:
    """Let one transaction at a time answer a principal's key."""
    hashed = func.hashtextextended(f"{len(principal)}:{principal}{key}", _REQUEST_LOCK)
    await connection.execute(select(func.pg_advisory_xact_lock(hashed)))


async def find_request(
    connection: AsyncConnection, *, principal: str, key: str
) -> tuple[bytes, bytes] | None:
    """The digest and the answer stored for a principal's key."""
    query = select(requests.c.digest, requests.c.answer).where(
        requests.c.principal == principal, requests.c.key == key
    )
    row = (await connection.execute(query)).one_or_none()
    return (row.digest, row.answer) if row else None


async def add_request(
    connection: AsyncConnection, *, principal: str, key: str, digest: bytes, answer: bytes, at: datetime
) -> None:
    """Store the answer to a principal's key."""
    await connection.execute(
        insert(requests).values(principal=principal, key=key, digest=digest, answer=answer, recorded_at=at)
    )


async def add_event(
    connection: AsyncConnection, *, kind: str, partner: int | None, body: Mapping[str, Any], at: datetime
) -> int:
    """Append a fact at the next height, which no other transaction can take before this one ends."""
    grown = update(events_head).values(height=events_head.c.height + 1).returning(events_head.c.height)
    taken = (await connection.execute(grown)).scalar_one()
    await connection.execute(
        insert(events).values(height=taken, recorded_at=at, kind=kind, partner=partner, body=dict(body))
    )
    return int(taken)


async def events_after(connection: AsyncConnection, after: int, *, first: int) -> list[Event]:
    """At most `first` events above a height, in order."""
    query = select(events).where(events.c.height > after).order_by(events.c.height).limit(first)
    return [
        Event(row.height, row.recorded_at, row.kind, row.partner, row.body)
        for row in await connection.execute(query)
    ]


async def height(connection: AsyncConnection) -> int:
    """The height of the newest event."""
    return int((await connection.execute(select(events_head.c.height))).scalar_one())


def _partner(row: Row[Any]) -> Partner:
    return Partner(id=row.id, name=row.name, created_at=row.created_at, suspended_at=row.suspended_at)


def _outlet(row: Row[Any]) -> Outlet:
    return Outlet(
        id=row.id,
        partner=row.partner,
        code=row.code,
        name=row.name,
        opened_at=row.opened_at,
        suspended_at=row.suspended_at,
    )


def _tariff(row: Row[Any]) -> Tariff:
    return Tariff(
        id=row.id,
        obligor=row.obligor,
        funding=Funding(row.funding),
        issue_price_micro=row.issue_price_micro,
        redemption_value_micro=row.redemption_value_micro,
        currency=row.currency,
        breakage_share_ppm=row.breakage_share_ppm,
    )


def _agreement(row: Row[Any]) -> Agreement:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    terms = msgspec.convert({field: values[field] for field in _TERMS}, Terms)
    return Agreement(
        id=row.id,
        partner=row.partner,
        tariff=row.tariff,
        starts_at=row.starts_at,
        made_at=row.made_at,
        made_by=row.made_by,
        terms=terms,
        excluded=frozenset(category.casefold() for category in terms.excluded_categories),
    )


def _dated_limits(row: Row[Any, Any, Any]) -> DatedLimits:
    limits = None if row.limits is None else msgspec.convert(row.limits, Limits)
    return DatedLimits(id=row.id, starts_at=row.starts_at, limits=limits)


def _limits_row(limits: Limits | None) -> Any:
    """Limits as JSON, SQL's NULL for none."""
    return null() if limits is None else msgspec.to_builtins(limits)
