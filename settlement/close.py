"""Closing a period: from its end to a proposal of what each partner pays, a stage a transaction.

Every stage can be killed anywhere and run again: what it did is either committed with the stage
it reached, or repeats under a key that the ledger knows. The cost depends on the cells that a
period filled, never on how many operations did: no line and no lot is read here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Flow, Ledger, Stock, fence, flows, stock
from ledger.fence import Span
from ledger.kernel.database import Database
from ledger.kernel.refusals import Refusal
from partners import Directories, ensure_calendar

from . import periods, store
from .cells import Cell, Holding, digest
from .closing_note import ClosingNote
from .journals import keep_note, post_money
from .papers import draw
from .periods import Period, PeriodUnknown, Stage, reach
from .prices import agreed
from .statements import EDITION
from .store import StageRow


class PeriodNotEnded(Refusal):
    """A period is closed when it is over, not before."""

    code = "PERIOD_NOT_ENDED"
    retryable = True

    def __init__(self, span: Span) -> None:
        super().__init__(f"period {span.period} ends at {span.ends_at.isoformat()}", field=("period",))


class EarlierPeriodOpen(Refusal):
    """Periods are closed in order, since each one opens with what the last one left."""

    code = "EARLIER_PERIOD_OPEN"
    retryable = True

    def __init__(self, period: int) -> None:
        super().__init__(f"period {period} is to be closed first", field=("period",))


class BucketsBehind(Refusal):
    """A bucket has not left the period, so facts could still be added to it; or it is read-only.

    What is in a read-only bucket is in doubt, and what a period was cut off with is never put right.
    """

    code = "BUCKETS_BEHIND"
    retryable = True

    def __init__(self, period: int, *, behind: Collection[int], read_only: Collection[int]) -> None:
        why = dict.fromkeys(behind, "has not left it")
        why |= dict.fromkeys(read_only, "is read-only until its findings are answered for")
        told = [f"bucket {bucket} {why[bucket]}" for bucket in sorted(why)]
        more = f", and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        super().__init__(
            f"period {period} cannot be cut off: {', '.join(told[:_NAMED])}{more}", field=("period",)
        )


_NAMED: Final = 5
"""Buckets that a refusal names."""


async def advance(database: Database, ledger: Ledger, period: int, *, at: datetime, by: str) -> Period:
    """Bring a period that has ended to PROPOSED, from wherever it stands, and tell what it came to.

    Done already, it changes nothing. Two at once do the work once. Raises `PeriodUnknown`,
    `PeriodNotEnded`, `EarlierPeriodOpen`, `BucketsBehind`, `TreasuryReadOnly`.
    """
    async with database.writer.connect() as connection:
        span = await _closable(connection, period, at)
    work = _Work(database=database, ledger=ledger, span=span, at=at, by=by)
    for stage, step in _STEPS.items():
        if await work.stage() is stage:
            await step(work)
    await ledger.reload_calendar()
    async with database.writer.connect() as connection:
        return await periods.period(connection, period)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One call's period, and what it works with."""

    database: Database
    ledger: Ledger
    span: Span
    at: datetime
    by: str

    async def stage(self) -> Stage:
        """Where the period stands now."""
        async with self.database.writer.connect() as connection:
            return await periods.stage_of(connection, self.span.period)

    @asynccontextmanager
    async def moving(self, stage: Stage) -> AsyncIterator[AsyncConnection | None]:
        """A transaction in which nobody else moves the period; None if it has left `stage`."""
        async with self.database.writer.begin() as connection:
            await store.lock_period(connection, self.span.period)
            is_there = await periods.stage_of(connection, self.span.period) is stage
            yield connection if is_there else None

    async def reach(self, connection: AsyncConnection, stage: Stage, hash_: bytes | None = None) -> None:
        """Say that the period is at `stage`; last in the transaction."""
        await reach(connection, self.span.period, stage, at=self.at, by=self.by, hash_=hash_)


async def _cut_off(work: _Work) -> None:
    """OPEN → CUT_OFF: every bucket has left the period and none is in doubt, so nothing can change in it."""
    period = work.span.period
    await work.ledger.pass_fences(period)
    async with work.moving(Stage.OPEN) as connection:
        if connection is None:
            return
        behind, read_only = await fence.behind(connection, period), await fence.read_only(connection)
        if behind or read_only:
            raise BucketsBehind(period, behind=behind, read_only=read_only)
        await work.reach(connection, Stage.CUT_OFF)


