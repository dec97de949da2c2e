"""The settlement's tables: what a closed period came to. All of them are only ever added to."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from ledger.kernel.database import metadata

period_stages: Final = Table(
    "period_stages",
    metadata,
    Column("period", Integer, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("reached_at", DateTime(timezone=True), nullable=False),
    Column("reached_by", Text, nullable=False),
    Column("hash", LargeBinary),
    PrimaryKeyConstraint("period", "ordinal"),
)
"""A period without a row is open. Two that move one at once meet at the primary key."""

cells: Final = Table(
    "cells",
    metadata,
    Column("period", Integer, nullable=False),
    Column("operation", Text, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("redeemer", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("terms", Integer, nullable=False),
    Column("origin_period", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint(
        "period", "operation", "issuer", "obligor", "redeemer", "tariff", "terms", "origin_period"
    ),
)

frozen_stock: Final = Table(
    "frozen_stock",
    metadata,
    Column("period", Integer, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("issue_month", Integer, nullable=False),
    Column("expiry_month", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint("period", "issuer", "obligor", "tariff", "issue_month", "expiry_month"),
    CheckConstraint("points >= 0", name="floor"),
)

obligations: Final = Table(
    "obligations",
    metadata,
    Column("period", Integer, nullable=False),
    Column("debtor", Integer, nullable=False),
    Column("creditor", Integer, nullable=False),
    Column("micro", BigInteger, nullable=False),
    PrimaryKeyConstraint("period", "debtor", "creditor"),
    CheckConstraint("micro > 0 AND debtor <> creditor", name="owed_to_another"),
)

sheets: Final = Table(
    "sheets",
    metadata,
    Column("period", Integer, primary_key=True, autoincrement=False),
    Column("currency", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("drawn_up_at", DateTime(timezone=True), nullable=False),
)

sheet_lines: Final = Table(
    "sheet_lines",
    metadata,
    Column("period", Integer, nullable=False),
    Column("partner", Integer, nullable=False),
    Column("opening_micro", BigInteger, nullable=False),
    Column("charge_micro", BigInteger, nullable=False),
    Column("payable_micro", BigInteger, nullable=False),
    PrimaryKeyConstraint("period", "partner"),
)

statements: Final = Table(
    "statements",
    metadata,
    Column("number", Text, primary_key=True),
    Column("period", Integer, nullable=False),
    Column("partner", Integer, nullable=False),
    Column("charge_micro", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("period", "partner"),
)
