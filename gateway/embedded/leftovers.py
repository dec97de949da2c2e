"""What an earlier run left behind when it was killed: processes still ending, a stale pid file."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from gateway.unable import Unable

_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


def wait_for_leftovers(cluster: Path) -> None:
    """Return once no process works in `cluster` and no stale `postmaster.pid` is in the way.

    PostgreSQL judges that file by its process id, which something else may have by now; every
    PostgreSQL process stands in its data folder, so that is what is looked for here. The
    caller holds the data folder's lock: whatever is found belongs to a run that has ended.
    """
    if sys.platform != "linux":
        return
    deadline = time.monotonic() + _SECONDS
    _interrupt_postmaster(cluster)
    while working := _working_in(cluster):
        if time.monotonic() > deadline:
            raise Unable(f"An earlier PostgreSQL still works in {cluster}: process {working[0]}.")
        time.sleep(_POLL_SECONDS)
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _interrupt_postmaster(cluster: Path) -> None:
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if pid in _working_in(cluster):
        os.kill(pid, signal.SIGINT)


def _working_in(folder: Path) -> list[int]:
    processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [int(process.name) for process in processes if _is_in(process, folder)]


def _is_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder.resolve()
    except OSError:
        return False  # ended meanwhile, or another user's, who cannot be in our 0700 folder
