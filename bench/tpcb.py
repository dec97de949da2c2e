"""TPC-B: PostgreSQL's own pgbench on the same server, the yardstick of every ratio."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Final

from sqlalchemy.engine import make_url

from gateway.embedded import wheel_binaries

SCALE: Final = 50
DATABASE: Final = "tpcb"


class TpcB:
    """pgbench's TPC-B-like script against one server."""

    def __init__(self, admin_url: str) -> None:
        url = make_url(admin_url).set(database=DATABASE)
        self.url = url.render_as_string(hide_password=False)
        self._environment = {**os.environ, "PGPASSWORD": str(url.password)}
        self._at = ["-h", str(url.host), "-p", str(url.port), "-U", str(url.username), DATABASE]
        self._program = wheel_binaries().program("pgbench")

    def prepare(self) -> None:
        """Fill the tables: `-i -s 50`."""
        self._run("-i", "-q", "-s", str(SCALE))

    def transactions_per_second(self, seconds: int) -> float:
        """One run of `-M prepared -c 8 -j 2`."""
        said = self._run("-M", "prepared", "-c", "8", "-j", "2", "-T", str(seconds))
        found = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"pgbench did not say how fast it was: {said}")
        return float(found[1])

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, *arguments, *self._at],
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout
