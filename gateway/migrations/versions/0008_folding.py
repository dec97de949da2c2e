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
TWO_TO_128 = "340282366920938463463374607431768211456"

# An array that was stored out of line is fetched once, not once for every number in it.
BLOCK_FLOWS = """
    CREATE VIEW block_flows AS
    SELECT b.bucket, b.height, b.recorded_at, b.period,
        f.moved[i]::integer AS issuer, f.moved[i + 1]::integer AS obligor,
        f.moved[i + 2]::integer AS redeemer, f.moved[i + 3]::smallint AS code,
        f.moved[i + 4]::integer AS tariff, f.moved[i + 5]::integer AS terms,
        f.moved[i + 6]::integer AS origin_period, f.moved[i + 7] AS points, f.moved[i + 8] AS count,
        f.moved[i + 9] AS hash_high, f.moved[i + 10] AS hash_low
    FROM blocks b
    CROSS JOIN LATERAL (SELECT array_cat(b.flows, '{}'::bigint[]) AS moved OFFSET 0) AS f
    CROSS JOIN LATERAL generate_series(1, cardinality(f.moved), 11) AS i
"""

BLOCK_STOCK = """
    CREATE VIEW block_stock AS
    SELECT b.bucket, b.height, b.recorded_at,
        s.moved[i]::integer AS issuer, s.moved[i + 1]::integer AS obligor,
        s.moved[i + 2]::integer AS tariff, s.moved[i + 3]::integer AS issue_month,
        s.moved[i + 4]::integer AS expiry_month, s.moved[i + 5] AS points
    FROM blocks b
    CROSS JOIN LATERAL (SELECT array_cat(b.stock, '{}'::bigint[]) AS moved OFFSET 0) AS s
    CROSS JOIN LATERAL generate_series(1, cardinality(s.moved), 6) AS i
"""

# The halves of a hash are summed as they are, signed: modulo 2^128 the sign of the higher one means
# nothing, and each lower one that is negative stands for 2^64 more.
FLOWS_NOW = f"""
    CREATE VIEW flows_now AS
    SELECT bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
        sum(points)::bigint AS points, sum(count)::bigint AS count, mod(sum(hash), {TWO_TO_128}) AS hash
    FROM (
        SELECT bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period,
            points, count, hash
        FROM flows
        UNION ALL
        SELECT bucket, period, issuer, obligor, redeemer, k.operation, tariff, terms, origin_period,
            points, count,
            mod(mod((high + negative) * {TWO_TO_64} + low, {TWO_TO_128}) + {TWO_TO_128}, {TWO_TO_128})
        FROM (
            SELECT f.bucket, f.period, issuer, obligor, redeemer, code, tariff, terms, origin_period,
                sum(points) AS points, sum(count) AS count, sum(hash_high) AS high, sum(hash_low) AS low,
                count(*) FILTER (WHERE hash_low < 0) AS negative
            FROM heads h JOIN block_flows f ON f.bucket = h.bucket AND f.height > h.folded
            GROUP BY f.bucket, f.period, issuer, obligor, redeemer, code, tariff, terms, origin_period
        ) AS unfolded JOIN flow_kinds k USING (code)
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
    for column in ("flows", "stock"):
        # They are numbers of high entropy: to compress them costs and gains nothing.
        op.execute(f"ALTER TABLE blocks ALTER COLUMN {column} SET STORAGE EXTERNAL")
    # Every batch moves a row for each of its buckets: few rows a page leave room for their versions.
    op.execute("ALTER TABLE heads SET (fillfactor = 10)")
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
