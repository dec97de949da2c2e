"""Partners trade under dated terms; what was agreed, priced or recorded is never changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from gateway.migrations.roles import grant

revision = "0004"
down_revision = "0003"

_INSTANT = sa.DateTime(timezone=True)
_HISTORY = ("tariffs", "agreements", "requests", "events")


def upgrade() -> None:
    """Make the tables and guard their history with the ledger's trigger function."""
    _make_programme()
    _make_partners()
    _make_tariffs()
    _make_agreements()
    _make_outlets()
    _make_requests()
    _make_events()
    for table in _HISTORY:
        op.execute(
            f"CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER never_truncated BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _make_programme() -> None:
    op.create_table(
        "programme",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("cut_off", sa.Text, nullable=False),
        sa.Column("point_value_micro", sa.BigInteger, nullable=False),
        sa.Column("defaults", JSONB, nullable=False),
        sa.Column("opened_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_programme")),
        sa.CheckConstraint("id = 1", name=op.f("ck_programme_only_one")),
    )
    grant("programme", writer="SELECT, INSERT", reader="SELECT")


def _make_partners() -> None:
    op.create_table(
        "partners",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("suspended_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partners")),
    )
    grant("partners", writer="SELECT, INSERT, UPDATE (suspended_at)")


def _make_tariffs() -> None:
    op.create_table(
        "tariffs",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("obligor", sa.Integer, nullable=False),
        sa.Column("funding", sa.Text, nullable=False),
        sa.Column("issue_price_micro", sa.BigInteger, nullable=False),
        sa.Column("redemption_value_micro", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("breakage_share_ppm", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariffs")),
        sa.UniqueConstraint(
            "obligor",
            "funding",
            "issue_price_micro",
            "redemption_value_micro",
            "currency",
            "breakage_share_ppm",
            name=op.f("uq_tariffs_prices"),
        ),
    )
    grant("tariffs", writer="SELECT, INSERT")


def _make_agreements() -> None:
    op.create_table(
        "agreements",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("partner", sa.Integer, nullable=False),
        sa.Column("tariff", sa.Integer, nullable=False),
        sa.Column("starts_at", _INSTANT, nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("funding", sa.Text, nullable=False),
        sa.Column("issue_price_micro", sa.BigInteger, nullable=False),
        sa.Column("redemption_value_micro", sa.BigInteger, nullable=False),
        sa.Column("fee_ppm", sa.Integer, nullable=False),
        sa.Column("vat_ppm", sa.Integer, nullable=False),
        sa.Column("earn_rate_ppm", sa.Integer, nullable=False),
        sa.Column("burn_cap_ppm", sa.Integer, nullable=False),
        sa.Column("burn_money_floor_micro", sa.BigInteger, nullable=False),
        sa.Column("burn_limit_points", sa.BigInteger),
        sa.Column("burn_step_points", sa.Integer, nullable=False),
        sa.Column("excluded_categories", ARRAY(sa.Text), nullable=False),
        sa.Column("includes_gift_cards", sa.Boolean, nullable=False),
        sa.Column("includes_delivery", sa.Boolean, nullable=False),
        sa.Column("pending_days", sa.Integer, nullable=False),
        sa.Column("lot_lifetime_days", sa.Integer, nullable=False),
        sa.Column("hold_ttl_seconds", sa.Integer, nullable=False),
        sa.Column("quote_ttl_seconds", sa.Integer, nullable=False),
        sa.Column("refund_order", sa.Text, nullable=False),
        sa.Column("issuance_limit_points", sa.BigInteger),
        sa.Column("collateral_micro", sa.BigInteger, nullable=False),
        sa.Column("breakage_share_ppm", sa.Integer, nullable=False),
        sa.Column("late_window_days", sa.Integer, nullable=False),
        sa.Column("settlement_currency", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreements")),
        sa.ForeignKeyConstraint(["partner"], ["partners.id"], name=op.f("fk_agreements_partner")),
        sa.ForeignKeyConstraint(["tariff"], ["tariffs.id"], name=op.f("fk_agreements_tariff")),
    )
    op.create_index(op.f("ix_agreements_partner_starts_at"), "agreements", ["partner", "starts_at"])
    grant("agreements", writer="SELECT, INSERT")


def _make_outlets() -> None:
    op.create_table(
        "outlets",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("partner", sa.Integer, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("opened_at", _INSTANT, nullable=False),
        sa.Column("suspended_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outlets")),
        sa.ForeignKeyConstraint(["partner"], ["partners.id"], name=op.f("fk_outlets_partner")),
        sa.UniqueConstraint("partner", "code", name=op.f("uq_outlets_partner_code")),
    )
    grant("outlets", writer="SELECT, INSERT, UPDATE (suspended_at)")


def _make_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_requests")),
    )
    grant("requests", writer="SELECT, INSERT")


def _make_events() -> None:
    op.create_table(
        "events_head",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("height", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events_head")),
        sa.CheckConstraint("id = 1", name=op.f("ck_events_head_only_one")),
    )
    op.execute("INSERT INTO events_head (id, height) VALUES (1, 0)")
    grant("events_head", writer="SELECT, UPDATE (height)")
    op.create_table(
        "events",
        sa.Column("height", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("recorded_at", _INSTANT, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("partner", sa.Integer),
        sa.Column("body", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("height", name=op.f("pk_events")),
    )
    grant("events", writer="SELECT, INSERT")
