"""The SQL of counters: what wallets have counted, read and stored by the primary key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .counters import Count, Key, pack
from .kernel.packing import byteas, texts
from .kernel.wire import Flight, Statement, Wire
from .store import of_members

_LOAD: Final = Statement(
    "counters",
    """
    SELECT c.member, c.name, c.span, c.cells
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, member)
    JOIN counters c ON c.bucket = asked.bucket AND c.member = asked.member
    """,
)
_SAVE: Final = Statement(
    "save_counters",
    """
    INSERT INTO counters (bucket, member, name, span, cells)
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::text[], $5::bytea[])
    ON CONFLICT (bucket, member, name, span) DO UPDATE SET cells = excluded.cells
    """,
)


async def load(wire: Wire, members: Iterable[int]) -> dict[int, dict[Key, bytes]]:
    """The stored counts of `members`, by the primary key. Their heads are locked."""
    flight = wire.flight()
    flight.run(_LOAD, *of_members(sorted(set(members))))
    found: dict[int, dict[Key, bytes]] = {}
    for member, name, span, cells in (await flight.land())[0]:
        found.setdefault(int.from_bytes(member), {})[name.decode(), span.decode()] = cells
    return found


def save(flight: Flight, moved: Sequence[tuple[int, Key, Count]]) -> None:
    """Store counts that have moved."""
    if moved:
        flight.run(
            _SAVE,
            *of_members([member for member, _, _ in moved]),
            texts([name for _, (name, _), _ in moved]),
            texts([span for _, (_, span), _ in moved]),
            byteas([pack(own) for _, _, own in moved]),
        )
