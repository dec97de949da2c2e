"""A server as a child process: it ends with its parent, and only its parent ends it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from gateway.unable import Unable, explain

from .account import Account

_PR_SET_PDEATHSIG: Final = 1
_MARKS: Final = ("FATAL:", "PANIC:", "kopilka:", "initdb: error:", "Error:", " # ")
"""How PostgreSQL, our own commands, Python and Valkey begin to say what is wrong."""

_POLL_SECONDS: Final = 0.02
_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """A running child process in a session of its own, so that Ctrl-C reaches its parent alone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: IO[bytes] | None = None,
        account: Account | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        dies_by: signal.Signals = signal.SIGTERM,
        interrupts: bool = True,
    ) -> None:
        """Start `command`; if this process dies first, the kernel sends `dies_by` to the child.

        One that does not interrupt waits for a free processor when it wakes, or for the end of a turn.
        """
        self.name = name
        drops = account is not None and account.is_other
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
                start_new_session=True,
                user=account.uid if account and drops else None,
                group=account.gid if account and drops else None,
                extra_groups=[] if drops else None,
                preexec_fn=_before_exec(dies_by, interrupts=interrupts),
            )
        except OSError as error:
            raise explain(error, f"starting {name}") from error

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """0 for a good end, None while it runs."""
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, failure: Callable[[], str]) -> None:
        """Return once `ready`; raises `Unable` with `failure()` if the child ends or `seconds` pass."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.ended_within(_POLL_SECONDS):
                raise Unable(f"{self.name} did not start: {failure()}")
            if time.monotonic() > deadline:
                self.stop()
                raise Unable(f"{self.name} did not answer within {seconds:.0f} s: {failure()}")

    def ended_within(self, seconds: float) -> bool:
        """Whether the child ends within `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, by: signal.Signals = signal.SIGTERM, *, seconds: float = 30.0) -> None:
        """Ask the child to end, wait, and kill it if `seconds` were not enough."""
        if self.is_running:
            self._process.send_signal(by)
            if not self.ended_within(seconds):
                self._process.kill()
                self._process.wait()


def last_complaint(log: Path) -> str:
    """What the end of `log` says went wrong, as a sentence that names the file."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[-200:] if line.strip()]
    if any("No space left on device" in line for line in lines[-20:]):
        return "the disk is full; free some room and start again."
    for line in reversed(lines):
        for mark in _MARKS:
            if mark in line:
                return f"{line.split(mark, 1)[1].strip().rstrip('.')} (see {log})."
    return f"it gave no reason (see {log})."


def _before_exec(dies_by: signal.Signals, *, interrupts: bool) -> Callable[[], None] | None:
    libc = _libc
    if libc is None:
        return None
    parent = os.getpid()

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, dies_by.value, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        if not interrupts:
            with suppress(OSError):  # a container may forbid it, and nothing but speed is lost
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return before_exec
