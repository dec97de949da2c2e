"""Every room's tables in one place, to compare the migrations with."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Final

from alembic.runtime.environment import NameFilterParentNames, NameFilterType

import ledger.kernel.tables  # noqa: F401 - registers itself
from ledger.kernel.database import metadata

__all__ = ["is_ours", "metadata"]

_ROOMS: Final = (
    "ledger.tables",
    "members.tables",
    "partners.tables",
    "partners.clients.tables",
    "gateway.oauth.tables",
    "settlement.tables",
)

for _room in _ROOMS:
    if find_spec(_room) is not None:
        import_module(_room)


def is_ours(name: str | None, type_: NameFilterType, _parents: NameFilterParentNames) -> bool:
    """Whether a database object takes part in comparisons: partitions are made at run time."""
    return type_ != "table" or name in metadata.tables or not _is_partition(name)


def _is_partition(name: str | None) -> bool:
    return name is not None and any(
        table.dialect_options["postgresql"].get("partition_by") and name.startswith(f"{table.name}_")
        for table in metadata.tables.values()
    )
