"""Limits: how much a member may earn, burn and do, at one partner or in the whole programme.

The terms turn into counters that a command carries and its bucket decides. A limit that is not
set costs nothing: no counter is carried for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from ledger import windows
from ledger.commands import Counter
from ledger.kernel.refusals import InvalidInput

_MINUTE: Final = windows.rolling(60)
_LONGEST: Final = 366 * 86_400


class IssuanceWindow(StrEnum):
    """The time in which an issuance limit counts; the calendar's in the programme's zone."""

    DAY = windows.DAY
    WEEK = windows.WEEK
    MONTH = windows.MONTH
    YEAR = windows.YEAR
    EVER = windows.EVER


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The most that one member may do; None sets no limit.

    Days are local days of the programme; `window_seconds` is the length of the rolling window of
    both `…_in_window_points`. What counts is when a thing is recorded, and what was held and given
    back counts all the same.
    """

    earned_per_receipt_points: int | None = None
    earned_per_day_points: int | None = None
    earned_in_window_points: int | None = None
    burned_per_receipt_points: int | None = None
    burned_per_day_points: int | None = None
    burned_in_window_points: int | None = None
    operations_per_minute: int | None = None
    window_seconds: int = 30 * 86_400


def check_limits(limits: Limits | None) -> Limits | None:
    """`limits` themselves, None when none of them is set; raises `InvalidInput` naming the wrong one."""
    if limits is None or limits == Limits(window_seconds=limits.window_seconds):
        return None
    for field in Limits.__struct_fields__:
        value = getattr(limits, field)
        if value is not None and not 0 <= value <= 2**53:
            raise InvalidInput("must be between 0 and 2^53", field=("limits", field))
    if not 1 <= limits.window_seconds <= _LONGEST:
        raise InvalidInput("must be between a second and 366 days", field=("limits", "window_seconds"))
    return limits


def earning(limits: Limits, scope: str, points: int) -> Iterator[Counter]:
    """The counters of an earn under `limits`; `scope` says whose limits they are."""
    rolling = windows.rolling(limits.window_seconds)
    yield from _counter(scope, "earned_per_receipt", windows.ONCE, points, limits.earned_per_receipt_points)
    yield from _counter(scope, "earned_per_day", windows.DAY, points, limits.earned_per_day_points)
    yield from _counter(scope, "earned_in_window", rolling, points, limits.earned_in_window_points)
    yield from acting(limits, scope)


def burning(limits: Limits, scope: str, points: int) -> Iterator[Counter]:
    """The counters of a burn or a hold under `limits`."""
    rolling = windows.rolling(limits.window_seconds)
    yield from _counter(scope, "burned_per_receipt", windows.ONCE, points, limits.burned_per_receipt_points)
    yield from _counter(scope, "burned_per_day", windows.DAY, points, limits.burned_per_day_points)
    yield from _counter(scope, "burned_in_window", rolling, points, limits.burned_in_window_points)
    yield from acting(limits, scope)


def acting(limits: Limits, scope: str) -> Iterator[Counter]:
    """The counter of anything that a member does at a till."""
    yield from _counter(scope, "operations_per_minute", _MINUTE, 1, limits.operations_per_minute)


def issuing(partner: int, points: int, limit: int, window: IssuanceWindow) -> Counter:
    """The counter that all members share: what a partner may give altogether."""
    return Counter(
        name=issued_by(partner),
        window=window.value,
        increment=points,
        ceiling=limit,
        is_shared=True,
    )


def issued_by(partner: int) -> str:
    """The name of that counter."""
    return f"{scope_of(partner)}/issued"


def scope_of(partner: int) -> str:
    """How the names of a partner's limits begin; those of the programme begin with `PROGRAMME`."""
    return f"partner:{partner}"


PROGRAMME: Final = "programme"


class DatedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the limits over all partners, in force from `starts_at` until the next one starts."""

    id: int
    starts_at: datetime
    limits: Limits | None


def _counter(scope: str, name: str, window: str, increment: int, ceiling: int | None) -> Iterator[Counter]:
    if ceiling is not None:
        yield Counter(name=f"{scope}/{name}", window=window, increment=increment, ceiling=ceiling)
