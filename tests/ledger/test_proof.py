"""The proof holds after everything that may happen, and names the row when it does not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import Ledger, invariants, proof
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.proof import Finding, Invariant
from tests.damage import as_owner_without_triggers
from tests.servers import Urls

from . import proving
from .builders import FAR, START, a_burn, a_capture, a_void, an_authorization, an_earn


@pytest.fixture
async def busy(ledger: Ledger) -> Ledger:
    """Forty members who earn, burn, hold, capture and void while two months pass."""
    members = [compose(n % 8, n + 1) for n in range(40)]
    for day in range(0, 60, 6):
        at = START + timedelta(days=day)
        await ledger.advance(at)
        await ledger.submit_many(
            [
                an_earn(
                    100 + n,
                    member=m,
                    partner=1 + n % 4,
                    occurred_at=at,
                    available_at=at + timedelta(days=n % 3) if n % 3 else None,
                    expires_at=at + timedelta(days=20) if n % 5 == 0 else FAR,
                )
                for n, m in enumerate(members)
            ]
        )
        await ledger.submit_many([a_burn(30, member=m, partner=1 + n % 3) for n, m in enumerate(members)])
        held = await ledger.submit_many(
            [an_authorization(20, member=m, expires_at=at + timedelta(days=2)) for m in members[::2]]
        )
        holds = [outcome.hold for outcome in held if outcome.hold is not None]
        await ledger.submit_many([a_capture(hold, 5) for hold in holds[::2]])
        await ledger.submit_many([a_void(hold) for hold in holds[::3]])
    return ledger


async def test_every_invariant_holds_after_a_busy_time(busy: Ledger, database: Database) -> None:
    await proving.holds(database)


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        ("UPDATE wallets SET available = available + 1 WHERE member = {m}", "lots"),
        ("UPDATE lots SET available = available + 1 WHERE id = (SELECT min(id) FROM lots)", "lots"),
        ("DELETE FROM wallets WHERE member = {m}", "lots"),
        ("DELETE FROM wallets WHERE member = {m}", "wallets"),
        ("DELETE FROM wallets WHERE bucket = 0 AND held > 0", "slices"),
        ("UPDATE wallets SET lots_from = 'infinity' WHERE member = {m}", "lots_from"),
        ("UPDATE wallets SET next_due_at = NULL WHERE member = {m}", "due"),
        ("UPDATE slices SET points = points + 1 WHERE hold = (SELECT min(hold) FROM slices)", "slices"),
        ("UPDATE flows SET points = points + 1 WHERE operation = 'burn' AND bucket = 0", "flows"),
        ("UPDATE flows SET count = count + 1 WHERE operation = 'burn' AND bucket = 0", "flows"),
        ("UPDATE keys SET recorded_at = recorded_at + interval '1 microsecond' WHERE bucket = 0", "keys"),
        ("UPDATE flows SET hash = hash + 1 WHERE operation = 'burn' AND bucket = 0", "flow_hashes"),
        ("UPDATE flows SET points = points + 1 WHERE operation = 'burn' AND bucket = 0", "stock_flows"),
        ("UPDATE stock SET points = points + 1 WHERE bucket = 0", "stock"),
        ("UPDATE stock SET issue_month = issue_month - 100 WHERE bucket = 0", "stock_months"),
        ("UPDATE wallets SET merged_into = member WHERE member = {m}", "merged"),
        ("UPDATE lines SET amount = amount + 1 WHERE bucket = 0 AND ordinal = 0", "wallets"),
        ("UPDATE lines SET obligor = obligor + 1 WHERE bucket = 0", "chain"),
        ("UPDATE operations SET detail = 'x' WHERE bucket = 0 AND id = 5", "chain"),
        ("UPDATE operations SET occurred_at = occurred_at + interval '1 microsecond' WHERE id = 5", "chain"),
        ("UPDATE blocks SET period = 9 WHERE bucket = 0 AND height = 2", "chain"),
        ("UPDATE blocks SET hash = sha256(hash) WHERE bucket = 0 AND height = 2", "chain"),
        ("DELETE FROM blocks WHERE bucket = 0 AND height = 2", "chain"),
        ("DELETE FROM operations WHERE bucket = 0 AND id = 4", "keys"),
        ("DELETE FROM operations WHERE id = (SELECT max(id) FROM operations WHERE bucket = 0)", "chain"),
        ("UPDATE heads SET height = height + 1 WHERE bucket = 0", "chain"),
    ],
)
async def test_damage_is_found_and_named(
    busy: Ledger, database: Database, urls: Urls, damage: str, invariant: str
) -> None:
    await as_owner_without_triggers(urls, damage.format(m=compose(0, 1)))

    result = await proof.prove(database.writer, invariants.INVARIANTS)

    assert {finding.bucket for finding in result.findings if finding.invariant == invariant} == {0}


async def test_what_cannot_be_read_is_found_and_hides_nothing_else(
    busy: Ledger, database: Database, urls: Urls
) -> None:
    broken = compose(0, 1)
    await as_owner_without_triggers(
        urls, f"UPDATE operations SET outcome = set_byte(outcome, 0, 193) WHERE id = {broken}"
    )
    await as_owner_without_triggers(urls, "UPDATE lines SET ordinal = -1 WHERE bucket = 1 AND ordinal = 0")
    await as_owner_without_triggers(urls, "UPDATE wallets SET available = available + 1 WHERE bucket = 2")

    found = (await proof.prove(database.writer, invariants.INVARIANTS)).findings

    blamed = {(finding.invariant, finding.bucket): finding.row for finding in found}
    assert f"outcome of operation {broken} cannot be read" in blamed["lot_dates", 0]
    assert f"outcome of operation {broken}" in blamed["chain", 0]
    assert ("flow_hashes", None) in blamed
    assert {("chain", 1), ("lots", 2)} <= blamed.keys()


async def test_a_server_that_is_lost_is_no_finding(database: Database) -> None:
    async def find(connection: AsyncConnection) -> list[Finding]:
        await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return []

    with pytest.raises(DBAPIError):
        await proof.prove(database.writer, [Invariant("lost", "nobody answers", find)])
