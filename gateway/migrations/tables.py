"""Every room's tables in one place, to compare the migrations with."""

# ruff: noqa: F401 - a room's tables register themselves when they are imported
from __future__ import annotations

from alembic.runtime.environment import NameFilterParentNames, NameFilterType

import gateway.oauth.tables
import ledger.evidence.tables
import ledger.kernel.tables
import ledger.tables
import ledger.tallies.tables
import members.tables
import partners.clients.tables
import partners.opening.tables
import partners.tables
import settlement.tables
from ledger.kernel.database import metadata

__all__ = ["is_ours", "metadata"]


def is_ours(name: str | None, type_: NameFilterType, _parents: NameFilterParentNames) -> bool:
    """Whether a database object takes part in comparisons: partitions are made at run time."""
    return type_ != "table" or name in metadata.tables or not _is_partition(name)


def _is_partition(name: str | None) -> bool:
    return name is not None and any(
        table.dialect_options["postgresql"].get("partition_by") and name.startswith(f"{table.name}_")
        for table in metadata.tables.values()
    )
