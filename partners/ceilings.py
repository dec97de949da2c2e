"""Ceilings: what pools and escrows of shared counters may hold, by the issuance limits of agreements."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import escrow
from ledger.escrow import Ceiling
from ledger.evidence.recount import Flaw
from ledger.windows import cell_of

from .directories import shown_directory
from .directory import Agreement, Directory
from .limits import issued_by

_UNDER_WAY: Final = timedelta(days=1)
"""How far from its terms' time a command may be decided: it waits for its lane, and clocks differ."""

_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)


async def flaws(connection: AsyncConnection) -> AsyncIterator[Flaw]:
    """Ceilings that no agreement set for their time.

    No bucket is to blame: what is granted under one that is too high may be spent in any.
    """
    held = await escrow.ceilings(connection)
    if not held:
        return
    directory = await shown_directory(connection)
    partners = {issued_by(partner): partner for partner in directory.partners}
    for ceiling in held:
        agreements = directory.agreements_of(partners.get(ceiling.name, 0))
        after = (*agreements[1:], None)
        if not any(_sets(*each, ceiling, directory) for each in zip(agreements, after, strict=True)):
            yield Flaw(
                None, f"the ceiling {ceiling.points} of {ceiling.of}, cell {ceiling.cell}, is in no agreement"
            )


def _sets(agreement: Agreement, after: Agreement | None, ceiling: Ceiling, directory: Directory) -> bool:
    """Whether it is this agreement's limit, of a time between its start and that of the one `after` it."""
    terms, zone = agreement.terms, directory.programme.zone
    if (terms.issuance_limit_points, terms.issuance_window) != (ceiling.points, ceiling.window):
        return False
    first = cell_of(ceiling.window, _known(agreement.starts_at) - _UNDER_WAY, zone)
    last = None if after is None else cell_of(ceiling.window, _known(after.starts_at) + _UNDER_WAY, zone)
    return first <= ceiling.cell and (last is None or ceiling.cell <= last)


def _known(at: datetime) -> datetime:
    """An instant that has a day before it and a day behind it: agreements may start at any at all."""
    return min(max(at, _FIRST), _LAST)
