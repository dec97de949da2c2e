"""PostgreSQL and Valkey of our own: closed to others, robust after a crash, gone when told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded import DataFolder, Servers
from gateway.embedded.account import Account, serving_account
from gateway.embedded.folder import LAYOUT
from gateway.embedded.leftovers import _working_in
from gateway.embedded.postgres import disk_settings, machine_memory_mb, memory_settings
from gateway.unable import Unable

_QUICK = {"shared_buffers": "16MB"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith(("pytest-", "test_")):
            parent.chmod(0o711)
    opened = DataFolder(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def servers(folder: DataFolder) -> Iterator[Servers]:
    made = Servers(folder, postgres_settings=_QUICK)
    yield made
    made.stop()
    made.remove()


@pytest.mark.parametrize(
    ("memory_mb", "buffers", "at_hand"),
    [(512, "256MB", "256MB"), (6_000, "1000MB", "3000MB"), (1_000_000, "8192MB", "500000MB")],
)
def test_postgresqls_buffers_follow_the_machines_memory(memory_mb: int, buffers: str, at_hand: str) -> None:
    assert memory_settings(memory_mb) == {"shared_buffers": buffers, "effective_cache_size": at_hand}
    assert machine_memory_mb() > 0


@pytest.mark.parametrize(
    ("free_mb", "log", "kept"),
    [
        (10, "1024MB", "256MB"),
        (40_000, "10000MB", "2500MB"),
        (10_000_000, "32768MB", "8192MB"),
    ],
)
def test_postgresqls_log_between_checkpoints_follows_the_free_disk(free_mb: int, log: str, kept: str) -> None:
    assert disk_settings(free_mb) == {"max_wal_size": log, "min_wal_size": kept}


def test_what_was_committed_is_there_after_a_restart(servers: Servers) -> None:
    first = servers.start()
    _run_sql(first.owner, "CREATE TABLE kept (id int)")
    servers.stop()

    second = servers.start()

    assert second == first
    assert _fetch(second.owner, "SELECT count(*) FROM kept") == 0


def test_what_was_committed_is_there_after_both_were_killed(servers: Servers, folder: DataFolder) -> None:
    urls = servers.start()
    _run_sql(urls.owner, "CREATE TABLE kept AS SELECT 1 AS id")
    for pid in _processes_in(folder):
        os.kill(pid, signal.SIGKILL)

    again = servers.start()

    assert _fetch(again.owner, "SELECT id FROM kept") == 1


def test_a_stale_pid_file_of_a_live_stranger_is_no_obstacle(servers: Servers, folder: DataFolder) -> None:
    servers.start()
    servers.stop()
    pid_file = folder.path / "postgres" / "18" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n")

    urls = servers.start()

    assert _fetch(urls.owner, "SELECT 1") == 1


def test_servers_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    urls = json.loads(starter.stdout.readline())

    starter.kill()
    starter.wait()

    deadline = time.monotonic() + 20
    while _answers(urls["owner"]) or _answers(urls["redis"]):
        assert time.monotonic() < deadline, "a server was left behind"
        time.sleep(0.05)
    data = DataFolder(tmp_path / "data")
    Servers(data).remove()
    data.close()


def test_a_port_taken_meanwhile_is_replaced(servers: Servers, folder: DataFolder) -> None:
    servers.start()
    servers.stop()
    ports = json.loads((folder.path / "ports.json").read_text())

    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", ports["postgres"]))
        squatter.listen()
        urls = servers.start()

        assert _fetch(urls.owner, "SELECT 1") == 1
        assert str(ports["postgres"]) not in urls.owner


def test_nobody_connects_without_the_password(servers: Servers) -> None:
    urls = servers.start()

    with pytest.raises(asyncpg.InvalidPasswordError):
        _fetch(urls.owner.replace("kopilka_owner:", "kopilka_owner:x"), "SELECT 1")
    assert _valkey_says(urls.redis, "PING").startswith("-NOAUTH")


def test_the_cluster_has_checksums_scram_and_durable_commits(servers: Servers) -> None:
    urls = servers.start()

    shown = {
        name: _fetch(urls.owner, f"SHOW {name}") for name in ("data_checksums", "fsync", "synchronous_commit")
    }

    assert shown == {"data_checksums": "on", "fsync": "on", "synchronous_commit": "on"}
    assert _fetch(urls.owner, "SHOW listen_addresses") == "127.0.0.1"
    assert _fetch(servers.admin_url, "SHOW unix_socket_directories") == ""


def test_secrets_and_data_are_readable_by_their_owner_only(servers: Servers, folder: DataFolder) -> None:
    servers.start()

    for private in ("secrets.json", "ports.json", "valkey/valkey.conf"):
        assert stat.S_IMODE((folder.path / private).stat().st_mode) == 0o600, private
    assert stat.S_IMODE((folder.path / "postgres" / "18").stat().st_mode) == 0o700


def test_data_below_a_closed_home_is_served_and_the_home_stays_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    data = DataFolder(home / "data")
    servers = Servers(data, postgres_settings=_QUICK)

    urls = servers.start()

    assert _fetch(urls.owner, "SELECT 1") == 1
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    servers.stop()
    servers.remove()
    data.close()


def test_a_folder_closed_to_an_account_is_known_to_be(tmp_path: Path) -> None:
    stranger = Account(uid=54321, gid=54321, is_other=True)
    (tmp_path / "closed").mkdir(mode=0o700)

    assert not stranger.reaches(tmp_path / "closed" / "data")
    assert replace(serving_account(), is_other=False).reaches(tmp_path / "closed" / "data")


def test_a_data_folder_is_used_by_one_process_at_a_time(folder: DataFolder) -> None:
    with pytest.raises(Unable, match=r"Another Kopilka uses the data folder .*: stop it"):
        DataFolder(folder.path)


def test_a_data_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layout").write_text(f"{LAYOUT + 1}\n")

    with pytest.raises(Unable, match="of a newer Kopilka: update"):
        DataFolder(tmp_path)


def test_a_cluster_of_another_postgresql_is_refused(servers: Servers, folder: DataFolder) -> None:
    servers.start()
    servers.stop()
    (folder.path / "postgres" / "18" / "PG_VERSION").write_text("19\n")

    with pytest.raises(Unable, match="was made by PostgreSQL 19; this Kopilka runs 18"):
        servers.start()


def test_a_server_that_will_not_start_says_why_in_a_sentence(folder: DataFolder) -> None:
    servers = Servers(folder, postgres_settings={"shared_buffers": "64TB"})

    with pytest.raises(
        Unable, match=r"^PostgreSQL did not start: configuration file .* contains errors \(see .*\)\.$"
    ):
        servers.start()
    servers.remove()


_STARTER = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from gateway.embedded import DataFolder, Servers
servers = Servers(DataFolder(Path(sys.argv[1])), postgres_settings={"shared_buffers": "16MB"})
print(json.dumps(asdict(servers.start())), flush=True)
time.sleep(600)
"""


def _processes_in(folder: DataFolder) -> list[int]:
    return _working_in(folder.path / "postgres" / "18") + _working_in(folder.path / "valkey")


def _answers(url: str) -> bool:
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _valkey_says(url: str, command: str) -> str:
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        return connection.recv(100).decode()


def _run_sql(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(statement)
        await connection.close()

    asyncio.run(run())


def _fetch(url: str, query: str) -> object:
    async def fetch() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(fetch())
