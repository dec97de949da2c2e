"""Local days and months: their instants, whatever the clocks do that night."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partners.days import end_of_day, local_day, start_of_day
from partners.programme import months
from tests.partners.builders import a_directory

ZONES = [
    "Europe/Moscow",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "America/Havana",
    "Asia/Kathmandu",
    "Africa/Cairo",
]


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)]
)
def test_a_day_of_a_clock_change_is_shorter_or_longer(day: date, hours: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")

    assert end_of_day(day, berlin) - start_of_day(day, berlin) == timedelta(hours=hours)


def test_a_day_without_midnight_begins_when_the_clock_has_jumped() -> None:
    sao_paulo = ZoneInfo("America/Sao_Paulo")

    assert start_of_day(date(2017, 10, 15), sao_paulo) == datetime(2017, 10, 15, 3, tzinfo=UTC)


@given(st.integers(0, 2_500_000_000), st.sampled_from(ZONES))
def test_every_instant_is_within_its_own_local_day(seconds: int, name: str) -> None:
    zone, at = ZoneInfo(name), datetime.fromtimestamp(seconds, UTC)
    day = local_day(at, zone)

    assert start_of_day(day, zone) <= at < end_of_day(day, zone)


@pytest.mark.parametrize("name", ZONES)
def test_months_follow_each_other_without_a_gap(name: str) -> None:
    programme = a_directory(zone=name).programme

    spans = months(programme, upto=programme.opened_at, ahead=24)

    assert [ordinal for ordinal, _, _ in spans] == list(range(1, 26))
    assert all(before[2] == after[1] for before, after in pairwise(spans))
    assert spans[0][1] <= programme.opened_at < spans[0][2]
