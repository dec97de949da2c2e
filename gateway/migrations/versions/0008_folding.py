"""A block says what it moved, and flows and stock are folded into their tables later.

The views `flows_now` and `stock_now` add to the tables what the blocks behind the fold have
moved. Blocks written before moved the tables themselves: their columns stay null, and every
head is folded up to where it stands.
"""

from __future__ import annotations

from alembic import op

from gateway.migrations.roles import grant

revision = "0008"
down_revision = "0007"

KINDS = (
    *("earn_pending", "cancel_pending", "release", "burn", "burn_return", "claw_back", "recover", "expire"),
    *("adjust", "novate_in", "novate_out", "transfer_out", "transfer_in"),
)

TWO_TO_64 = "18446744073709551616"

BLOCK_FLOWS = f"""
    CREATE VIEW block_flows AS
    SELECT b.bucket, b.height, b.recorded_at, b.period,
        b.flows[i]::integer AS issuer, b.flows[i + 1]::integer AS obligor,
        b.flows[i + 2]::integer AS redeemer, k.operation, b.flows[i + 4]::integer AS tariff,
        b.flows[i + 5]::integer AS terms, b.flows[i + 6]::integer AS origin_period,
        b.flows[i + 7] AS points, b.flows[i + 8] AS count,
        (b.flows[i + 9] + CASE WHEN b.flows[i + 9] < 0 THEN {TWO_TO_64} ELSE 0 END) * {TWO_TO_64}
            + b.flows[i + 10] + CASE WHEN b.flows[i + 10] < 0 THEN {TWO_TO_64} ELSE 0 END AS hash
    FROM blocks b
    CROSS JOIN LATERAL generate_series(1, cardinality(b.flows), 11) AS i
    JOIN flow_kinds k ON k.code = b.flows[i + 3]
"""

BLOCK_STOCK = """
    CREATE VIEW block_stock AS
    SELECT b.bucket, b.height, b.recorded_at,
        b.stock[i]::integer AS issuer, b.stock[i + 1]::integer AS obligor,
        b.stock[i + 2]::integer AS tariff, b.stock[i + 3]::integer AS issue_month,
        b.stock[i + 4]::integer AS expiry_month, b.stock[i + 5] AS points
    FROM blocks b CROSS JOIN LATERAL generate_series(1, cardinality(b.stock), 6) AS i
"""

FLOWS_NOW = f"""
    CREATE VIEW flows_now AS
    SELECT bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
        sum(points)::bigint AS points, sum(count)::bigint AS count,
        mod(sum(hash), {TWO_TO_64}::numeric * {TWO_TO_64}) AS hash
    FROM (
        SELECT bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
            points, count, hash
        FROM flows
        UNION ALL
        SELECT f.bucket, f.period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
            points, count, f.hash
        FROM heads h JOIN block_flows f ON f.bucket = h.bucket AND f.height > h.folded
    ) AS moved
    GROUP BY bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period
"""

STOCK_NOW = """
    CREATE VIEW stock_now AS
    SELECT bucket, issuer, obligor, tariff, issue_month, expiry_month, sum(points)::bigint AS points
    FROM (
        SELECT bucket, issuer, obligor, tariff, issue_month, expiry_month, points FROM stock
        UNION ALL
        SELECT s.bucket, issuer, obligor, tariff, issue_month, expiry_month, points
        FROM heads h JOIN block_stock s ON s.bucket = h.bucket AND s.height > h.folded
    ) AS moved
    GROUP BY bucket, issuer, obligor, tariff, issue_month, expiry_month
"""

# Without the additive hash, as the view of the table was.
FILTERED = """
    CREATE VIEW filtered.flows_now WITH (security_barrier) AS
    SELECT bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period, points, count
    FROM public.flows_now
    WHERE (SELECT nullif(current_setting('kopilka.partner', true), '')::integer)
        IN (issuer, obligor, redeemer)
"""


def upgrade() -> None:
    """Add what blocks say and how far it was folded, and the views that read both."""
    op.execute("ALTER TABLE blocks ADD COLUMN flows BIGINT[], ADD COLUMN stock BIGINT[]")
    op.execute("ALTER TABLE heads ADD COLUMN folded BIGINT NOT NULL DEFAULT 0")
    op.execute("UPDATE heads SET folded = height")
    op.execute(
        "CREATE TABLE flow_kinds (code SMALLINT NOT NULL, operation TEXT NOT NULL, "
        "CONSTRAINT pk_flow_kinds PRIMARY KEY (code), CONSTRAINT uq_flow_kinds_operation UNIQUE (operation))"
    )
    for code, kind in enumerate(KINDS, start=1):
        op.execute(f"INSERT INTO flow_kinds (code, operation) VALUES ({code}, '{kind}')")
    for view in (BLOCK_FLOWS, BLOCK_STOCK, FLOWS_NOW, STOCK_NOW):
        op.execute(view)
    for name in ("flow_kinds", "block_flows", "block_stock", "flows_now", "stock_now"):
        grant(name, writer="SELECT")
    op.execute("DROP VIEW filtered.flows")
    op.execute(FILTERED)
    grant("filtered.flows_now", reader="SELECT")
