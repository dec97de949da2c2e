"""Escrow: how what buckets may spend of shared ceilings is read, filled, called back and stored.

Only a batch that finds an escrow short fills it from the pool, by a part of what the pool has
left, so that this is rare. When the pool is dry the batch is put off, what other buckets have not
used is called back, and the batch decided anew. When that is not enough for all of it and does
for some, each half is decided by itself: nobody is refused for what another one asks and does not
get. Heads are locked before pools, always, so nobody meets in a deadlock; granted never exceeds the
ceiling, so what is used cannot either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .allowances import Allowance, Need, Place, Short
from .heads import lock_heads
from .kernel.ids import MEMBER_BUCKETS
from .kernel.packing import bigint, bigints, ints, smallint, smallints, texts
from .kernel.wire import Flight, Row, Statement, Wire, WireLost
from .store import update_of_all

CHUNKS: Final = 128
"""An escrow is filled with this part of what the pool has left, or with what is needed if that is more."""

DRY_SECONDS: Final = 1.0
"""How long a process believes that a pool is dry before it looks again."""

_LOAD: Final = Statement(
    "allowances",
    """
    SELECT asked.ordinal, a.cell, a.ceiling, a.granted, a.used
    FROM unnest($1::smallint[], $2::text[], $3::text[], $4::int[]) AS asked (bucket, name, span, ordinal)
    JOIN allowances a ON a.bucket = asked.bucket AND a.name = asked.name AND a.span = asked.span
    """,
    "i q q q q",
)
_SAVE: Final = update_of_all(
    "save_allowances",
    """
    UPDATE allowances a SET used = n.used
    FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[]) AS n (bucket, name, span, used)
    WHERE a.bucket = n.bucket AND a.name = n.name AND a.span = n.span
    """,
)
_DRAINED: Final = Statement(
    "drained_pool",
    """
    SELECT 1 FROM allowance_pools
    WHERE name = $1::text AND span = $2::text AND cell = $3::bigint AND granted >= $4::bigint
    """,
    "i",
)
_OPEN_POOL: Final = Statement(
    "open_pool",
    """
    INSERT INTO allowance_pools (name, span, cell, ceiling, granted)
    VALUES ($1::text, $2::text, $3::bigint, $4::bigint, 0) ON CONFLICT (name, span) DO NOTHING
    """,
)
_LOCK_POOL: Final = Statement(
    "lock_pool",
    """
    SELECT cell, ceiling, granted FROM allowance_pools WHERE name = $1::text AND span = $2::text FOR UPDATE
    """,
    "q q q",
)
_MOVE_POOL: Final = Statement(
    "move_pool",
    """
    UPDATE allowance_pools SET cell = $3::bigint, ceiling = $4::bigint, granted = $5::bigint
    WHERE name = $1::text AND span = $2::text
    """,
)
_GRANT: Final = Statement(
    "grant_allowance",
    """
    INSERT INTO allowances (bucket, name, span, cell, ceiling, granted, used)
    VALUES ($1::smallint, $2::text, $3::text, $4::bigint, $5::bigint, $6::bigint, $7::bigint)
    ON CONFLICT (bucket, name, span) DO UPDATE
    SET cell = excluded.cell, ceiling = excluded.ceiling, granted = excluded.granted, used = excluded.used
    """,
)

_UNUSED: Final = text("""
    SELECT a.bucket
    FROM allowance_pools p
    JOIN allowances a ON a.bucket = ANY(:buckets) AND a.name = p.name AND a.span = p.span AND a.cell = p.cell
    JOIN heads h ON h.bucket = a.bucket
    WHERE p.name = :name AND p.span = :span AND a.granted > a.used AND a.bucket <> :own
      AND h.fenced IS NULL
    ORDER BY a.granted - a.used DESC
""")
_GONE: Final = text("""
    SELECT p.granted - coalesce(sum(a.granted - a.used), 0)::bigint
    FROM allowance_pools p
    LEFT JOIN (allowances a JOIN heads h ON h.bucket = a.bucket AND h.fenced IS NULL)
      ON a.bucket = ANY(:buckets) AND a.name = p.name AND a.span = p.span AND a.cell = p.cell
    WHERE p.name = :name AND p.span = :span AND p.cell >= :cell
    GROUP BY p.granted
