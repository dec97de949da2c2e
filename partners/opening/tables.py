"""Tables of imports: how far each has come, and what became of every row."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.kernel.database import metadata

imports: Final = Table(
    "imports",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("begun_at", DateTime(timezone=True), nullable=False),
    Column("begun_by", Text, nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("done", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("totals", JSONB, nullable=False),
    Column("control", JSONB, nullable=False),
    UniqueConstraint("source", "file", name="uq_imports_source_file"),
)
"""`done` is the last row that was looked at: an import goes on after it."""

import_rows: Final = Table(
    "import_rows",
    metadata,
    Column("import", Integer, ForeignKey("imports.id"), nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("operation", BigInteger),
    Column("points", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("field", Text, nullable=False),
    PrimaryKeyConstraint("import", "row"),
    Index("ix_import_rows_refused", "import", "row", postgresql_where=text("code <> ''")),
)
"""`code` is empty for a row that was taken over. Nothing here names a person."""
