"""Creating the programme: one per installation, with the calendar that its months make."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import fence
from ledger.kernel.refusals import InvalidInput, Refusal

from . import store
from .days import next_month, start_of_day, start_of_month
from .directory import Programme, ProgrammeMissing
from .events import record
from .limits import DatedLimits, Limits, check_limits
from .names import name as checked_name
from .terms import WHOLE, Terms, check, check_currency

MONTHLY: Final = "monthly"
"""The one cut-off calendar: a period is a local month."""

MONTHS_AHEAD: Final = 24

MOST_NOTICE_DAYS: Final = 366


class ProgrammeExists(Refusal):
    """An installation carries one programme."""

    code = "PROGRAMME_EXISTS"

    def __init__(self) -> None:
        super().__init__("this installation already has its programme")


async def create_programme(
    connection: AsyncConnection,
    *,
    name: str,
    currency: str,
    time_zone: str,
    at: datetime,
    by: str,
    defaults: Terms | None = None,
    point_value_micro: int = WHOLE,
    opens_on: date | None = None,
    notice_days: int | None = None,
) -> Programme:
    """Create the installation's programme and its calendar, 24 months ahead.

    Period 1 is the local month of `opens_on`, or of `at` when that is None. With `notice_days`
    points expire only once their member was told, and not sooner than that many days after. Raises
    `ProgrammeExists`, and `InvalidInput` naming the term.
    """
    await store.lock_programme(connection)
    if await store.find_programme(connection) is not None:
        raise ProgrammeExists
    zone = zone_of(time_zone)
    if not 0 < point_value_micro <= 10**12:
        raise InvalidInput("a point must be worth something", field=("point_value_micro",))
    if notice_days is not None and not 1 <= notice_days <= MOST_NOTICE_DAYS:
        raise InvalidInput(f"notice is 1 to {MOST_NOTICE_DAYS} days", field=("notice_days",))
    currency = check_currency(currency, field="currency")
    programme = Programme(
        name=checked_name(name, field="name"),
        currency=currency,
        zone=zone,
        cut_off=MONTHLY,
        point_value_micro=point_value_micro,
        defaults=check(defaults or Terms(settlement_currency=currency)),
        opened_at=datetime.combine(opens_on, time.min, tzinfo=zone).astimezone(UTC) if opens_on else at,
        notice_days=notice_days,
    )
    await store.add_programme(connection, programme)
    await ensure_calendar(connection, programme, upto=max(at, programme.opened_at))
    await record(connection, "programme.created", at=at, body={"name": name, "currency": currency, "by": by})
    return programme


async def limit_programme(
    connection: AsyncConnection,
    limits: Limits | None,
    *,
    at: datetime,
    by: str,
    starts_at: datetime | None = None,
) -> DatedLimits:
    """Set what each member may do over all partners, from `starts_at` (now, when that is None).

    None, or limits of which none is set, lifts them. Raises `ProgrammeMissing` and `InvalidInput`.
    """
    await store.lock_programme(connection)
    if await store.find_programme(connection) is None:
        raise ProgrammeMissing
    starts_at = starts_at or at
    if starts_at < at:
        raise InvalidInput("limits cannot begin in the past", field=("starts_at",))
    made = await store.add_limits(connection, check_limits(limits), starts_at=starts_at, at=at, by=by)
    body = {"limits": made.id, "starts_at": starts_at.isoformat(), "by": by}
    await record(connection, "programme.limited", at=at, body=body)
    return made


async def ensure_calendar(connection: AsyncConnection, programme: Programme, upto: datetime) -> None:
    """Extend the ledger's calendar to 24 months beyond `upto`; periods already there stay."""
    spans = months(programme, upto=upto, ahead=MONTHS_AHEAD)
    await fence.extend(connection, spans, programme.time_zone, programme.notice_days)


def months(programme: Programme, *, upto: datetime, ahead: int) -> list[tuple[int, datetime, datetime]]:
    """The periods (ordinal from 1, start, end) from the opening to `ahead` months after `upto`'s."""
    spans: list[tuple[int, datetime, datetime]] = []
    first, last = (start_of_month(at, programme.zone) for at in (programme.opened_at, upto))
    for _ in range(ahead):
        last = next_month(last)
    while first <= last:
        after = next_month(first)
        starts_at, ends_at = start_of_day(first, programme.zone), start_of_day(after, programme.zone)
        spans.append((len(spans) + 1, starts_at, ends_at))
        first = after
    return spans


def zone_of(time_zone: str) -> ZoneInfo:
    """The IANA time zone of that name; raises `InvalidInput` if there is none."""
    try:
        return ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput("not an IANA time zone", field=("time_zone",)) from None
