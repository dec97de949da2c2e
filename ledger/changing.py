"""The SQL of what seldom changes: the obligor and the expiry of lots and slices, a member's survivor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .binary import INFINITY, instant
from .holds import Hold
from .kernel.packing import bigints, instants, ints, smallints
from .kernel.wire import Flight, Statement, Wire
from .lots import Lot
from .store import LOT_COLUMNS, LOT_LAYOUT, of_lots, of_members, update_of_all
from .wallet import Wallet

Row = tuple[Any, ...]

_NAMED: Final = Statement(
    "named_lots",
    f"""
    SELECT {LOT_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS named (bucket, member, id)
    JOIN lots l ON l.bucket = named.bucket AND l.member = named.member AND l.id = named.id
    """,  # noqa: S608 - a constant list of columns, here and below
    LOT_LAYOUT,
)
_OF_OBLIGOR: Final = Statement(
    "lots_of_obligor",
    f"""
    SELECT {LOT_COLUMNS}
    FROM unnest($1::smallint[], $2::bigint[], $3::int[], $4::int[]) AS asked (bucket, member, obligor, tariff)
    JOIN lots l ON l.bucket = asked.bucket AND l.member = asked.member
         AND l.obligor = asked.obligor AND l.tariff = asked.tariff
    """,  # noqa: S608
    LOT_LAYOUT,
)
_RESET_LOTS: Final = update_of_all(
    "reset_lots",
    """
    UPDATE lots l
    SET obligor = n.obligor, expires_at = n.expires_at, armed_at = nullif(n.armed_at, 'infinity')
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::int[], $5::timestamptz[], $6::timestamptz[])
         AS n (bucket, member, id, obligor, expires_at, armed_at)
    WHERE l.bucket = n.bucket AND l.member = n.member AND l.id = n.id
    """,
)
_RESET_SLICES: Final = update_of_all(
    "reset_slices",
    """
    UPDATE slices s SET obligor = n.obligor, expires_at = n.expires_at
    FROM unnest($1::smallint[], $2::bigint[], $3::smallint[], $4::int[], $5::timestamptz[])
         AS n (bucket, hold, ordinal, obligor, expires_at)
    WHERE s.bucket = n.bucket AND s.hold = n.hold AND s.ordinal = n.ordinal
    """,
)
_SAVE_SURVIVORS: Final = update_of_all(
    "save_survivors",
    """
    UPDATE wallets w SET merged_into = n.survivor
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS n (bucket, member, survivor)
    WHERE w.bucket = n.bucket AND w.member = n.member
    """,
)


async def named_lots(wire: Wire, named: Sequence[tuple[int, int]]) -> list[Row]:
    """The lots (member, lot id), whatever they hold: looked for among all of their members."""
    flight = wire.flight()
    flight.run(_NAMED, *of_lots(named))
    return (await flight.land())[0]


async def lots_of_obligor(wire: Wire, asked: Sequence[tuple[int, int, int]]) -> list[Row]:
    """Every lot of each (member, obligor, tariff), empty ones too; by the primary key's members."""
    members, obligors, tariffs = (list(column) for column in zip(*asked, strict=True))
    flight = wire.flight()
    flight.run(_OF_OBLIGOR, *of_members(members), ints(obligors), ints(tariffs))
    return (await flight.land())[0]


def save_changes(
    flight: Flight,
    changed_lots: Sequence[tuple[int, Lot]],
    changed_holds: Sequence[Hold],
    merged: Sequence[Wallet],
) -> None:
    """Write what journals changed of (member, lot) and of holds' slices, and who has a survivor now."""
    if changed_lots:
        flight.run(
            _RESET_LOTS,
            *of_members([member for member, _ in changed_lots]),
            bigints([lot.id for _, lot in changed_lots]),
            ints([lot.obligor for _, lot in changed_lots]),
            instants([instant(lot.expires_at) for _, lot in changed_lots]),
            instants(
                [INFINITY if lot.armed_at is None else instant(lot.armed_at) for _, lot in changed_lots]
            ),
        )
    parts = [(hold.id, part) for hold in changed_holds for part in hold.slices]
    if parts:
        flight.run(
            _RESET_SLICES,
            *of_members([hold for hold, _ in parts]),
            smallints([part.ordinal for _, part in parts]),
            ints([part.obligor for _, part in parts]),
            instants([instant(part.expires_at) for _, part in parts]),
        )
    if merged:
        flight.run(
            _SAVE_SURVIVORS,
            *of_members([wallet.member for wallet in merged]),
            bigints([wallet.merged_into for wallet in merged]),
        )
