"""The reader sees one partner's rows at a time, and through views only.

The schema `filtered` holds a view for each table that partners read, under the table's own name
and with the columns that are shown. A connection whose search path begins there asks the same
questions as the writer and is answered for the partner that its transaction names in
`kopilka.partner`; a transaction that names none sees nothing.
"""

from __future__ import annotations

from alembic import op

from gateway.migrations.roles import grant, present_roles, quoted

revision = "0007"
down_revision = "0006"

# A sub-select is evaluated once a query, not once a row.
PARTNER = "(SELECT nullif(current_setting('kopilka.partner', true), '')::integer)"

TAKES_PART = f"{PARTNER} IN (issuer, obligor, redeemer)"

VIEWS = {
    "partners": f"SELECT id, name, created_at, suspended_at FROM public.partners WHERE id = {PARTNER}",
    "outlets": f"""
        SELECT id, partner, code, name, opened_at, suspended_at
        FROM public.outlets WHERE partner = {PARTNER}
    """,
    "agreements": f"""
        SELECT id, partner, tariff, starts_at, made_at, made_by, funding, issue_price_micro,
            redemption_value_micro, fee_ppm, vat_ppm, earn_rate_ppm, burn_cap_ppm,
            burn_money_floor_micro, burn_limit_points, burn_step_points, excluded_categories,
            includes_gift_cards, includes_delivery, pending_days, lot_lifetime_days,
            hold_ttl_seconds, quote_ttl_seconds, refund_order, issuance_limit_points,
            collateral_micro, breakage_share_ppm, late_window_days, settlement_currency
        FROM public.agreements WHERE partner = {PARTNER}
    """,
    "tariffs": f"""
        SELECT id, obligor, funding, issue_price_micro, redemption_value_micro, currency,
            breakage_share_ppm
        FROM public.tariffs WHERE obligor = {PARTNER}
    """,
    "clients": f"""
        SELECT client_id, kind, partner, name, scopes, outlets, jwks, created_at, revoked_at
        FROM public.clients WHERE partner = {PARTNER}
    """,
    "operations": f"""
        SELECT bucket, id, recorded_at, height, member, partner, outlet, terms, period,
            origin_period, occurred_at, points, reference, kind, principal, key, terminal,
            receipt, refusal, detail, outcome
        FROM public.operations WHERE partner = {PARTNER}
    """,
    "keys": f"""
        SELECT keys.bucket, keys.key, keys.operation, keys.recorded_at
        FROM public.keys JOIN public.operations ON operations.bucket = keys.bucket
            AND operations.id = keys.operation AND operations.recorded_at = keys.recorded_at
        WHERE operations.partner = {PARTNER}
    """,
    # Without the owners of the accounts and the lot: a member whom another partner served, or an
    # account of another partner, stays unnamed.
    "lines": f"""
        SELECT bucket, operation, ordinal, recorded_at, debit, credit, amount, unit, period,
            issuer, obligor, redeemer, tariff, terms, origin_period
        FROM public.lines WHERE {TAKES_PART}
    """,
    "flows": f"""
        SELECT bucket, period, issuer, obligor, redeemer, operation, tariff, terms,
            origin_period, points, count
        FROM public.flows WHERE {TAKES_PART}
    """,
    "statements": f"""
        SELECT number, period, partner, charge_micro, body, hash
        FROM public.statements WHERE partner = {PARTNER}
    """,
}


def upgrade() -> None:
    """Make the views, and take back the one table of points that the reader could read whole."""
    reader = quoted(present_roles().reader)
    op.execute("CREATE SCHEMA filtered")
    op.execute(f"GRANT USAGE ON SCHEMA filtered TO {reader}")
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW filtered.{name} WITH (security_barrier) AS {query}")
        grant(f"filtered.{name}", reader="SELECT")
    op.execute(f"REVOKE ALL ON stock_at_fence FROM {reader}")
    # How many facts there are, which is the version of the directory, and none of the facts.
    grant("events_head", reader="SELECT")
