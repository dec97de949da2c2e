"""The SQL of transits in a batch: those that its commands name, those that it opens and concludes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .binary import instant, point_in_time
from .kernel.packing import bigints, byteas, instants, texts
from .kernel.wire import Flight, Statement, Wire
from .store import of_members, update_of_all
from .transits import Conclusion, State, Transit, packed, unpacked

_LOAD: Final = Statement(
    "transits",
    """
    SELECT t.id, t.kind, t.member, t.to_member, t.opened_at, t.parts, t.state, t.refusal
    FROM unnest($1::smallint[], $2::bigint[]) AS asked (bucket, id)
    JOIN transits t ON t.bucket = asked.bucket AND t.id = asked.id
    """,
)
_OPEN: Final = Statement(
    "open_transits",
    """
    INSERT INTO transits (bucket, id, kind, member, to_member, opened_at, state, refusal, points, parts)
    SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[],
                         $6::timestamptz[], $7::text[], $8::text[], $9::bigint[], $10::bytea[])
    """,
)
_CONCLUDE: Final = update_of_all(
    "conclude_transits",
    """
    UPDATE transits t SET state = n.state, refusal = n.refusal
    FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::text[]) AS n (bucket, id, state, refusal)
    WHERE t.bucket = n.bucket AND t.id = n.id
    """,
)

_STATES: Final[dict[bytes, State]] = {b"open": "open", b"arrived": "arrived", b"returned": "returned"}


async def load_transits(wire: Wire, ids: Sequence[int]) -> dict[int, Transit]:
    """The transits of these ids, by id; by the primary key."""
    flight = wire.flight()
    flight.run(_LOAD, *of_members(ids))
    (rows,) = await flight.land()
    return {transit.id: transit for transit in map(_transit, rows)}


def _transit(row: tuple[bytes, ...]) -> Transit:
    id_, kind, member, to_member, opened_at, parts, state, refusal = row
    return Transit(
        int.from_bytes(id_),
        "merge" if kind == b"merge" else "transfer",
        int.from_bytes(member),
        int.from_bytes(to_member),
        point_in_time(int.from_bytes(opened_at, signed=True)),
        unpacked(parts),
        _STATES[state],
        refusal.decode(),
    )


def save_transits(flight: Flight, opened: Sequence[Transit], concluded: Sequence[Conclusion]) -> None:
    """Write what a batch sent off, and how it ended what was on its way."""
    if opened:
        flight.run(
            _OPEN,
            *of_members([transit.id for transit in opened]),
            texts([transit.kind for transit in opened]),
            bigints([transit.member for transit in opened]),
            bigints([transit.to_member for transit in opened]),
            instants([instant(transit.opened_at) for transit in opened]),
            texts([transit.state for transit in opened]),
            texts([transit.refusal for transit in opened]),
            bigints([transit.balance for transit in opened]),
            byteas([packed(transit.parts) for transit in opened]),
        )
    if concluded:
        flight.run(
            _CONCLUDE,
            *of_members([each.transfer for each in concluded]),
            texts([each.state for each in concluded]),
            texts([each.refusal for each in concluded]),
        )
