"""The ledger that a service usually has, written well: one transaction per operation, balances locked by row.

Journal, double entry, lots spent first to expire first, idempotency by a unique index, and rows that
keep each partner's position. It does less than ours (no stored receipt keys or QR fingerprints, no
periods, no hash chain, no proof), so the comparison favours it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from bench.load import LOT_DAYS, MEMBERS, OPENING_POINTS, PARTNERS, Load, run
from ledger import Balance, Burn, Command, Earn, Outcome, Refused
from ledger.kernel.ids import member_id
from ledger.refusals import IdempotencyConflict, InsufficientPoints

POOL_SIZES: Final = (4, 8, 16, 32, 64)
_PROBE_OPERATIONS: Final = 2_000

_TABLES: Final = """
    CREATE SCHEMA naive;
    CREATE TABLE naive.members (
        id bigint PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0)
    ) WITH (fillfactor = 80);
    CREATE TABLE naive.partners (
        id int PRIMARY KEY, issued bigint NOT NULL, redeemed bigint NOT NULL, outstanding bigint NOT NULL
    ) WITH (fillfactor = 10);
    CREATE TABLE naive.lots (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, member bigint NOT NULL, obligor int NOT NULL,
        tariff int NOT NULL, earned_at timestamptz NOT NULL, expires_at timestamptz NOT NULL,
        earned bigint NOT NULL, available bigint NOT NULL CHECK (available >= 0)
    ) WITH (fillfactor = 85);
    CREATE INDEX ON naive.lots (member, expires_at, id) WHERE available > 0;
    CREATE TABLE naive.journals (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, principal text NOT NULL, key text NOT NULL,
        digest bytea NOT NULL, kind text NOT NULL, member bigint NOT NULL, partner int NOT NULL,
        outlet int NOT NULL, terms int NOT NULL, points bigint NOT NULL, balance bigint NOT NULL,
        occurred_at timestamptz NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(),
        detail bytea NOT NULL, UNIQUE (principal, key)
    );
    CREATE INDEX ON naive.journals (member, id);
    CREATE TABLE naive.entries (
        journal bigint NOT NULL, account text NOT NULL, owner bigint NOT NULL, obligor int NOT NULL,
        lot bigint NOT NULL, amount bigint NOT NULL
    );
    CREATE INDEX ON naive.entries (journal);
"""

_LOCK_MEMBER: Final = "SELECT available FROM naive.members WHERE id = $1 FOR UPDATE"
_JOURNAL: Final = """
    INSERT INTO naive.journals
        (principal, key, digest, kind, member, partner, outlet, terms, points, occurred_at, detail, balance)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (principal, key) DO NOTHING RETURNING id
"""
_EARLIER: Final = """
    SELECT id, digest, kind, balance, recorded_at, points FROM naive.journals
    WHERE principal = $1 AND key = $2
"""
_NEW_LOT: Final = """
    INSERT INTO naive.lots (member, obligor, tariff, earned_at, expires_at, earned, available)
    VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING id
"""
_LOTS: Final = """
    SELECT id, obligor, available FROM naive.lots
    WHERE member = $1 AND available > 0 ORDER BY expires_at, id
"""
_SPEND_LOTS: Final = """
    UPDATE naive.lots l SET available = l.available - n.points
    FROM unnest($1::bigint[], $2::bigint[]) AS n (id, points) WHERE l.id = n.id
"""
_ENTER: Final = """
    INSERT INTO naive.entries (journal, account, owner, obligor, lot, amount)
    SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[])
"""
_MOVE_MEMBER: Final = "UPDATE naive.members SET available = $2 WHERE id = $1"
_ISSUE: Final = """
    UPDATE naive.partners SET issued = issued + $2, outstanding = outstanding + $2 WHERE id = $1
"""
_REDEEM: Final = """
    WITH locked AS MATERIALIZED (
        SELECT id FROM naive.partners WHERE id = ANY($1::int[]) ORDER BY id FOR UPDATE
    )
    UPDATE naive.partners p
    SET outstanding = p.outstanding - n.points, redeemed = p.redeemed + n.redeemed
    FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS n (id, points, redeemed) JOIN locked USING (id)
    WHERE p.id = n.id
"""

_BALANCED: Final = """
    SELECT (SELECT sum(available) FROM naive.members) = (SELECT sum(available) FROM naive.lots)
       AND (SELECT sum(available) FROM naive.lots) = (SELECT sum(outstanding) FROM naive.partners)
       AND (SELECT sum(issued - redeemed) FROM naive.partners) = (SELECT sum(available) FROM naive.lots)
       AND NOT EXISTS (SELECT 1 FROM naive.entries GROUP BY journal HAVING sum(amount) <> 0)
