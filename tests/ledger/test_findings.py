"""A finding makes its bucket read-only, is recorded once, and is lifted by a person alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import structlog

from ledger import Ledger, findings, proof
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.kernel.refusals import InvalidInput
from ledger.proof import Proof, prove
from settlement import audits
from tests.damage import as_owner_without_triggers
from tests.ledger import proving
from tests.servers import Urls

from .builders import MEMBER, START, a_burn, an_earn
from .instances import code

BUCKET = MEMBER >> 56
ELSEWHERE = compose(8, 1)
LATER = START + timedelta(days=1)


async def test_what_breaks_an_invariant_is_recorded_and_its_bucket_is_read_only(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit_many([an_earn(50), an_earn(50, member=ELSEWHERE)])
    await _forge(urls, +5)

    audit = await audits.audit(database, at=START)

    refused, elsewhere = await ledger.submit_many([a_burn(10), a_burn(10, member=ELSEWHERE)])
    assert not audit.proof.is_ok
    assert {known.invariant for known in audit.new} >= {"lots", "wallets", "issued"}
    assert all(str(MEMBER) in known.what for known in audit.new if known.bucket == BUCKET)
    assert (code(refused), code(elsewhere)) == ("READ_ONLY", "OK")
    async with database.writer.connect() as connection:
        assert await findings.fenced(connection) == {BUCKET: "proof: lots"}
        opened, fenced = await findings.alarms(connection)
        assert (opened, fenced) == (len(audit.new), 1)
    assert (await ledger.balance(MEMBER)).available == 55  # reads go on
    await _forge(urls, -5)


async def test_the_alarm_is_raised_once_however_often_the_proof_runs(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit(an_earn(50))
    await _forge(urls, +5)

    with structlog.testing.capture_logs() as logged:
        first = await audits.audit(database, at=START)
        again = await audits.audit(database, at=LATER)

    assert first.proof.findings == again.proof.findings
    assert first.new
    assert again.new == ()
    assert [entry["finding"] for entry in logged] == [known.id for known in first.new]
    facts = await _facts(urls)
    assert facts == ["ledger.finding"] * len(first.new)
    await _forge(urls, -5)


async def test_however_much_is_broken_every_bucket_that_is_to_blame_is_read_only(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    members = [compose(bucket, number) for bucket in range(16) for number in range(1, 8)]
    await ledger.submit_many([an_earn(50, member=member) for member in members])
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("UPDATE wallets SET available = available + 1")
    await owner.close()

    audit = await audits.audit(database, at=START)
    again = await audits.audit(database, at=LATER)

    async with database.writer.connect() as connection:
        assert list(await findings.fenced(connection)) == list(range(16))
    assert again.new == ()
    for invariant in ("lots", "wallets"):
        blamed = [finding.bucket for finding in audit.proof.findings if finding.invariant == invariant]
        assert blamed == [bucket for bucket in range(16) for _ in range(proof.LIMIT)]
    with pytest.raises(audits.ProofFails):
        await _lift(database, 15)


async def test_more_findings_than_one_statement_holds_are_recorded(database: Database) -> None:
    found = [proof.Finding("lots", number % 64, f"row {number}") for number in range(7_000)]

    new = await audits.answer_for(database, found, at=START)
    again = await audits.answer_for(database, found, at=LATER)

    assert [known.what for known in new] == [finding.row for finding in found]
    assert again == ()
    async with database.writer.connect() as connection:
        assert list(await findings.fenced(connection)) == list(range(64))


async def test_a_fence_stands_until_the_proof_holds_again(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit(an_earn(50))
    await _forge(urls, +5)
    await audits.audit(database, at=START)

    with pytest.raises(audits.ProofFails):
        await _lift(database, BUCKET)
    assert code(await ledger.submit(a_burn(10))) == "READ_ONLY"
    await _forge(urls, -5)
    lifted = await _lift(database, BUCKET)

    assert {known.lifted_by for known in lifted} == {"staff:anna"}
    assert {known.bucket for known in lifted} == {BUCKET}
    assert code(await ledger.submit(a_burn(10))) == "OK"
    with pytest.raises(audits.NotFenced):
        await _lift(database, BUCKET)
    assert {known.invariant for known in await _lift(database, None)} == {"issued"}
    assert (await _facts(urls))[-1] == "ledger.fence_lifted"
    await proving.holds(database)


async def test_a_fence_stands_while_history_alone_tells_what_is_wrong(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    """What the cheap invariants read is in order: the whole proof is run before anything is written again."""
    earn = await ledger.submit(an_earn(50))
    await _fence_by_hand(urls)
    changed = "UPDATE operations SET partner = partner # 2"
    await as_owner_without_triggers(urls, changed)
    assert (await prove(database.writer, audits.CHEAP)).is_ok

    with pytest.raises(audits.ProofFails, match=f"partner of operation {earn.operation}"):
        await _lift(database, BUCKET)
    assert code(await ledger.submit(a_burn(10))) == "READ_ONLY"
    await as_owner_without_triggers(urls, changed)

    assert {known.bucket for known in await _lift(database, BUCKET)} == {BUCKET}
    assert code(await ledger.submit(a_burn(10))) == "OK"
    await proving.holds(database)


async def test_what_is_found_while_a_fence_is_being_lifted_keeps_it_up(
    ledger: Ledger, database: Database, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker proves every ten minutes, and a whole proof takes longer than that."""
    await ledger.submit(an_earn(50))
    await _forge(urls, +5)
    await audits.audit(database, at=START)
    await _forge(urls, -5)

    async def prove_and_look_away(*given: Any) -> Proof:
        whole = await prove(*given)
        monkeypatch.setattr(audits, "prove", prove)
        await _forge(urls, +7)
        await audits.audit(database, at=START)
        return whole

    monkeypatch.setattr(audits, "prove", prove_and_look_away)
    with pytest.raises(audits.ProofFails, match="57"):
        await _lift(database, BUCKET)

    assert code(await ledger.submit(a_burn(10))) == "READ_ONLY"


