"""How an installation's servers are reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

DATABASE: Final = "kopilka"
HOST: Final = "127.0.0.1"

ROLES: Final = {
    "owner_url": "kopilka_owner",
    "database_url": "kopilka_writer",
    "reader_url": "kopilka_reader",
}
"""The database roles of our own PostgreSQL, by the setting that names each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """URLs with passwords: for migrations, for writing, for filtered reading, for jobs."""

    owner: str
    writer: str
    reader: str
    redis: str


def postgres_url(role: str, password: str, port: int, database: str = DATABASE) -> str:
    """Where `role` connects to `database` on this machine."""
    return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{port}/{database}"


def valkey_url(password: str, port: int) -> str:
    """Where the queue on this machine is."""
    return f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"
