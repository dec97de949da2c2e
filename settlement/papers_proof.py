"""Drawing up again: the papers of every closed period, from what was frozen of it and what was agreed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import fence
from ledger.evidence.recount import Flaw
from partners import shown_directory

from . import store
from .papers import Papers, differences, draw
from .prices import agreed
from .sheet import Sheet


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Rows of papers that are not what frozen cells and prices come to.

    Each period is drawn from the one before as that was drawn, so that what is wrong there is named there
    alone. Facts that came after a close are in later cells, and change nothing here.
    """
    sheets = await store.sheets(connection)
    calendar = await fence.load_calendar(connection)
    if not sheets or calendar is None:
        return
    directory = await shown_directory(connection)
    prices = agreed(directory)
    names = {partner.id: partner.name for partner in directory.partners.values()}
    before: Sheet | None = None
    for period, sheet in sorted(sheets.items()):
        span = calendar.span(period)
        if span is None:
            yield Flaw(None, f"period {period} is closed, and not in the calendar")
            continue
        if period - 1 not in sheets and calendar.span(period - 1) is not None:
            yield Flaw(None, f"period {period - 1} has no sheet, and the one after it has")
        kept = Papers(sheet=sheet, statements=tuple(await store.statements(connection, period=period)))
        # Who was a partner at the close is told by the sheet alone: others may have joined since.
        partners = [line.partner for line in sheet.lines]
        closing = await store.closing(connection, span, prices)
        try:
            drawn = draw(closing, partners=partners, names=names, before=before)
        except KeyError as missing:
            yield Flaw(None, f"period {period} cannot be drawn up again: nothing is known of {missing}")
            continue
        for difference in differences(kept.rows, drawn.rows):
            yield Flaw(None, f"period {period}: {difference}")
        before = drawn.sheet
