"""A server of the replay's own: `kopilka up` as a child, with a driven clock and a data folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from gateway.unable import Unable

from .coalition import STARTS_AT
from .door import Credentials

_STOP_SECONDS: Final = 60.0


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An OAuth client as `kopilka up --json` tells it."""

    client_id: str
    client_secret: str

    def credentials(self) -> Credentials:
        """What a session is opened with."""
        return Credentials(client_id=self.client_id, client_secret=self.client_secret)

    def __repr__(self) -> str:
        return f"Client({self.client_id})"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A server and who runs its coalition: the line that `kopilka up --json` prints."""

    issuer: str
    operator: Client
    finance: Client


def read_place(path: Path, *, url: str | None) -> Place:
    """The place that a credentials file names, at `url` when that is given. Raises `Unable`."""
    try:
        place = msgspec.json.decode(path.read_bytes(), type=Place)
    except (OSError, msgspec.MsgspecError) as error:
        raise Unable(f"{path} is not a line of kopilka up --json: {error}") from None
    return msgspec.structs.replace(place, issuer=url or place.issuer)


@contextmanager
def own_server(*, data: Path | None, keep: bool) -> Iterator[Place]:
    """A server that runs until the block ends.

    Its data is in `data`, which stays, or in a folder of its own that is removed unless it is
    to be kept.
    """
    folder = data or _passable_folder()
    child = _start(folder)
    try:
        yield _wait_until_ready(child)
    finally:
        _stop(child)
        if data is None and not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _passable_folder() -> Path:
    """A new folder that the servers' account passes through, should this be root: all stays below it."""
    folder = Path(tempfile.mkdtemp(prefix="kopilka-replay-"))
    folder.chmod(0o711)
    return folder


def _start(folder: Path) -> subprocess.Popen[bytes]:
    options = ["--data", str(folder), "--port", str(_free_port()), "--json"]
    clock = ["--clock", "driven", "--starts-at", STARTS_AT.strftime("%Y-%m-%dT%H:%M:%S")]
    command = [sys.executable, "-m", "gateway.cli", "up", *options, *clock]
    return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)  # noqa: S603 - ourselves


def _wait_until_ready(child: subprocess.Popen[bytes]) -> Place:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise Unable("The replay's own server did not start; what it said stands above.")
    return msgspec.json.decode(line, type=Place)


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