async def _freeze(work: _Work) -> None:
    """CUT_OFF → FROZEN: flows and stock, summed over the buckets, are kept under one hash."""
    period = work.span.period
    async with work.moving(Stage.CUT_OFF) as connection:
        if connection is None:
            return
        cells = [_cell(flow) for flow in await flows.of_period(connection, period)]
        holdings = [_holding(row) for row in await stock.at_fence(connection, period) if row.points]
        await store.add_cells(connection, period, cells)
        await store.add_holdings(connection, period, holdings)
        await work.reach(connection, Stage.FROZEN, digest(period, cells, holdings))


async def _post(work: _Work) -> None:
    """FROZEN → RECONCILING: the money of the cells is in the ledger, under the period's key."""
    directory = await Directories(work.database).reload()
    async with work.database.writer.connect() as connection:
        closing = await store.closing(connection, work.span, agreed(directory))
    closing.check()
    await post_money(work.ledger, closing)
    async with work.moving(Stage.FROZEN) as connection:
        if connection is not None:
            await work.reach(connection, Stage.RECONCILING)


async def _propose(work: _Work) -> None:
    """RECONCILING → PROPOSED: the sheet is drawn up and every partner has its statement.

    The treasury's note of them comes first. Who goes on after a kill draws up what that says.
    """
    period = work.span.period
    directory = await Directories(work.database).reload()
    names = {partner.id: partner.name for partner in directory.partners.values()}
    async with work.database.writer.connect() as connection:
        closing = await store.closing(connection, work.span, agreed(directory))
        before = (await store.sheets(connection, [period - 1])).get(period - 1)
        passed = (await store.stages(connection, [period]))[period]
    note = await keep_note(
        work.ledger,
        closing,
        ClosingNote(
            by=work.by,
            reason="closing",
            period=period,
            papers=draw(closing, partners=names, names=names, before=before).hash,
            partners=tuple(names),
            stages=(*passed, StageRow(Stage.PROPOSED, max(work.at, passed[-1].reached_at), work.by, None)),
            prices=closing.prices_told,
            edition=EDITION,
        ),
    )
    async with work.moving(Stage.RECONCILING) as connection:
        if connection is None:
            return
        drawn = draw(closing, partners=note.partners, names=names, before=before, edition=note.edition)
        await store.add_sheet(connection, period, drawn.sheet, at=note.proposed.reached_at)
        await store.add_statements(connection, drawn.statements)
        await ensure_calendar(connection, directory.programme, upto=work.at)
        await reach(
            connection, period, Stage.PROPOSED, at=note.proposed.reached_at, by=note.proposed.reached_by
        )


_STEPS: Final[dict[Stage, Callable[[_Work], Awaitable[None]]]] = {
    Stage.OPEN: _cut_off,
    Stage.CUT_OFF: _freeze,
    Stage.FROZEN: _post,
    Stage.RECONCILING: _propose,
}


async def _closable(connection: AsyncConnection, period: int, at: datetime) -> Span:
    calendar = await fence.load_calendar(connection)
    span = calendar.span(period) if calendar else None
    if calendar is None or span is None:
        raise PeriodUnknown(period)
    if at < span.ends_at:
        raise PeriodNotEnded(span)
    if calendar.span(period - 1) is not None:
        before = await periods.stage_of(connection, period - 1)
        if before.is_before(Stage.PROPOSED):
            raise EarlierPeriodOpen(period - 1)
    return span


def _cell(flow: Flow) -> Cell:
    return Cell(
        operation=flow.operation,
        issuer=flow.issuer,
        obligor=flow.obligor,
        redeemer=flow.redeemer,
        tariff=flow.tariff,
        terms=flow.terms,
        origin_period=flow.origin_period,
        points=flow.points,
        count=flow.count,
    )


def _holding(row: Stock) -> Holding:
    return Holding(
        issuer=row.issuer,
        obligor=row.obligor,
        tariff=row.tariff,
        issue_month=row.issue_month,
        expiry_month=row.expiry_month,
        points=row.points,
    )
