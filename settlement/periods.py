"""Periods: how far each one is on its way from open to settled, and what it came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import fence
from ledger.fence import Span
from ledger.kernel.refusals import Refusal
from partners.events import record

from . import store
from .netting import Mode
from .sheet import Sheet


class Stage(StrEnum):
    """The stages of a period, in order. A period is never led back."""

    OPEN = "OPEN"
    CUT_OFF = "CUT_OFF"
    FROZEN = "FROZEN"
    RECONCILING = "RECONCILING"
    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    INSTRUCTED = "INSTRUCTED"
    PARTIALLY_PAID = "PARTIALLY_PAID"
    SETTLED = "SETTLED"

    def is_before(self, other: Stage) -> bool:
        """True when a period passes this stage first."""
        order = list(Stage)
        return order.index(self) < order.index(other)


class PeriodUnknown(Refusal):
    """The calendar has no such period."""

    code = "PERIOD_UNKNOWN"

    def __init__(self, period: int) -> None:
        super().__init__(f"there is no period {period}", field=("period",))


class SheetUnreadable(Refusal):
    """A sheet was changed by hand into what cannot be shown; the proof names it."""

    code = "SHEET_UNREADABLE"

    def __init__(self, period: int, mode: str) -> None:
        super().__init__(f"the sheet of period {period} says that it is netted {mode!r}, as none is")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """When and by whom a period was brought to a stage; `hash` is that of its frozen cells."""

    stage: Stage
    at: datetime
    by: str
    hash: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A period [starts_at, ends_at), the stages it has reached, and its sheet once it is proposed."""

    ordinal: int
    starts_at: datetime
    ends_at: datetime
    history: tuple[Reached, ...]
    sheet: Sheet | None

    @property
    def stage(self) -> Stage:
        """Where it stands."""
        return self.history[-1].stage if self.history else Stage.OPEN

    @property
    def hash(self) -> bytes | None:
        """SHA-256 of its cells and stock, None before they are frozen."""
        return next((reached.hash for reached in self.history if reached.hash), None)


async def periods(
    connection: AsyncConnection, *, at: datetime, after: int = 0, most: int | None = None
) -> list[Period]:
    """At most `most` periods after the ordinal `after` that have begun by `at`, in order.

    Raises `SheetUnreadable`.
    """
    calendar = await fence.load_calendar(connection)
    begun = [span for span in calendar.spans if span.starts_at <= at] if calendar else []
    spans = [span for span in begun if span.period > after][:most]
    shown = [span.period for span in spans]
    stages, sheets = await store.stages(connection, shown), await store.sheets(connection, shown)
    return [_period(span, _reached(stages.get(span.period, ())), sheets.get(span.period)) for span in spans]


async def period(connection: AsyncConnection, ordinal: int) -> Period:
    """One period; raises `PeriodUnknown`, `SheetUnreadable`."""
    calendar = await fence.load_calendar(connection)
    span = calendar.span(ordinal) if calendar else None
    if span is None:
        raise PeriodUnknown(ordinal)
    sheets = await store.sheets(connection, [ordinal])
    return _period(span, await history(connection, ordinal), sheets.get(ordinal))


async def history(connection: AsyncConnection, ordinal: int) -> tuple[Reached, ...]:
    """The stages that a period has reached, in order."""
    return _reached((await store.stages(connection, [ordinal])).get(ordinal, ()))


async def stage_of(connection: AsyncConnection, ordinal: int) -> Stage:
    """Where a period stands; one that nobody has touched is open."""
    passed = await history(connection, ordinal)
    return passed[-1].stage if passed else Stage.OPEN


async def reach(
    connection: AsyncConnection,
    ordinal: int,
    stage: Stage,
    *,
    at: datetime,
    by: str,
    hash_: bytes | None = None,
) -> None:
    """Write that a period is now at `stage`. The caller has locked it and seen the stage before.

    Of two that close at once, who was asked first may come last: no stage is reached before the last
    one was. The last statements of their transaction: the log of facts stays locked until that ends.
    """
    at = max([at, *(passed.at for passed in await history(connection, ordinal))])
    await store.add_stage(connection, ordinal, stage=stage.value, at=at, by=by, hash_=hash_)
    await record(connection, "period.stage", at=at, body={"period": ordinal, "stage": stage.value, "by": by})


_MODES: Final = frozenset[str](Mode)


def _period(span: Span, history: tuple[Reached, ...], sheet: Sheet | None) -> Period:
    if sheet is not None and sheet.mode not in _MODES:
        raise SheetUnreadable(span.period, sheet.mode)
    return Period(
        ordinal=span.period,
        starts_at=span.starts_at,
        ends_at=span.ends_at,
        history=history,
        sheet=sheet,
    )


def _reached(rows: Iterable[store.StageRow]) -> tuple[Reached, ...]:
    return tuple(
        Reached(stage=Stage(row.stage), at=row.reached_at, by=row.reached_by, hash=row.hash) for row in rows
    )
