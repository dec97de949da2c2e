"""The directory: what the operator writes, what memory holds, and that history stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from ledger.fence import load_calendar
from ledger.kernel.database import Database
from ledger.kernel.refusals import InvalidInput
from partners import (
    Directories,
    Directory,
    Funding,
    IssuanceWindow,
    Limits,
    OutletExists,
    PartnerUnknown,
    Programme,
    ProgrammeExists,
    ProgrammeMissing,
    RefundOrder,
    Terms,
    create_partner,
    create_programme,
    ensure_calendar,
    make_agreement,
    open_outlet,
    read_events,
    reinstate_outlet,
    reinstate_partner,
    store,
    suspend_outlet,
    suspend_partner,
)
from partners.terms import check
from tests.partners.conftest import BY, Coalition
from tests.servers import Urls

AT = datetime(2026, 1, 1, tzinfo=UTC)
ALL_TERMS = Terms(
    funding=Funding.AT_ISSUE,
    issue_price_micro=950_000,
    redemption_value_micro=927_500,
    fee_ppm=15_000,
    vat_ppm=200_000,
    earn_rate_ppm=30_000,
    burn_cap_ppm=500_000,
    burn_money_floor_micro=1,
    burn_limit_points=700,
    burn_step_points=10,
    excluded_categories=("ТАБАК", "ALCOHOL"),
    includes_gift_cards=True,
    includes_delivery=True,
    pending_days=7,
    lot_lifetime_days=180,
    hold_ttl_seconds=60,
    quote_ttl_seconds=120,
    refund_order=RefundOrder.PROPORTIONAL,
    issuance_limit_points=1_000_000,
    collateral_micro=5,
    breakage_share_ppm=500_000,
    late_window_days=3,
    settlement_currency="KZT",
    issuance_window=IssuanceWindow.MONTH,
    limits=Limits(earned_per_day_points=500, operations_per_minute=10, window_seconds=3_600),
    is_charity=True,
)


async def test_every_term_of_an_agreement_comes_back_as_agreed(database: Database) -> None:
    async with database.writer.begin() as connection:
        await _programme(connection)
        partner = await create_partner(connection, name="Café ☕️", at=AT, by=BY)
        await make_agreement(connection, partner.id, terms=ALL_TERMS, at=AT, by=BY)

    directory = await Directories(database).reload()
    agreement = directory.agreement_at(partner.id, AT)

    assert agreement is not None
    assert agreement.terms == ALL_TERMS
    assert agreement.excluded == {"табак", "alcohol"}
    assert directory.tariffs[agreement.tariff].redemption_value_micro == 927_500
    assert directory.partner(partner.id).name == "Café ☕️"


async def test_terms_change_at_their_instant_and_not_before(coalition: Coalition) -> None:
    partner, start = coalition.bakery.partner, AT + timedelta(days=10)
    async with coalition.database.writer.begin() as connection:
        new = await make_agreement(connection, partner, terms=ALL_TERMS, at=AT, by=BY, starts_at=start)

    directory = await coalition.directories.reload()

    assert directory.agreement_at(partner, start - timedelta(microseconds=1)) != new
    assert directory.agreement_at(partner, start) == new
    assert directory.agreement_at(partner, AT - timedelta(days=1)) is None


async def test_equal_prices_share_a_tariff_and_others_do_not(coalition: Coalition) -> None:
    partner = coalition.bakery.partner
    async with coalition.database.writer.begin() as connection:
        same = await make_agreement(connection, partner, terms=Terms(earn_rate_ppm=1), at=AT, by=BY)
        other = await make_agreement(connection, partner, terms=ALL_TERMS, at=AT, by=BY)

    first = coalition.directory.agreements_of(partner)[0]
    assert same.tariff == first.tariff
    assert other.tariff != first.tariff


async def test_later_terms_cannot_begin_in_the_past(coalition: Coalition) -> None:
    async with coalition.database.writer.begin() as connection:
        with pytest.raises(InvalidInput, match="past"):
            await make_agreement(
                connection,
                coalition.bakery.partner,
                terms=Terms(),
                at=AT,
                by=BY,
                starts_at=AT - timedelta(seconds=1),
            )


@pytest.mark.parametrize(
    "terms",
    [
        Terms(fee_ppm=1_000_001),
        Terms(fee_ppm=-1),
        Terms(funding=Funding.AT_ISSUE, issue_price_micro=1, redemption_value_micro=2),
        Terms(lot_lifetime_days=14, pending_days=14),
        Terms(settlement_currency="rub"),
        Terms(excluded_categories=("",)),
        Terms(burn_step_points=0),
    ],
)
def test_terms_out_of_bounds_are_refused_by_name(terms: Terms) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check(terms)

    assert refusal.value.field[0] in Terms.__struct_fields__


async def test_an_installation_has_one_programme(coalition: Coalition) -> None:
    async with coalition.database.writer.begin() as connection:
        with pytest.raises(ProgrammeExists):
            await _programme(connection)


async def test_nothing_is_agreed_before_the_programme(database: Database) -> None:
    async with database.writer.begin() as connection:
        partner = await create_partner(connection, name="B", at=AT, by=BY)
        with pytest.raises(ProgrammeMissing):
            await make_agreement(connection, partner.id, terms=Terms(), at=AT, by=BY)

    assert not (await Directories(database).reload()).has_programme


async def test_the_calendar_reaches_24_months_ahead_and_only_grows(database: Database) -> None:
    async with database.writer.begin() as connection:
        programme = await _programme(connection, opens_on=date(2025, 11, 20))
        await ensure_calendar(connection, programme, AT + timedelta(days=60))
        calendar = await load_calendar(connection)

    assert calendar is not None
    assert calendar.spans[0].starts_at == datetime(2025, 10, 31, 21, tzinfo=UTC)
    assert calendar.spans[-1].ends_at == datetime(2028, 3, 31, 21, tzinfo=UTC)
    assert [span.period for span in calendar.spans] == list(range(1, 30))


async def test_a_programme_needs_a_name_a_real_zone_and_a_currency(database: Database) -> None:
    good = {"name": "K", "currency": "RUB", "time_zone": "Europe/Moscow"}
    wrong = [("time_zone", "Mars/Olympus"), ("time_zone", "../etc"), ("currency", "рубль"), ("name", "")]

    async with database.writer.begin() as connection:
        for field, value in wrong:
            given: dict[str, Any] = {**good, field: value}
            with pytest.raises(InvalidInput) as refusal:
                await create_programme(connection, **given, at=AT, by=BY)
            assert refusal.value.field == (field,)


async def test_a_partner_is_suspended_and_reinstated_once(coalition: Coalition) -> None:
    partner = coalition.bakery.partner
    async with coalition.database.writer.begin() as connection:
        for _ in range(2):
            suspended = await suspend_partner(connection, partner, reason="audit", at=AT, by=BY)
    assert (await coalition.directories.reload()).partner(partner).is_suspended

    async with coalition.database.writer.begin() as connection:
        for _ in range(2):
            reinstated = await reinstate_partner(connection, partner, at=AT, by=BY)
        events = await read_events(connection, after=coalition.directory.version - 1)

    assert (suspended.is_suspended, reinstated.is_suspended) == (True, False)
    assert [event.kind for event in events] == ["partner.suspended", "partner.reinstated"]
    assert events[0].body == {"reason": "audit", "by": BY}


async def test_an_outlet_is_suspended_and_reinstated(coalition: Coalition) -> None:
    outlet = coalition.directory.outlet(coalition.bakery.partner, "17")
    assert outlet is not None

    async with coalition.database.writer.begin() as connection:
        suspended = await suspend_outlet(connection, outlet.id, at=AT, by=BY)
        reinstated = await reinstate_outlet(connection, outlet.id, at=AT, by=BY)

    assert suspended.is_suspended
    assert reinstated == outlet


async def test_an_outlet_code_is_unique_within_its_partner(coalition: Coalition) -> None:
    async with coalition.database.writer.begin() as connection:
        with pytest.raises(OutletExists):
            await open_outlet(connection, coalition.bakery.partner, code="17", name="x", at=AT, by=BY)

    assert len(coalition.directory.outlets) == 2


async def test_an_unknown_partner_is_refused(coalition: Coalition) -> None:
    async with coalition.database.writer.begin() as connection:
        with pytest.raises(PartnerUnknown):
            await suspend_partner(connection, 99, reason="x", at=AT, by=BY)
        with pytest.raises(PartnerUnknown):
            await make_agreement(connection, 99, terms=Terms(), at=AT, by=BY)
        with pytest.raises(PartnerUnknown):
            await open_outlet(connection, 99, code="1", name="x", at=AT, by=BY)


async def test_events_are_numbered_without_a_gap(coalition: Coalition) -> None:
    async with coalition.database.writer.connect() as connection:
        events = await read_events(connection, after=0)

    assert [event.height for event in events] == list(range(1, len(events) + 1))
    assert events[0].kind == "programme.created"
    assert coalition.directory.version == len(events)


async def test_another_process_sees_a_change_by_itself(coalition: Coalition) -> None:
    other = Directories(coalition.database, poll_seconds=0.05)
    await other.start()
    async with coalition.database.writer.begin() as connection:
        await suspend_partner(connection, coalition.bakery.partner, reason="audit", at=AT, by=BY)

    seen = await _eventually(
        other, lambda directory: directory.partner(coalition.bakery.partner).is_suspended
    )
    await other.stop()

    assert seen


async def test_a_lost_connection_does_not_stop_the_following(coalition: Coalition) -> None:
    other = Directories(coalition.database, poll_seconds=0.05)
    await other.start()
    async with coalition.database.writer.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
            )
        )
        await suspend_partner(connection, coalition.bakery.partner, reason="audit", at=AT, by=BY)
        await connection.commit()

    seen = await _eventually(
        other, lambda directory: directory.partner(coalition.bakery.partner).is_suspended
    )
    await other.stop()

    assert seen


async def test_a_directory_that_cannot_be_understood_does_not_stop_the_following(
    coalition: Coalition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a newer version, in which a word is not known here."""
    other = Directories(coalition.database, poll_seconds=0.05)
    await other.start()
    load, failures = store.load_directory, [ValueError("no such kind"), KeyError("nor this")]

    async def load_directory(connection: AsyncConnection) -> Directory:
        if failures:
            raise failures.pop()
        return await load(connection)

    monkeypatch.setattr(store, "load_directory", load_directory)
    async with coalition.database.writer.begin() as connection:
        await suspend_partner(connection, coalition.bakery.partner, reason="audit", at=AT, by=BY)

    seen = await _eventually(
        other, lambda directory: directory.partner(coalition.bakery.partner).is_suspended
    )
    await other.stop()

    assert seen


