"""One PostgreSQL and one Valkey for a whole test run, and a database for each test.

The first process of the run starts them and stops them; xdist's workers find them through the
environment. If that process is killed the kernel ends the servers with it.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from gateway.embedded import DataFolder, Servers
from gateway.migrations.upgrade import Installation, migrate

_RUN: Final = "KOPILKA_TEST_RUN"
"""Names the folder of the run's servers to the processes that share them."""

_TEMPLATE: Final = "kopilka_template"
_QUICK: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "200",
}
"""A test's data need not outlive the machine; tests of durability start servers of their own."""

_counter: Final = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Where one test's database is, for each role."""

    name: str
    owner: str
    writer: str
    reader: str
    redis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The run's servers; the URLs of PostgreSQL name no database of their own."""

    admin_url: str
    owner_url: str
    writer_url: str
    reader_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class _Started:
    folder: Path
    data: DataFolder
    servers: Servers


_started: list[_Started] = []


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")


def start() -> Running:
    """Start the run's servers; this process must be the last of the run to end."""
    folder = Path(tempfile.mkdtemp(prefix="kopilka-test-"))
    folder.chmod(0o711)  # as root, the servers' account passes through
    data = DataFolder(folder / "data")
    servers = Servers(data, postgres_settings=_QUICK)
    _started.append(_Started(folder, data, servers))
    addresses = servers.start()
    found = Running(
        admin_url=servers.admin_url,
        owner_url=addresses.owner,
        writer_url=addresses.writer,
        reader_url=addresses.reader,
        redis_url=addresses.redis,
    )
    (folder / "running.json").write_text(json.dumps(asdict(found)))
    os.environ[_RUN] = str(folder)
    return found


def stop() -> None:
    """Stop what this process started, and forget it."""
    while _started:
        started = _started.pop()
        started.servers.stop()
        started.data.close()
        started.servers.remove()
        shutil.rmtree(started.folder)
        os.environ.pop(_RUN, None)


def running() -> Running:
    """The run's servers, started now if this is the first to ask."""
    folder = os.environ.get(_RUN)
    if folder is None:
        return start()
    return Running(**json.loads((Path(folder) / "running.json").read_text()))


async def fresh_database(starts_at: datetime) -> Urls:
    """A database cloned from a migrated one, whose driven clock stands at `starts_at`."""
    run = running()
    connection = await asyncpg.connect(run.admin_url)
    try:
        await _make_template(connection, run, starts_at)
        name = f"test_{os.getpid()}_{next(_counter)}"
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} OWNER {_user(run.owner_url)}")
        # Rights on a database are not cloned with it.
        await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        for role in (run.writer_url, run.reader_url):
            await connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {_user(role)}")
    finally:
        await connection.close()
    return _urls(run, name)


async def empty_database(options: str = "") -> Urls:
    """A database that no migration has seen; `options` as in CREATE DATABASE."""
    run = running()
    connection = await asyncpg.connect(run.admin_url)
    try:
        name = f"test_{os.getpid()}_{next(_counter)}"
        await connection.execute(f"CREATE DATABASE {name} OWNER {_user(run.owner_url)} {options}")
    finally:
        await connection.close()
    return _urls(run, name)


async def drop_database(urls: Urls) -> None:
    """Drop a test's database, whoever is still connected to it."""
    connection = await asyncpg.connect(running().admin_url)
    try:
        await connection.execute(f"DROP DATABASE {urls.name} WITH (FORCE)")
    finally:
        await connection.close()


async def _make_template(connection: asyncpg.Connection, run: Running, starts_at: datetime) -> None:
    with _one_at_a_time():
        if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _TEMPLATE):
            return
        unfinished = f"{_TEMPLATE}_unfinished"
        await connection.execute(f"DROP DATABASE IF EXISTS {unfinished}")
        await connection.execute(f"CREATE DATABASE {unfinished} OWNER {_user(run.owner_url)}")
        urls = _urls(run, unfinished)
        await migrate(
            owner_url=urls.owner,
            writer_url=urls.writer,
            reader_url=urls.reader,
            installation=Installation(is_driven=True, starts_at=starts_at),
        )
        await connection.execute(f"ALTER DATABASE {unfinished} RENAME TO {_TEMPLATE}")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (Path(os.environ[_RUN]) / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _urls(run: Running, name: str) -> Urls:
    def on(url: str) -> str:
        return make_url(url).set(database=name).render_as_string(hide_password=False)

    return Urls(
        name=name,
        owner=on(run.owner_url),
        writer=on(run.writer_url),
        reader=on(run.reader_url),
        redis=run.redis_url,
    )


def _user(url: str) -> str:
    user = make_url(url).username
    assert user is not None
    return user
