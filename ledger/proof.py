"""Proof: what an invariant is, and how invariants are run. A finding names the row that breaks one.

Each room has a list of its own in this shape (the ledger's is `ledger.invariants`); `kopilka prove`, the
`proof` query, the worker and the tests all run the same lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ledger.evidence.history import WHOLE_HISTORY
from ledger.evidence.recount import Flaw
from ledger.kernel.database import is_over_data
from ledger.kernel.ids import bucket_of
from ledger.outcomes import OutcomeUnreadable

_log = structlog.get_logger(__name__)

LIMIT: Final = 5
"""Violations named of each invariant in each bucket: every bucket that is to blame, never a flood."""


# An invariant reads tables from end to end. PostgreSQL has no statistics of partitions taken together, takes
# a million lots for two hundred, would look each of them up in all the others, and makes room for no more.
_FROM_END_TO_END: Final = tuple(
    text(f"SET LOCAL {setting}")
    for setting in ("enable_nestloop TO off", "enable_hashagg TO off", "work_mem TO '64MB'")
)

_COUNTS: Final = text(
    "SELECT (SELECT count(*) FROM operations), (SELECT count(*) FROM lines), (SELECT count(*) FROM blocks)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that breaks an invariant; `bucket` is None where no single bucket is to blame."""

    invariant: str
    bucket: int | None
    row: str


@dataclass(frozen=True, slots=True)
class Invariant:
    """A claim about the whole ledger, and how to look for what breaks it.

    `is_cheap` says that it reads state, sums and last blocks alone, so that it may be looked at often;
    the others cost a pass over history.
    """

    name: str
    claim: str
    find: Callable[[AsyncConnection], Awaitable[list[Finding]]]
    is_cheap: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What a run of all invariants found, in one snapshot of the database."""

    checked: tuple[Invariant, ...]
    findings: tuple[Finding, ...]
    operations: int
    lines: int
    blocks: int

    @property
    def is_ok(self) -> bool:
        """True when nothing was found."""
        return not self.findings


async def prove(engine: AsyncEngine, invariants: Sequence[Invariant]) -> Proof:
    """Run `invariants` in one repeatable-read snapshot. Nothing is written and nobody is locked out."""
    findings: list[Finding] = []
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        await connection.execute(WHOLE_HISTORY)
        for setting in _FROM_END_TO_END:
            await connection.execute(setting)
        for invariant in invariants:
            findings += few_of_each_bucket(await _found(connection, invariant))
        operations, lines, blocks = (await connection.execute(_COUNTS)).one()
    return Proof(tuple(invariants), tuple(findings), operations, lines, blocks)


async def _found(connection: AsyncConnection, invariant: Invariant) -> list[Finding]:
    """What breaks an invariant. That it cannot read what is there is such a thing, and hides no other."""
    try:
        async with connection.begin_nested():
            return await invariant.find(connection)
    except OutcomeUnreadable as damaged:
        return [Finding(invariant.name, bucket_of(damaged.operation), str(damaged))]
    except Exception as error:
        if not is_over_data(error):
            raise
        _log.exception("invariant_unreadable", invariant=invariant.name)
        said = str(getattr(error, "orig", error)).partition("\n")[0]
        return [Finding(invariant.name, None, f"{type(error).__name__} over what is stored: {said}")]


def few_of_each_bucket(found: Iterable[Finding]) -> list[Finding]:
    """The first `LIMIT` findings of one invariant in each bucket."""
    named: Counter[int | None] = Counter()
    few = []
    for finding in found:
        named[finding.bucket] += 1
        if named[finding.bucket] <= LIMIT:
            few.append(finding)
    return few


def by_query(name: str, claim: str, sql: str, *, is_cheap: bool = False) -> Invariant:
    """An invariant whose query gives a row (bucket, description) for each violation."""
    # In an order, so that the same ones are named when it runs again.
    few = text(
        f"""
        SELECT bucket, what
        FROM (SELECT bucket, what, row_number() OVER (PARTITION BY bucket ORDER BY what) AS number
              FROM ({sql}) AS violation (bucket, what)) AS numbered
        WHERE number <= {LIMIT}
        ORDER BY bucket, number
        """  # noqa: S608 - the queries are constants of the rooms
    )

    async def find(connection: AsyncConnection) -> list[Finding]:
        return [Finding(name, bucket, row) for bucket, row in await connection.execute(few)]

    return Invariant(name, claim, find, is_cheap)


def by_recount(
    name: str,
    claim: str,
    flaws: Callable[[AsyncConnection], AsyncIterator[Flaw]],
    *,
    is_cheap: bool = False,
) -> Invariant:
    """An invariant that reads what is stored and computes again what it should be."""

    async def find(connection: AsyncConnection) -> list[Finding]:
        return [Finding(name, flaw.bucket, flaw.row) async for flaw in flaws(connection)]

    return Invariant(name, claim, find, is_cheap)
