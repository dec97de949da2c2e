"""A backup taken under load, restored: the same chain, and what it lacks is posted again, once."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from gateway.cli import app
from gateway.embedded import DataFolder, Servers
from gateway.embedded.account import remove_server_folder
from gateway.embedded.addresses import Addresses
from gateway.migrations.upgrade import Installation, migrate
from gateway.unable import Unable
from ledger import Ledger, Outcome, heads
from ledger.evidence import sealing
from ledger.evidence.exporting import inclusion_of
from ledger.evidence.inclusion import Inclusion
from ledger.evidence.seal import Seal
from ledger.evidence.seal_keys import SealKeys
from ledger.heads import Tip
from ledger.kernel.clock import DrivenClock
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import operations as table
from tests.ledger import proving
from tests.ledger.builders import FAR, START, a_burn, an_authorization, an_earn
from tests.ledger.instances import extend_calendar

_QUICK = {"shared_buffers": "16MB", "fsync": "off"}
_FEBRUARY = datetime(2026, 2, 2, tzinfo=UTC)


@dataclass
class Place:
    """An installation's folder, and the servers that run in it."""

    path: Path
    data: DataFolder
    servers: Servers
    addresses: Addresses


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder that the servers' account can pass through."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.name.startswith(("pytest-", "test_")):
            parent.chmod(0o711)
    yield tmp_path
    for name in ("before", "after", "again"):
        for server in ("postgres", "valkey"):
            remove_server_folder(tmp_path / name / server)


@pytest.fixture
def before(room: Path) -> Iterator[Place]:
    """An installation in January 2026 with a hundred operations."""
    place = _started(room / "before")
    asyncio.run(_install(place.addresses))
    yield place
    place.servers.stop()
    place.data.close()


def test_after_a_restore_the_chain_is_the_same_and_what_is_lacking_is_posted_once(
    before: Place, room: Path
) -> None:
    asyncio.run(_post(before.addresses, range(100)))
    asyncio.run(_end_january(before.addresses))
    kept = asyncio.run(_state(before.addresses))
    asyncio.run(_while_posting(before, room / "backup", range(100, 400)))
    asyncio.run(_post(before.addresses, range(400, 500)))
    before.servers.stop()

    told = _run(
        "restore", room / "backup", "--data", room / "after", "--secrets", before.path / "secrets.json"
    )
    after = _started(room / "after")
    restored = asyncio.run(_state(after.addresses))
    first = asyncio.run(_post(after.addresses, range(500)))
    second = asyncio.run(_post(after.addresses, range(500)))
    asyncio.run(_proved(after.addresses, operations=500))
    after.servers.stop()
    after.data.close()

    assert told["ok"]
    assert told["operations"] >= 100
    assert restored.seals == kept.seals
    assert restored.proofs == kept.proofs
    assert all(kept.proofs)
    assert restored.heads_of(kept) == kept.heads
    assert all(outcome.refused is None for outcome in first)
    assert all(outcome.replayed for outcome in first[:100])
    assert not any(outcome.replayed for outcome in first[400:])
    assert all(outcome.replayed for outcome in second)
    assert [outcome.operation for outcome in first] == [outcome.operation for outcome in second]


def test_a_damaged_backup_is_not_restored(before: Place, room: Path) -> None:
    asyncio.run(_post(before.addresses, range(10)))
    _back_up(before, room / "backup")
    victim = max((room / "backup" / "postgres" / "base").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)

    with pytest.raises(Unable, match="checksum differs"):
        _run("restore", room / "backup", "--data", room / "after", "--secrets", before.path / "secrets.json")

    assert not (room / "after" / "postgres" / "18").exists()


