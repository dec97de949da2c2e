"""Drawing up again: the papers of every closed period, from what was frozen of it and what was agreed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import fence
from ledger.evidence.recount import Flaw
from partners import shown_directory

from . import store
from .closing import Closing
from .closing_note import ClosingNote, decode_closing_note, stages_told
from .journals import PRINCIPAL
from .papers import Papers, differences, draw
from .periods import Stage
from .prices import agreed
from .sheet import Sheet
from .store import StageRow


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Rows of papers that are not what frozen cells and prices come to, or not what was noted of them.

    Each period is drawn from the one before as that was drawn, so that what is wrong there is named there
    alone. Facts that came after a close are in later cells, and change nothing here.
    """
    sheets, notes = await store.sheets(connection), await _notes(connection)
    drawn_up = await store.drawn_up(connection)
    calendar = await fence.load_calendar(connection)
    if calendar is None or not (sheets or notes):
        return
    directory, stages = await shown_directory(connection), await store.stages(connection)
    prices = agreed(directory)
    names = {partner.id: partner.name for partner in directory.partners.values()}
    before: Sheet | None = None
    for period in sorted(sheets.keys() | notes.keys()):
        span, sheet, note = calendar.span(period), sheets.get(period), notes.get(period)
        if span is None:
            yield Flaw(None, f"period {period} is closed, and not in the calendar")
            continue
        if period - 1 not in sheets and calendar.span(period - 1) is not None:
            yield Flaw(None, f"period {period - 1} has no sheet, and the one after it is closed")
        if note is None and period - 1 in notes:
            yield Flaw(None, f"period {period} has no note in the treasury, and the one before it has")
        closing = await store.closing(connection, span, prices)
        if note is not None:
            for what in _not_as_noted(note, closing, stages.get(period, ()), is_proposed=sheet is not None):
                yield Flaw(None, f"period {period}: {what}")
        if sheet is None:
            continue
        for what in _not_when_proposed(drawn_up[period], note, stages.get(period, ())):
            yield Flaw(None, f"period {period}: {what}")
        kept = Papers(sheet=sheet, statements=tuple(await store.statements(connection, period=period)))
        # Before there were notes, who was a partner at the close was told by the sheet alone.
        partners = note.partners if note else [line.partner for line in sheet.lines]
        edition = note.edition if note else 1
        try:
            drawn = draw(closing, partners=partners, names=names, before=before, edition=edition)
        except KeyError as missing:
            yield Flaw(None, f"period {period} cannot be drawn up again: nothing is known of {missing}")
            continue
        found = list(differences(kept.rows, drawn.rows))
        for what in found:
            yield Flaw(None, f"period {period}: {what}")
        if note is not None and not found and kept.hash != note.papers:
            yield Flaw(None, f"period {period}: its papers are not those of the treasury's note")
        before = drawn.sheet


def _not_as_noted(
    note: ClosingNote, closing: Closing, passed: Sequence[StageRow], *, is_proposed: bool
) -> Iterator[str]:
    """What of the stages and prices of a period is not what was noted when it was closed."""
    # A close may have been killed, or be under way, between its note and its papers.
    noted = note.stages if is_proposed else note.stages[:-1]
    # What comes after the papers could not be noted with them.
    yield from differences(stages_told(passed[: len(noted)]), stages_told(noted))
    yield from differences(closing.prices_told, note.prices)


def _not_when_proposed(at: datetime, note: ClosingNote | None, passed: Sequence[StageRow]) -> Iterator[str]:
    """That a sheet was not drawn up when the period was proposed.

    Before there were notes it could be so sooner, when two closed at once; never later.
    """
    noted = [row.reached_at for row in passed if row.stage == Stage.PROPOSED]
    is_right = at == note.proposed.reached_at if note else not noted or at <= noted[0]
    if not is_right:
        proposed_at = note.proposed.reached_at if note else noted[0]
        yield f"the sheet was drawn up at {at.isoformat()}; it should have been at {proposed_at.isoformat()}"


async def _notes(connection: AsyncConnection) -> dict[int, ClosingNote]:
    """The notes of closings, by period. One that was damaged is named by the chain, and counts as none."""
    notes: dict[int, ClosingNote] = {}
    for kept in await store.kept_in_treasury(connection, PRINCIPAL):
        try:
            note = decode_closing_note(kept)
        except msgspec.MsgspecError:
            continue
        notes.setdefault(note.period, note)
    return notes
