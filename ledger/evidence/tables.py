"""The tables of evidence: findings and who lifted them, seals and their keys, months archived."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from ledger.kernel.database import metadata
from ledger.tables import lines, operations

INSTANT: Final = DateTime(timezone=True)

findings = Table(
    "findings",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("found_at", INSTANT, nullable=False),
    Column("invariant", Text, nullable=False),
    Column("bucket", SmallInteger),
    Column("what", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("lifted_at", INSTANT),
    Column("lifted_by", Text),
    Column("lifted_because", Text),
    CheckConstraint(
        "num_nulls(lifted_at, lifted_by, lifted_because) IN (0, 3)", name="lifted_by_somebody_for_a_reason"
    ),
    Index("ux_findings_open", "fingerprint", unique=True, postgresql_where=text("lifted_at IS NULL")),
)
"""Rows that broke an invariant, one line each while open. A bucket with an open one is read-only.

One that blames no bucket says figures of the whole ledger, which change from run to run: it is kept once.
"""

seal_keys = Table(
    "seal_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("public", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False, comment="private key, AES-GCM under the master key"),
    Column("made_at", INSTANT, nullable=False),
)

seals = Table(
    "seals",
    metadata,
    Column("period", Integer, primary_key=True, autoincrement=False),
    Column("starts_at", INSTANT, nullable=False),
    Column("ends_at", INSTANT, nullable=False),
    Column("sealed_at", INSTANT, nullable=False),
    Column("buckets", Integer, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Column("operations", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("key_id", Text, ForeignKey("seal_keys.key_id"), nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

sealed_buckets = Table(
    "sealed_buckets",
    metadata,
    Column("period", Integer, ForeignKey("seals.period"), nullable=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("first_height", BigInteger, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Column("operations", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    PrimaryKeyConstraint("period", "bucket"),
)

archives = Table(
    "archives",
    metadata,
    Column("month", Date, primary_key=True),
    Column("archived_at", INSTANT, nullable=False),
    Column("archived_by", Text, nullable=False),
    Column("operations", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the manifest of its Parquet files"),
)
"""Months that are no longer in the partitions of history but in tables of their own."""

archived_operations = operations.to_metadata(MetaData(), name="archived_operations")
"""The operations of every archived month: a view, of another partner's rows for nobody."""

archived_lines = lines.to_metadata(MetaData(), name="archived_lines")
"""Their lines, likewise."""