async def test_the_writer_cannot_change_what_was_agreed(coalition: Coalition) -> None:
    changes = ["DELETE FROM {}", "UPDATE {} SET partner = 1", "TRUNCATE {}"]

    for statement in (
        change.format(table) for change in changes for table in ("agreements", "tariffs", "events")
    ):
        async with coalition.database.writer.connect() as connection:
            with pytest.raises(DBAPIError):
                await connection.execute(text(statement))


async def test_not_even_the_owner_can_change_what_was_agreed(coalition: Coalition, urls: Urls) -> None:
    changes = ["DELETE FROM {}", "TRUNCATE {} CASCADE"]
    owner = create_async_engine(make_url(urls.owner).set(drivername="postgresql+asyncpg"), poolclass=NullPool)

    for table in ("agreements", "tariffs", "events"):
        for change in changes:
            async with owner.connect() as connection:
                with pytest.raises(DBAPIError, match="history is never changed"):
                    await connection.execute(text(change.format(table)))


async def _programme(connection: AsyncConnection, *, opens_on: date | None = None) -> Programme:
    return await create_programme(
        connection,
        name="Kopilka",
        currency="RUB",
        time_zone="Europe/Moscow",
        at=AT,
        by=BY,
        opens_on=opens_on,
    )


async def _eventually(directories: Directories, claim: Callable[[Directory], bool]) -> bool:
    for _ in range(100):
        if claim(directories.current):
            return True
        await asyncio.sleep(0.05)
    return False