"""


Connection = asyncpg.pool.PoolConnectionProxy


class Naive:
    """A points ledger over a pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def submit(self, command: Command) -> Outcome:
        """Post one earn or burn in a transaction of its own, and give its outcome.

        Locks are always taken in one order (the member, the key, its partners ascending), so that
        no two operations wait for each other.
        """
        assert isinstance(command, Earn | Burn)
        async with self._pool.acquire() as connection, connection.transaction():
            had: int = await connection.fetchval(_LOCK_MEMBER, command.member) or 0
            left = had + (command.points if isinstance(command, Earn) else -command.points)
            journal = await self._journal(connection, command, left) if left >= 0 else None
            if journal is None:
                return await self._repeat(connection, command) or _refused(command, had)
            if isinstance(command, Earn):
                await self._earn(connection, journal, command)
            else:
                await self._burn(connection, journal, command)
            await connection.execute(_MOVE_MEMBER, command.member, left)
        return Outcome(
            operation=journal,
            kind=_kind(command),
            recorded_at=datetime.now(UTC),
            balance=Balance(available=left),
            points=command.points,
        )

    async def _journal(self, connection: Connection, command: Earn | Burn, left: int) -> int | None:
        """The new journal's id, None when its key was used before."""
        id_: int | None = await connection.fetchval(
            _JOURNAL,
            *(command.principal, command.key, command.digest, _kind(command), command.member),
            *(command.partner, command.outlet, command.terms, command.points, command.occurred_at),
            *(command.detail, left),
        )
        return id_

    async def _earn(self, connection: Connection, journal: int, command: Earn) -> None:
        lot = await connection.fetchval(
            _NEW_LOT,
            *(command.member, command.obligor, command.tariff, command.occurred_at, command.expires_at),
            command.points,
        )
        await connection.execute(
            _ENTER,
            journal,
            ["issued", "available"],
            [command.obligor, command.member],
            [command.obligor] * 2,
            [lot] * 2,
            [-command.points, command.points],
        )
        await connection.execute(_ISSUE, command.obligor, command.points)

    async def _burn(self, connection: Connection, journal: int, command: Burn) -> None:
        slices = _consume(await connection.fetch(_LOTS, command.member), command.points)
        await connection.execute(_SPEND_LOTS, [part[0] for part in slices], [part[2] for part in slices])
        both = [part for part in slices for _ in range(2)]
        await connection.execute(
            _ENTER,
            journal,
            ["available", "redeemed"] * len(slices),
            [command.member, command.partner] * len(slices),
            [part[1] for part in both],
            [part[0] for part in both],
            [sign * part[2] for part in slices for sign in (-1, 1)],
        )
        moved = {command.partner: 0}
        for _, obligor, points in slices:
            moved[obligor] = moved.get(obligor, 0) + points
        redeemed = [command.points if partner == command.partner else 0 for partner in moved]
        await connection.execute(_REDEEM, list(moved), list(moved.values()), redeemed)

    async def _repeat(self, connection: Connection, command: Earn | Burn) -> Outcome | None:
        """The first answer to this key, None if it was never used."""
        earlier = await connection.fetchrow(_EARLIER, command.principal, command.key)
        if earlier is None:
            return None
        is_same = earlier["digest"] == command.digest
        return Outcome(
            operation=earlier["id"],
            kind=earlier["kind"],
            recorded_at=earlier["recorded_at"],
            balance=Balance(available=earlier["balance"]),
            points=earlier["points"],
            refused=None if is_same else Refused.of(IdempotencyConflict()),
            replayed=is_same,
        )


def _refused(command: Earn | Burn, available: int) -> Outcome:
    return Outcome(
        operation=0,
        kind=_kind(command),
        recorded_at=datetime.now(UTC),
        balance=Balance(available=available),
        refused=Refused.of(InsufficientPoints(available=available, needed=command.points)),
    )


def _kind(command: Earn | Burn) -> str:
    return "earn" if isinstance(command, Earn) else "burn"


def _consume(lots: Sequence[asyncpg.Record], points: int) -> list[tuple[int, int, int]]:
    """(lot, its obligor, points it gives), in the order of `lots`."""
    slices = []
    for lot, obligor, available in lots:
        taken = min(available, points)
        slices.append((lot, obligor, taken))
        points -= taken
        if not points:
            break
    return slices


async def prepare(owner_url: str, members: int = MEMBERS) -> None:
    """Tables in the schema `naive`, with every member of the load and its opening points."""
    now = datetime.now(UTC)
    owner = await asyncpg.connect(owner_url)
    try:
        await owner.execute(_TABLES)
        await owner.executemany(
            "INSERT INTO naive.partners VALUES ($1, $2, 0, $2)",
            [(n, OPENING_POINTS * len(range(n - 1, members, PARTNERS))) for n in range(1, PARTNERS + 1)],
        )
        await owner.copy_records_to_table(
            "members",
            schema_name="naive",
            records=[(member_id(1 + n), OPENING_POINTS) for n in range(members)],
        )
        await owner.copy_records_to_table(
            "lots",
            schema_name="naive",
            columns=("member", "obligor", "tariff", "earned_at", "expires_at", "earned", "available"),
            records=[
                (member_id(1 + n), 1 + n % PARTNERS, 1 + n % PARTNERS, now, now + timedelta(days=LOT_DAYS))
                + (OPENING_POINTS,) * 2
                for n in range(members)
            ],
        )
        await owner.execute("ANALYZE naive.members, naive.partners, naive.lots")
    finally:
        await owner.close()


@asynccontextmanager
async def opened(owner_url: str, size: int) -> AsyncIterator[Naive]:
    """The naive ledger over a pool of `size` connections, all of them open."""
    async with asyncpg.create_pool(
        owner_url, min_size=size, max_size=size, max_inactive_connection_lifetime=0
    ) as pool:
        yield Naive(pool)


async def best_size(owner_url: str, load: Load, in_flight: int, share: int = 1) -> int:
    """The size of pool that posts fastest with so many callers, from a short run of each."""
    rates: dict[int, float] = {}
    for size in POOL_SIZES:
        async with opened(owner_url, size) as ledger:
            await run(ledger, load.mixed(_PROBE_OPERATIONS // share // 4), in_flight)
            rates[size] = (await run(ledger, load.mixed(_PROBE_OPERATIONS // share), in_flight)).per_second
    return max(rates, key=lambda size: rates[size])


async def check(owner_url: str) -> None:
    """Raise unless balances, lots, positions and entries agree."""
    owner = await asyncpg.connect(owner_url)
    try:
        if not await owner.fetchval(_BALANCED):
            raise RuntimeError("the naive ledger does not balance after the load")
    finally:
        await owner.close()
