"""The data folder: one installation's secrets, ports, logs and servers' files, used by one process.

Everything generated is written once, readable by its owner only, before anything relies on it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from gateway.unable import Unable, explain

LAYOUT: Final = 1
"""How the folder is laid out; a larger number in it was written by newer code."""

_LOG_LIMIT_BYTES: Final = 10_000_000


class DataFolder:
    """An installation's folder, locked for as long as it is open."""

    def __init__(self, path: Path) -> None:
        """Open `path`, made if missing. Raises `Unable` if it is in use, newer or not writable."""
        self.path = path.absolute()
        try:
            # As root the servers' account passes through to folders of its own, and sees nothing else.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self._lock = self._locked()
            self._check_layout()
        except OSError as error:
            raise explain(error, f"opening the data folder {self.path}") from error

    def close(self) -> None:
        """Let another process use the folder."""
        self._lock.close()

    def secret(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)) -> str:
        """The secret called `name`, made on first use."""
        return str(self._remembered("secrets.json", name, make))

    def port(self, name: str) -> int:
        """A free loopback port for `name`: the one used before if nobody else has taken it."""
        known = self._read("ports.json").get(name)
        if known is not None and is_free("127.0.0.1", known):
            return int(known)
        self._forget("ports.json", name)
        return int(self._remembered("ports.json", name, free_port))

    def log(self, name: str) -> IO[bytes]:
        """The log file of `name`, opened to append; a long one is set aside first."""
        logs = self.path / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        file = logs / f"{name}.log"
        if file.exists() and file.stat().st_size > _LOG_LIMIT_BYTES:
            file.replace(file.with_suffix(".log.1"))
        return file.open("ab")

    def _locked(self) -> IO[str]:
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise Unable(
                f"Another Kopilka uses the data folder {self.path}: stop it, or name another with --data."
            ) from None
        return lock

    def _check_layout(self) -> None:
        file = self.path / "layout"
        if not file.exists():
            file.write_text(f"{LAYOUT}\n")
        found = file.read_text().strip()
        if not found.isdigit():
            raise Unable(f"{file} is damaged: it should hold the number {LAYOUT}.")
        if int(found) > LAYOUT:
            raise Unable(f"The data folder {self.path} is of a newer Kopilka: update, or name another.")

    def _remembered(self, file: str, name: str, make: Callable[[], Any]) -> Any:
        known = self._read(file)
        if name not in known:
            known[name] = make()
            self._write(file, known)
        return known[name]

    def _forget(self, file: str, name: str) -> None:
        known = self._read(file)
        if known.pop(name, None) is not None:
            self._write(file, known)

    def _read(self, file: str) -> dict[str, Any]:
        path = self.path / file
        try:
            found = json.loads(path.read_text()) if path.exists() else {}
        except ValueError:
            raise Unable(f"{path} is damaged: restore it from a backup.") from None
        return dict(found)

    def _write(self, file: str, content: dict[str, Any]) -> None:
        write_private(self.path / file, json.dumps(content, indent=2))


def write_private(path: Path, text: str) -> None:
    """Put `text` in place of `path` at once, for its owner only, and have it on disk before returning."""
    scratch = path.with_name(f"{path.name}.new")
    try:
        with open(scratch, "w", opener=_private) as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        scratch.replace(path)
    except OSError as error:
        raise explain(error, f"writing {path}") from error


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
