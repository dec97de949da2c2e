"""`kopilka worker`: background work alone, against servers named in the environment."""

from __future__ import annotations

import uvloop

from gateway import logging
from gateway.worker import run_worker

from .installation import DataOption, installed


def worker_command(data: DataOption = None) -> None:
    """Run background jobs until SIGTERM; those under way are finished first."""
    logging.configure()
    uvloop.run(run_worker(installed(data)))
