"""Both servers of one installation, started and stopped together."""

from __future__ import annotations

from .account import remove_server_folder, serving_account
from .addresses import ROLES, Addresses
from .folder import DataFolder
from .postgres import ADMIN, Postgres
from .valkey import Valkey


class Servers:
    """PostgreSQL and Valkey of our own, started and stopped together."""

    def __init__(self, data: DataFolder, *, postgres_settings: dict[str, str] | None = None) -> None:
        """Servers that live in `data`; nothing runs before `start`."""
        account = serving_account()
        self._data = data
        self._postgres = Postgres(data, account, overrides=postgres_settings)
        self._valkey = Valkey(data, account)

    def start(self) -> Addresses:
        """Start both; if one fails the other is stopped and `Unable` says why."""
        try:
            self._postgres.start()
            self._valkey.start()
        except BaseException:
            self.stop()
            raise
        owner, writer, reader = (self._postgres.url(role) for role in ROLES.values())
        return Addresses(owner=owner, writer=writer, reader=reader, redis=self._valkey.url)

    def stop(self) -> None:
        """Stop both, the queue first."""
        self._valkey.stop()
        self._postgres.stop()

    def remove(self) -> None:
        """Forget what the stopped servers kept, for data that is not worth keeping."""
        for name in ("postgres", "valkey"):
            remove_server_folder(self._data.path / name)

    @property
    def admin_url(self) -> str:
        """The superuser's address of the maintenance database: for tests and measurements."""
        return self._postgres.url(ADMIN, "postgres")
