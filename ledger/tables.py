"""The ledger's tables: history that is only ever added to, and the state it sums up to.

History (`operations`, `lines`, `blocks`) is partitioned by month of `recorded_at`; archived months
are tables of their own, which the views `archived_…` name and those of the schema `whole` add. State
(`heads`, `wallets`, `lots`, `holds`, `slices`, `dues`, `returned`, `flows`, `stock`) is moved
under the lock of its bucket's head and can be recomputed from history: `kopilka prove` does, row by
row, `keys` and `transits` included. What lines do not say of a row, `Outcome.kept` does.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    column,
    func,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from .kernel.database import metadata

INSTANT: Final = DateTime(timezone=True)


def _own_bucket(id_: str) -> CheckConstraint:
    """A row is under the bucket that its id names: under another it is not found, and made anew."""
    return CheckConstraint(f"bucket = {id_} >> 56", name="own_bucket")


calendar = Table(
    "calendar",
    metadata,
    Column("period", Integer, primary_key=True, autoincrement=False),
    Column("starts_at", INSTANT, nullable=False),
    Column("ends_at", INSTANT, nullable=False),
    Column("zone", Text, nullable=False),
    Column("notice_days", Integer),
    CheckConstraint("starts_at < ends_at", name="not_empty"),
    ExcludeConstraint(
        (func.tstzrange(column("starts_at"), column("ends_at")), "&&"), name="ex_calendar_overlap"
    ),
)

heads = Table(
    "heads",
    metadata,
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),
    Column("height", BigInteger, nullable=False),
    Column("operations", BigInteger, nullable=False),
    Column("period", Integer, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("fenced", Text),
    Column("folded", BigInteger, nullable=False, server_default=text("0")),
    CheckConstraint("octet_length(hash) = 32 AND isfinite(recorded_at)", name="sound"),
    postgresql_with={"fillfactor": "10"},
)

operations = Table(
    "operations",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("partner", Integer, nullable=False),
    Column("outlet", Integer, nullable=False),
    Column("terms", Integer, nullable=False),
    Column("period", Integer, nullable=False),
    Column("origin_period", Integer, nullable=False),
    Column("occurred_at", INSTANT, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("reference", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("terminal", Text, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("refusal", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("items", LargeBinary, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("outcome", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    PrimaryKeyConstraint("bucket", "id", "recorded_at"),
    Index("ix_operations_history", "member", "recorded_at", "id", "occurred_at"),
    postgresql_partition_by="RANGE (recorded_at)",
)
"""`reference` is the hold or transit that the operation made or used, 0 for none; `refusal` a code or empty.

Its columns and those of `lines` stand in the order in which they are packed and hashed.
"""

lines = Table(
    "lines",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("operation", BigInteger, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("debit", SmallInteger, nullable=False),
    Column("debit_owner", BigInteger, nullable=False),
    Column("credit", SmallInteger, nullable=False),
    Column("credit_owner", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("period", Integer, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("redeemer", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("terms", Integer, nullable=False),
    Column("origin_period", Integer, nullable=False),
    Column("lot", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "operation", "ordinal", "recorded_at"),
    CheckConstraint("amount > 0", name="positive"),
    postgresql_partition_by="RANGE (recorded_at)",
)

blocks = Table(
    "blocks",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("period", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("flows", ARRAY(BigInteger)),
    Column("stock", ARRAY(BigInteger)),
    PrimaryKeyConstraint("bucket", "height", "recorded_at"),
    postgresql_partition_by="RANGE (recorded_at)",
)
"""`flows` holds eleven numbers a cell, `stock` six: the views `block_flows` and `block_stock` name
them. Null in blocks of version 1, which moved the tables themselves."""

HISTORY: Final = ("operations", "lines", "blocks")

keys = Table(
    "keys",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("operation", BigInteger, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("bucket", "key"),
)

wallets = Table(
    "wallets",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("clawback_due", BigInteger, nullable=False),
    Column("next_due_at", INSTANT),
    Column("frozen", Boolean, nullable=False, server_default=text("false")),
    Column("merged_into", BigInteger),
    Column("lots_from", INSTANT, nullable=False, server_default=text("'-infinity'")),
    Column("first_lot", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("bucket", "member"),
    _own_bucket("member"),
    CheckConstraint("pending >= 0 AND available >= 0 AND held >= 0 AND clawback_due >= 0", name="floor"),
    Index("ix_wallets_due", "next_due_at", postgresql_where=text("next_due_at IS NOT NULL")),
    Index("ix_wallets_merged", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
    postgresql_with={"fillfactor": "70"},
)

lots = Table(
    "lots",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("earned_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    Column("earned", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("available_at", INSTANT),
    Column("armed_at", INSTANT),
    Column("parent", BigInteger),
    Column("forfeited", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("bucket", "member", "expires_at", "id"),
    _own_bucket("member"),
    CheckConstraint("pending >= 0 AND available >= 0", name="floor"),
    postgresql_with={"fillfactor": "85"},
)

holds = Table(
    "holds",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("partner", Integer, nullable=False),
    Column("outlet", Integer, nullable=False),
    Column("terms", Integer, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("has_lapsed", Boolean, nullable=False),
    PrimaryKeyConstraint("bucket", "id"),
    _own_bucket("id"),
    Index("ix_holds_open", "bucket", "member", postgresql_where=text("is_open")),
    postgresql_with={"fillfactor": "85"},
)

slices = Table(
    "slices",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("hold", BigInteger, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("lot", BigInteger, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("earned_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("captured", BigInteger, nullable=False),
    Column("released", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "hold", "ordinal"),
    _own_bucket("hold"),
    CheckConstraint("captured >= 0 AND released >= 0 AND captured + released <= points", name="within"),
    postgresql_with={"fillfactor": "85"},
)

transits = Table(
    "transits",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("to_member", BigInteger, nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("state", Text, nullable=False),
    Column("refusal", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("parts", LargeBinary, nullable=False),
    PrimaryKeyConstraint("bucket", "id"),
    _own_bucket("id"),
    CheckConstraint("state IN ('open', 'arrived', 'returned')", name="state"),
    Index("ix_transits_open", "id", postgresql_where=text("state = 'open'")),
)
"""Points on their way to another bucket, under the bucket that they left.