""")
"""What of a pool is used, or out of reach in a fenced bucket."""

_POOL: Final = text("SELECT cell FROM allowance_pools WHERE name = :name AND span = :span FOR UPDATE")
_OWN: Final = text("""
    SELECT granted - used FROM allowances
    WHERE bucket = :bucket AND name = :name AND span = :span AND cell = :cell
""")
_TAKE_BACK: Final = text("""
    UPDATE allowances SET granted = granted - :taken
    WHERE bucket = :bucket AND name = :name AND span = :span
""")
_GIVE_TO_POOL: Final = text("""
    UPDATE allowance_pools SET granted = granted - :taken WHERE name = :name AND span = :span
""")

_CEILINGS: Final = text("""
    SELECT format('pool %s in %s', name, span), name, span, cell, ceiling FROM allowance_pools
    UNION ALL
    SELECT format('escrow %s in %s of bucket %s', name, span, bucket), name, span, cell, ceiling
    FROM allowances WHERE granted > 0
    ORDER BY 1
""")


async def draw(wire: Wire, needs: Mapping[Place, Need], pools: Pools) -> dict[Place, Allowance]:
    """The escrows to spend from, filled from the pools where they are short. Their heads are locked.

    Raises `Short` unless each holds what is needed, or nobody has any more to call back.
    """
    # By name first: whoever locks several pools locks them in this order.
    asked = sorted(needs.values(), key=lambda need: (need.name, need.window, need.bucket))
    found = await _stored(wire, asked)
    escrow: dict[Place, Allowance] = {}
    short: list[Need] = []
    for ordinal, need in enumerate(asked):
        own = found.get(ordinal)
        if own is None or own.cell < need.cell:
            own = Allowance(need.cell, 0, 0, 0)
        if own.left < need.points or own.ceiling != need.ceiling:
            own = await _fill(wire, need, own)
        if own.left < need.points and not pools.is_dry(need):
            short.append(need)
        escrow[need.place] = own
    if short:
        raise Short(short)
    return escrow


def save(flight: Flight, spent: Mapping[Place, Allowance]) -> None:
    """Store what was used of escrows. Their heads are locked."""
    if spent:
        flight.run(
            _SAVE,
            smallints([bucket for bucket, _, _ in spent]),
            texts([name for _, name, _ in spent]),
            texts([span for _, _, span in spent]),
            bigints([allowance.used for allowance in spent.values()]),
        )


class Ceiling(NamedTuple):
    """The ceiling that a pool or a bucket's escrow is held under, in a cell of a counter's window."""

    of: str
    name: str
    window: str
    cell: int
    points: int


async def ceilings(connection: AsyncConnection) -> list[Ceiling]:
    """The ceilings of all pools and of all escrows that hold anything."""
    return [Ceiling(*row) for row in await connection.execute(_CEILINGS)]


class Pools:
    """What a process knows of pools, and how it calls back what escrows have not used."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._dry: dict[tuple[str, str, int, int], tuple[int, float]] = {}

    def is_dry(self, need: Need) -> bool:
        """True when there was too little for any of it a moment ago: what is used never comes back."""
        least, until = self._dry.get(need[1:5], (0, 0.0))
        return need.least >= least and monotonic() < until

    async def call_back(self, needs: Iterable[Need], *, is_alone: bool) -> bool:
        """Take back what other buckets have not used, until there is enough or nothing left to take.

        False when what there is does for some commands of a batch, unless one `is_alone`, and not
        for all. Raises `WireLost` when the connection breaks.
        """
        is_enough = True
        for need in needs:
            if self.is_dry(need):
                continue
            try:
                freed = await self._call_back(need)
                does_for_some = not freed and not is_alone and await self._left(need) >= need.least
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise WireLost("the connection broke") from error
                raise
            if does_for_some:
                is_enough = False
            elif not freed:
                now = monotonic()
                self._dry = {key: value for key, value in self._dry.items() if value[1] > now}
                self._dry[need[1:5]] = (need.least, now + DRY_SECONDS)
        return is_enough

    async def _call_back(self, need: Need) -> int:
        """What was taken back for a need, from the buckets that have most to spare first."""
        asked = {"name": need.name, "span": need.window, "own": need.bucket}
        async with self._engine.connect() as connection:
            buckets = list(range(MEMBER_BUCKETS))
            found = list(await connection.scalars(_UNUSED, {**asked, "buckets": buckets}))
        freed = 0
        for bucket in found:
            if freed >= need.points:
                break
            freed += await self._take_back(need, bucket, need.points - freed)
        return freed

    async def _left(self, need: Need) -> int:
        """What may still be used under the need's ceiling, wherever it is now."""
        place = {"name": need.name, "span": need.window, "cell": need.cell}
        async with self._engine.connect() as connection:
            gone = await connection.scalar(_GONE, {**place, "buckets": list(range(MEMBER_BUCKETS))})
        return need.ceiling - (gone or 0)

    async def _take_back(self, need: Need, bucket: int, wanted: int) -> int:
        """Take at least half of what a bucket has not used: it may be spending too."""
        place = {"bucket": bucket, "name": need.name, "span": need.window}
        async with self._engine.begin() as connection:
            if await lock_heads(connection, [bucket]):
                return 0
            cell = await connection.scalar(_POOL, place)
            unused = int(await connection.scalar(_OWN, {**place, "cell": cell}) or 0)
            taken = min(unused, max(wanted, (unused + 1) // 2))
            await connection.execute(_TAKE_BACK, {**place, "taken": taken})
            await connection.execute(_GIVE_TO_POOL, {**place, "taken": taken})
        return taken


async def _stored(wire: Wire, asked: Sequence[Need]) -> dict[int, Allowance]:
    """The escrows that are there, by the place of their need."""
    flight = wire.flight()
    flight.run(
        _LOAD,
        smallints([need.bucket for need in asked]),
        texts([need.name for need in asked]),
        texts([need.window for need in asked]),
        ints(range(len(asked))),
    )
    (rows,) = await flight.land()
    return {row[0]: Allowance(*row[1:]) for row in rows}


async def _fill(wire: Wire, need: Need, own: Allowance) -> Allowance:
    """An escrow filled from its pool as far as can be. Its head is locked, the pool from here on too.

    What was granted under another ceiling is granted anew: there may be less to grant by now.
    """
    if own.ceiling == need.ceiling and await _is_drained(wire, need, own):
        return own
    pool_cell, most, given = await _locked_pool(wire, need)
    cell = max(own.cell, pool_cell)
    if pool_cell < cell:
        most, given = need.ceiling, 0
    granted, used = (own.granted, own.used) if own.cell == cell else (0, 0)
    others = given - granted
    room = max(need.ceiling - others - used, 0)
    chunk = max(need.ceiling - given, 0) // CHUNKS
    unused = min(room, max(need.points, granted - used, chunk))
    filled = Allowance(cell, need.ceiling, used + unused, used)
    pool = need.name.encode(), need.window.encode()
    flight = wire.flight()
    own_figures = bigint(cell), bigint(need.ceiling), bigint(filled.granted), bigint(used)
    flight.run(_GRANT, smallint(need.bucket), *pool, *own_figures)
    pool_figures = bigint(cell), bigint(max(most, need.ceiling)), bigint(others + filled.granted)
    flight.run(_MOVE_POOL, *pool, *pool_figures)
    await flight.land()
    return filled


async def _is_drained(wire: Wire, need: Need, own: Allowance) -> bool:
    """True when there is no use in locking the pool: all of it is granted."""
    flight = wire.flight()
    pool = need.name.encode(), need.window.encode()
    flight.run(_DRAINED, *pool, bigint(own.cell), bigint(need.ceiling))
    (rows,) = await flight.land()
    return bool(rows)


async def _locked_pool(wire: Wire, need: Need) -> Row:
    """The pool's row (cell, highest ceiling, granted), locked."""
    flight = wire.flight()
    pool = need.name.encode(), need.window.encode()
    flight.run(_OPEN_POOL, *pool, bigint(need.cell), bigint(need.ceiling))
    flight.run(_LOCK_POOL, *pool)
    _, (row,) = await flight.land()
    return row