async def test_a_fence_that_a_person_put_up_is_lifted_in_the_same_way(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await _fence_by_hand(urls)

    assert await _lift(database, BUCKET) == []

    assert code(await ledger.submit(an_earn(50))) == "OK"


@pytest.mark.parametrize(("bucket", "because"), [(-1, "why"), (128, "why"), (7, "  "), (7, "x" * 501)])
async def test_nothing_is_lifted_without_a_bucket_and_a_reason(
    database: Database, bucket: int, because: str
) -> None:
    async with database.writer.begin() as connection:
        with pytest.raises(InvalidInput):
            await audits.lift(database, connection, bucket, by="staff:anna", because=because, at=START)


async def test_the_writer_can_neither_open_a_bucket_with_findings_nor_change_one(
    ledger: Ledger, database: Database, urls: Urls
) -> None:
    await ledger.submit(an_earn(50))
    await _forge(urls, +5)
    await audits.audit(database, at=START)
    writer = await asyncpg.connect(urls.writer)

    with pytest.raises(asyncpg.CheckViolationError):
        await writer.execute("UPDATE heads SET fenced = NULL")
    for change in (
        "DELETE FROM findings",
        "TRUNCATE findings",
        "UPDATE findings SET what = 'nothing'",
        "UPDATE findings SET bucket = 3",
        "UPDATE findings SET fingerprint = ''",
        "INSERT INTO findings (found_at, invariant, what, fingerprint, lifted_at, lifted_by, lifted_because) "
        "VALUES (now(), 'x', 'x', '', now(), 'me', 'me')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.execute(change)
    with pytest.raises(asyncpg.CheckViolationError):
        await writer.execute("UPDATE findings SET lifted_at = now()")
    lifted = "UPDATE findings SET lifted_at = now(), lifted_by = 'a', lifted_because = 'b'"
    await writer.execute(lifted)
    with pytest.raises(asyncpg.CheckViolationError):
        await writer.execute(lifted.replace("'a'", "'c'"))

    await writer.close()
    await _forge(urls, -5)


async def _lift(database: Database, bucket: int | None) -> list[findings.Known]:
    async with database.writer.begin() as connection:
        return await audits.lift(
            database, connection, bucket, by="staff:anna", because="a page was damaged", at=LATER
        )


async def _fence_by_hand(urls: Urls) -> None:
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("UPDATE heads SET fenced = 'by hand' WHERE bucket = $1", BUCKET)
    await owner.close()


async def _forge(urls: Urls, points: int) -> None:
    owner = await asyncpg.connect(urls.owner)
    await owner.execute("UPDATE wallets SET available = available + $1 WHERE member = $2", points, MEMBER)
    await owner.close()


async def _facts(urls: Urls) -> list[str]:
    owner = await asyncpg.connect(urls.owner)
    found = [row[0] for row in await owner.fetch("SELECT kind FROM events ORDER BY height")]
    await owner.close()
    return found