`points` is what `in_transit` holds of them: those owed by the member count against those owed to it.
"""
counters = Table(
    "counters",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("span", Text, nullable=False),
    Column("cells", LargeBinary, nullable=False),
    PrimaryKeyConstraint("bucket", "member", "name", "span"),
    _own_bucket("member"),
    postgresql_with={"fillfactor": "85"},
)
"""What a wallet counts: of each window (`span`) only the cells that still matter, packed."""

allowances = Table(
    "allowances",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("span", Text, nullable=False),
    Column("cell", BigInteger, nullable=False),
    Column("ceiling", BigInteger, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "name", "span"),
    CheckConstraint("0 <= used AND used <= granted", name="within"),
    postgresql_with={"fillfactor": "50"},
)

allowance_pools = Table(
    "allowance_pools",
    metadata,
    Column("name", Text, nullable=False),
    Column("span", Text, nullable=False),
    Column("cell", BigInteger, nullable=False),
    Column("ceiling", BigInteger, nullable=False),
    Column("granted", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", "span"),
    CheckConstraint("0 <= granted AND granted <= ceiling", name="within"),
)
"""`granted` is what the escrows of the present cell hold together; `ceiling` the highest of that cell."""

dues = Table(
    "dues",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("member", BigInteger, nullable=False),
    Column("operation", BigInteger, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("original", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("points_left", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "member", "operation"),
    _own_bucket("member"),
    CheckConstraint("points > 0 AND points_left BETWEEN 0 AND points", name="within"),
)

returned = Table(
    "returned",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("operation", BigInteger, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("quantity_milli", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("money_micro", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "operation", "line"),
    _own_bucket("operation"),
    CheckConstraint("quantity_milli >= 0 AND points >= 0 AND money_micro >= 0", name="floor"),
)

FLOW_CELL: Final = (
    "bucket",
    "period",
    "issuer",
    "obligor",
    "redeemer",
    "operation",
    "tariff",
    "terms",
    "origin_period",
)

flows = Table(
    "flows",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("period", Integer, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("redeemer", Integer, nullable=False),
    Column("operation", Text, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("terms", Integer, nullable=False),
    Column("origin_period", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("hash", Numeric(39, 0), nullable=False),
    PrimaryKeyConstraint(*FLOW_CELL),
    postgresql_with={"fillfactor": "50"},
)

flow_kinds = Table(
    "flow_kinds",
    metadata,
    Column("code", SmallInteger, primary_key=True, autoincrement=False),
    Column("operation", Text, nullable=False, unique=True),
)

flows_now = table("flows_now", *(column(c.name, c.type) for c in flows.columns))
"""A view: `flows` and what the blocks since have moved."""

STOCK_CELL: Final = ("bucket", "issuer", "obligor", "tariff", "issue_month", "expiry_month")

stock = Table(
    "stock",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("issue_month", Integer, nullable=False),
    Column("expiry_month", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint(*STOCK_CELL),
    CheckConstraint("points >= 0", name="floor"),
    postgresql_with={"fillfactor": "50"},
)

stock_now = table("stock_now", *(column(c.name, c.type) for c in stock.columns))
"""A view: `stock` and what the blocks since have moved."""

stock_at_fence = Table(
    "stock_at_fence",
    metadata,
    Column("period", Integer, nullable=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("issue_month", Integer, nullable=False),
    Column("expiry_month", Integer, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint("period", *STOCK_CELL),
)
