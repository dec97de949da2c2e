"""An inclusion proof holds for every operation of a sealed period, and for nothing else."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from gateway.cli import app
from gateway.unable import Unable
from ledger.evidence.exporting import inclusion_of
from ledger.evidence.inclusion import from_inclusion_file, to_inclusion_file
from ledger.evidence.seal import NotGenuine
from ledger.evidence.sealing import PeriodUnsealed
from ledger.kernel.database import Database
from ledger.kernel.ids import compose
from ledger.tables import operations
from tests.servers import Urls

from .living import BUCKET


@pytest.fixture
async def database(lived_in: Urls) -> AsyncIterator[Database]:
    opened = await Database.open(writer_url=lived_in.writer, reader_url=lived_in.reader)
    yield opened
    await opened.close()


async def test_every_operation_of_a_sealed_period_is_proved(database: Database) -> None:
    async with database.writer.connect() as connection:
        ids = list(await connection.scalars(select(operations.c.id).where(operations.c.period == 1)))
        assert len(ids) == 9
        for id_ in ids:
            inclusion = await inclusion_of(connection, id_)

            assert inclusion is not None
            again = from_inclusion_file(json.loads(json.dumps(to_inclusion_file(inclusion))))
            assert again == inclusion
            assert again.operation()["id"] == id_


async def test_what_is_not_sealed_or_not_there_is_not_proved(database: Database) -> None:
    async with database.writer.connect() as connection:
        with pytest.raises(PeriodUnsealed):
            await inclusion_of(connection, compose(BUCKET, 10))
        assert await inclusion_of(connection, compose(BUCKET, 99)) is None


async def test_whatever_is_changed_in_a_proof_makes_it_prove_nothing(database: Database) -> None:
    file = await _file(database)
    changed = list(_changes(file))

    for where, forged in changed:
        try:
            proved = from_inclusion_file(forged)
        except NotGenuine:
            continue
        pytest.fail(f"{where} was changed and {proved.seal.root.hex()} still proved")
    assert len(changed) > 60


async def test_an_operation_of_one_proof_does_not_go_with_the_path_of_another(database: Database) -> None:
    file, other = await _file(database, 3), await _file(database, 4)

    with pytest.raises(NotGenuine):
        from_inclusion_file(file | {"row": other["row"], "salt": other["salt"], "lines": other["lines"]})


async def test_a_proof_is_checked_with_no_database_and_no_network(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await _file(database)
    seal, other = file["seal"], file["seal"] | {"period": 2}
    for name, content in {"proof": file, "seal": seal, "other": other, "nothing": []}.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "text").write_bytes(b"\xff not JSON")
    for name in ("DATABASE_URL", "OWNER_URL", "READER_URL", "REDIS_URL", "MASTER_KEY", "DATA_DIR"):
        monkeypatch.delenv(f"KOPILKA_{name}", raising=False)
    monkeypatch.setattr(socket, "socket", _no_network)

    told = _run("verify", str(tmp_path / "proof"), "--seal", str(tmp_path / "seal"), "--json")

    assert json.loads(told)["operation"]["kind"] == "earn"
    assert json.loads(told)["root"] == seal["root"]
    assert f"{compose(BUCKET, 6)}" in _run("verify", str(tmp_path / "proof"))
    for arguments in (
        ("proof", "--seal", str(tmp_path / "other")),
        ("nothing",),
        ("text",),
        ("seal",),
        ("missing",),
        ("proof", "--recorded"),
    ):
        with pytest.raises(Unable):
            _run("verify", str(tmp_path / arguments[0]), *arguments[1:])


async def _file(database: Database, number: int = 6) -> dict[str, Any]:
    """The proof of the `number`-th operation of bucket 7."""
    async with database.writer.connect() as connection:
        inclusion = await inclusion_of(connection, compose(BUCKET, number))
    assert inclusion is not None
    return to_inclusion_file(inclusion)


def _changes(file: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The file with each of its values in turn changed a little, emptied, or left out."""
    for path in _paths(file):
        change: Callable[[Any], Any]
        for change in (_changed, lambda _value: None, lambda _value: "", lambda _value: []):
            forged = copy.deepcopy(file)
            place = forged
            for step in path[:-1]:
                place = place[step]
            before = place[path[-1]]
            place[path[-1]] = change(before)
            if place[path[-1]] != before:
                yield f"{path}: {before!r} → {place[path[-1]]!r}", forged
        forged = copy.deepcopy(file)
        place = forged
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]
        yield f"{path} left out", forged


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inner:
        # What merely repeats in words what the key's bytes say is no part of the proof.
        if step not in {"kty", "crv", "use", "alg"}:
            yield (*path, step)
            yield from _paths(each, (*path, step))


def _changed(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and value[:1].isdigit() and "T" in value:
        return value.replace("2026", "2025")
    if isinstance(value, str):
        middle = len(value) // 2
        return value[:middle] + ("a" if value[middle] != "a" else "b") + value[middle + 1 :]
    return value


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _no_network(*_arguments: object, **_named: object) -> None:
    raise AssertionError("a proof is checked offline")
