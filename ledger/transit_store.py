"""Transits outside a batch: how one stands, and which are open for the driver to go on with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from .kernel.ids import bucket_of
from .tables import transits
from .transits import Transit, unpacked


async def transit(connection: AsyncConnection, id_: int) -> Transit | None:
    """The transit that an operation began, as it stands."""
    where = (transits.c.bucket == bucket_of(id_)) & (transits.c.id == id_)
    row = (await connection.execute(select(*_COLUMNS).where(where))).first()
    return None if row is None else _transit(row)


async def open_transits(connection: AsyncConnection, *, after: int, limit: int) -> list[Transit]:
    """Open transits with ids above `after`, ascending; by ix_transits_open."""
    query = select(*_COLUMNS).where(transits.c.state == "open", transits.c.id > after)
    return _transits(await connection.execute(query.order_by(transits.c.id).limit(limit)))


_COLUMNS: Final = (
    transits.c.id,
    transits.c.kind,
    transits.c.member,
    transits.c.to_member,
    transits.c.opened_at,
    transits.c.parts,
    transits.c.state,
    transits.c.refusal,
)


def _transits(rows: Iterable[Any]) -> list[Transit]:
    return [_transit(row) for row in rows]


def _transit(row: Any) -> Transit:
    id_, kind, member, to_member, opened_at, parts, state, refusal = row
    return Transit(id_, kind, member, to_member, opened_at, unpacked(parts), state, refusal)
