"""The partners' tables. History (agreements, tariffs, events) is only ever added to."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.kernel.database import metadata

programme: Final = Table(
    "programme",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("cut_off", Text, nullable=False),
    Column("point_value_micro", BigInteger, nullable=False),
    Column("notice_days", Integer),
    Column("defaults", JSONB, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("id = 1", name="only_one"),
)

partners: Final = Table(
    "partners",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("suspended_at", DateTime(timezone=True)),
)

tariffs: Final = Table(
    "tariffs",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    # No foreign key: the operator pays for its own campaigns and is no row of `partners`.
    Column("obligor", Integer, nullable=False),
    Column("funding", Text, nullable=False),
    Column("issue_price_micro", BigInteger, nullable=False),
    Column("redemption_value_micro", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("breakage_share_ppm", Integer, nullable=False),
    UniqueConstraint(
        "obligor",
        "funding",
        "issue_price_micro",
        "redemption_value_micro",
        "currency",
        "breakage_share_ppm",
        name="uq_tariffs_prices",
    ),
)

agreements: Final = Table(
    "agreements",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("partner", Integer, ForeignKey("partners.id"), nullable=False),
    Column("tariff", Integer, ForeignKey("tariffs.id"), nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("made_by", Text, nullable=False),
    Column("funding", Text, nullable=False),
    Column("issue_price_micro", BigInteger, nullable=False),
    Column("redemption_value_micro", BigInteger, nullable=False),
    Column("fee_ppm", Integer, nullable=False),
    Column("vat_ppm", Integer, nullable=False),
    Column("earn_rate_ppm", Integer, nullable=False),
    Column("burn_cap_ppm", Integer, nullable=False),
    Column("burn_money_floor_micro", BigInteger, nullable=False),
    Column("burn_limit_points", BigInteger),
    Column("burn_step_points", Integer, nullable=False),
    Column("excluded_categories", ARRAY(Text), nullable=False),
    Column("includes_gift_cards", Boolean, nullable=False),
    Column("includes_delivery", Boolean, nullable=False),
    Column("pending_days", Integer, nullable=False),
    Column("lot_lifetime_days", Integer, nullable=False),
    Column("hold_ttl_seconds", Integer, nullable=False),
    Column("quote_ttl_seconds", Integer, nullable=False),
    Column("refund_order", Text, nullable=False),
    Column("issuance_limit_points", BigInteger),
    Column("collateral_micro", BigInteger, nullable=False),
    Column("breakage_share_ppm", Integer, nullable=False),
    Column("late_window_days", Integer, nullable=False),
    Column("settlement_currency", Text, nullable=False),
    Column("issuance_window", Text, nullable=False, server_default="ever"),
    Column("limits", JSONB),
    Column("is_charity", Boolean, nullable=False, server_default="false"),
    Index("ix_agreements_partner_starts_at", "partner", "starts_at"),
)

novations: Final = Table(
    "novations",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("leaver", Integer, ForeignKey("partners.id"), nullable=False),
    # No foreign key: the operator takes over most often and is no row of `partners`.
    Column("successor", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("begun_at", DateTime(timezone=True), nullable=False),
    Column("begun_by", Text, nullable=False),
    Column("rounds", Integer, nullable=False),
    Column("done_at", DateTime(timezone=True)),
    Index("uq_novations_leaver", "leaver", unique=True, postgresql_where=text("done_at IS NULL")),
)

programme_limits: Final = Table(
    "programme_limits",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Column("made_by", Text, nullable=False),
    Column("limits", JSONB),
)

adjustments: Final = Table(
    "adjustments",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("member", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("tariff", Integer, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("proposed_at", DateTime(timezone=True), nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("lapses_at", DateTime(timezone=True), nullable=False),
    Column("approved_at", DateTime(timezone=True)),
    Column("approved_by", Text),
    Column("operation", BigInteger),
    Column("period", Integer),
    Column("refusal", Text),
    CheckConstraint("points <> 0", name="moves"),
    CheckConstraint("approved_by <> proposed_by", name="four_eyes"),
)

outlets: Final = Table(
    "outlets",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("partner", Integer, ForeignKey("partners.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("suspended_at", DateTime(timezone=True)),
    UniqueConstraint("partner", "code", name="uq_outlets_partner_code"),
)

requests: Final = Table(
    "requests",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
)

events_head: Final = Table(
    "events_head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("height", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="only_one"),
)

events: Final = Table(
    "events",
    metadata,
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Column("kind", Text, nullable=False),
    Column("partner", Integer),
    Column("body", JSONB, nullable=False),
)