def test_a_restore_touches_no_installation_that_is_there_and_needs_its_secrets(
    before: Place, room: Path
) -> None:
    _back_up(before, room / "backup")
    with pytest.raises(Unable, match="not empty"):
        _back_up(before, room / "backup")
    before.servers.stop()
    before.data.close()
    other = room / "again"
    other.mkdir(mode=0o711)
    (other / "secrets.json").write_text(json.dumps({"kopilka_admin": "another"}))

    with pytest.raises(Unable, match="already"):
        _run("restore", room / "backup", "--data", before.path)
    with pytest.raises(Unable, match="secrets of its own"):
        _run("restore", room / "backup", "--data", other, "--secrets", before.path / "secrets.json")
    with pytest.raises(Unable, match="not those of the installation"):
        _run("restore", room / "backup", "--data", other)
    with pytest.raises(Unable, match="no secrets"):
        _run("restore", room / "backup", "--data", room / "after")
    shutil.rmtree(room / "backup" / "postgres")
    (room / "backup" / "backup.json").unlink()
    with pytest.raises(Unable, match="no backup that was finished"):
        _run("restore", room / "backup", "--data", room / "after")


@dataclass
class State:
    """Heads and seals, and the proof of the first operation of each bucket."""

    heads: list[Tip]
    hashes: dict[tuple[int, int], bytes]
    seals: list[Seal]
    proofs: list[Inclusion | None]

    def heads_of(self, other: State) -> list[Tip]:
        """What stands at the heights of the other's heads."""
        return [Tip(tip.bucket, tip.height, self.hashes[tip.bucket, tip.height]) for tip in other.heads]


def _started(path: Path) -> Place:
    data = DataFolder(path)
    servers = Servers(data, postgres_settings=_QUICK)
    return Place(path, data, servers, servers.start())


def _back_up(place: Place, to: Path) -> None:
    result = CliRunner().invoke(app, ["backup", str(to), "--data", str(place.path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def _run(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def _install(addresses: Addresses) -> None:
    await migrate(
        owner_url=addresses.owner,
        writer_url=addresses.writer,
        reader_url=addresses.reader,
        installation=Installation(is_driven=True, starts_at=START),
    )
    database = await _open(addresses)
    await extend_calendar(database)
    await database.close()


async def _open(addresses: Addresses) -> Database:
    return await Database.open(writer_url=addresses.writer, reader_url=addresses.reader)


async def _post(addresses: Addresses, numbers: range) -> list[Outcome]:
    database = await _open(addresses)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    outcomes = []
    for start in range(0, len(numbers), 20):
        outcomes += await ledger.submit_many([_command(number) for number in numbers[start : start + 20]])
    await ledger.drain()
    await database.close()
    return outcomes


def _command(number: int) -> Any:
    """Earns; from the 200th on every tenth is a burn or a hold of what the member earned before."""
    common: dict[str, Any] = {"key": f"k{number}", "member": compose(number % 8, number % 40 + 1)}
    if number >= 200 and number % 10 == 9:
        return a_burn(3, **common) if number % 20 == 9 else an_authorization(2, expires_at=FAR, **common)
    return an_earn(10 + number, **common)


async def _while_posting(place: Place, to: Path, numbers: range) -> None:
    """Back up while operations are posted."""
    posting = asyncio.create_task(_post(place.addresses, numbers))
    await asyncio.to_thread(_back_up, place, to)
    await posting


async def _end_january(addresses: Addresses) -> None:
    """Seal January."""
    database = await _open(addresses)
    ledger = Ledger(database, DrivenClock(START))
    await ledger.start()
    await ledger.advance(_FEBRUARY)
    await ledger.drain()
    async with database.writer.begin() as connection:
        (span,) = await sealing.due(connection)
        await sealing.seal_period(connection, span, SealKeys([bytes(32)]), at=_FEBRUARY)
    await database.close()


async def _state(addresses: Addresses) -> State:
    database = await _open(addresses)
    async with database.writer.connect() as connection:
        tips = await heads.all_heads(connection)
        hashes = {
            (tip.bucket, height): await heads.hash_at(connection, tip.bucket, height)
            for tip in tips
            for height in range(tip.height + 1)
        }
        seals = await sealing.all_seals(connection)
        proofs = [await inclusion_of(connection, compose(bucket, 1)) for bucket in range(8)]
    await database.close()
    assert all(hashes.values())
    return State(tips, {place: hash_ for place, hash_ in hashes.items() if hash_}, seals, proofs)


async def _proved(addresses: Addresses, *, operations: int) -> None:
    database = await _open(addresses)
    await proving.holds(database)
    async with database.writer.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(table)) == operations
    await database.close()
