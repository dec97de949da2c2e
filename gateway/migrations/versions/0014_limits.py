"""Points are counted and kept within limits, members are frozen, and staff adjusts with two approvers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from gateway.migrations.roles import grant

revision = "0014"
down_revision = "0013"

_INSTANT = sa.DateTime(timezone=True)

COUNTING = (
    """
    CREATE TABLE counters (
        bucket SMALLINT NOT NULL,
        member BIGINT NOT NULL,
        name TEXT NOT NULL,
        span TEXT NOT NULL,
        cells BYTEA NOT NULL,
        CONSTRAINT pk_counters PRIMARY KEY (bucket, member, name, span)
    ) WITH (fillfactor = 85)
    """,
    """
    CREATE TABLE allowances (
        bucket SMALLINT NOT NULL,
        name TEXT NOT NULL,
        span TEXT NOT NULL,
        cell BIGINT NOT NULL,
        ceiling BIGINT NOT NULL,
        granted BIGINT NOT NULL,
        used BIGINT NOT NULL,
        CONSTRAINT pk_allowances PRIMARY KEY (bucket, name, span),
        CONSTRAINT ck_allowances_within CHECK (0 <= used AND used <= granted)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE allowance_pools (
        name TEXT NOT NULL,
        span TEXT NOT NULL,
        cell BIGINT NOT NULL,
        ceiling BIGINT NOT NULL,
        granted BIGINT NOT NULL,
        CONSTRAINT pk_allowance_pools PRIMARY KEY (name, span),
        CONSTRAINT ck_allowance_pools_within CHECK (0 <= granted AND granted <= ceiling)
    )
    """,
)


AGREEMENTS = """
    CREATE OR REPLACE VIEW filtered.agreements WITH (security_barrier) AS
    SELECT id, partner, tariff, starts_at, made_at, made_by, funding, issue_price_micro,
        redemption_value_micro, fee_ppm, vat_ppm, earn_rate_ppm, burn_cap_ppm,
        burn_money_floor_micro, burn_limit_points, burn_step_points, excluded_categories,
        includes_gift_cards, includes_delivery, pending_days, lot_lifetime_days,
        hold_ttl_seconds, quote_ttl_seconds, refund_order, issuance_limit_points,
        collateral_micro, breakage_share_ppm, late_window_days, settlement_currency,
        issuance_window, limits, is_charity
    FROM public.agreements
    WHERE partner = (SELECT nullif(current_setting('kopilka.partner', true), '')::integer)
"""


def upgrade() -> None:
    """Count and escrow, limit agreements and programme, keep proposals of adjustments."""
    for statement in COUNTING:
        op.execute(statement)
    for table in ("counters", "allowances", "allowance_pools"):
        grant(table, writer="SELECT, INSERT, UPDATE")
    op.execute("INSERT INTO flow_kinds (code, operation) VALUES (16, 'adjust_down')")
    _limit_agreements()
    _limit_programme()
    _make_adjustments()
    # Support answers to the operator and moves no points by itself.
    op.drop_constraint("ck_clients_kind", "clients")
    kinds = "kind IN ('partner', 'operator', 'finance', 'support', 'app')"
    op.create_check_constraint(op.f("ck_clients_kind"), "clients", kinds)


def _limit_agreements() -> None:
    # A lock on a small table that tills do not read; the defaults let older code go on.
    window = sa.Column("issuance_window", sa.Text, server_default="ever", nullable=False)
    op.add_column("agreements", window)
    op.add_column("agreements", sa.Column("limits", JSONB))
    op.add_column("agreements", sa.Column("is_charity", sa.Boolean, server_default="false", nullable=False))
    op.execute(AGREEMENTS)


def _limit_programme() -> None:
    op.create_table(
        "programme_limits",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("starts_at", _INSTANT, nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("limits", JSONB),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_programme_limits")),
    )
    _guard("programme_limits")
    grant("programme_limits", writer="SELECT, INSERT")
    grant("programme_limits", reader="SELECT (id, starts_at, limits)")


def _make_adjustments() -> None:
    op.create_table(
        "adjustments",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("member", sa.BigInteger, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("obligor", sa.Integer, nullable=False),
        sa.Column("tariff", sa.Integer, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("proposed_at", _INSTANT, nullable=False),
        sa.Column("proposed_by", sa.Text, nullable=False),
        sa.Column("lapses_at", _INSTANT, nullable=False),
        sa.Column("approved_at", _INSTANT),
        sa.Column("approved_by", sa.Text),
        sa.Column("operation", sa.BigInteger),
        sa.Column("period", sa.Integer),
        sa.Column("refusal", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustments")),
        sa.CheckConstraint("points <> 0", name=op.f("ck_adjustments_moves")),
        sa.CheckConstraint("approved_by <> proposed_by", name=op.f("ck_adjustments_four_eyes")),
    )
    # What was proposed stays as it was proposed; only what became of it is written later.
    grant(
        "adjustments",
        writer="SELECT, INSERT, UPDATE (approved_at, approved_by, operation, period, refusal)",
    )


def _guard(table: str) -> None:
    """History is never changed."""
    op.execute(
        f"CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        f"CREATE TRIGGER never_truncated BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
