"""A row of state stays in the bucket that its id names, periods are apart, and no reader holds up a month.

What is not folded yet is found without reading all blocks. Each constraint is added by itself and checked
while tills go on; a migration that breaks off begins anew.
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"

# As a partition from birth a table would need every reader of history to be gone, with heads locked
# meanwhile. One that is made apart and attached waits for nobody; its row triggers come with the attachment.
MAKE_PARTITIONS = """
CREATE OR REPLACE FUNCTION make_partitions(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month);
    this date;
    history text;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('make_partitions'));
    FOREACH history IN ARRAY ARRAY['operations', 'lines', 'blocks'] LOOP
        partition := history || '_' || to_char(first, 'YYYYMM');
        IF to_regclass(partition) IS NULL THEN
            SELECT date_trunc('month', (CASE WHEN is_driven THEN clock.now ELSE now() END) AT TIME ZONE 'UTC')
                INTO STRICT this FROM clock;
            IF first IS NULL OR first < this - interval '1 month' OR first > this + interval '3 months' THEN
                RAISE EXCEPTION 'history is not written in %', month
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
            IF EXISTS (SELECT FROM archives WHERE archives.month = first) THEN
                RAISE EXCEPTION 'the month % is archived', month USING ERRCODE = 'invalid_parameter_value';
            END IF;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', partition, history);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                history, partition,
                first::timestamp AT TIME ZONE 'UTC',
                (first + interval '1 month')::timestamp AT TIME ZONE 'UTC'
            );
            EXECUTE format(
                'CREATE TRIGGER never_truncated BEFORE TRUNCATE ON %I '
                'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', partition
            );
        END IF;
    END LOOP;
END $$
"""

TWO_TO_64 = "18446744073709551616"
TWO_TO_128 = "340282366920938463463374607431768211456"

# The views of 0008, but a bucket's blocks are looked up by its head: joined to all heads at once, every
# block of history was read for the few that are not folded. OFFSET keeps them from being joined again.
FLOWS_NOW = f"""
    CREATE OR REPLACE VIEW flows_now AS
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
            FROM heads h
            CROSS JOIN LATERAL (
                SELECT * FROM block_flows b WHERE b.bucket = h.bucket AND b.height > h.folded OFFSET 0
            ) AS f
            GROUP BY f.bucket, f.period, issuer, obligor, redeemer, code, tariff, terms, origin_period
        ) AS unfolded JOIN flow_kinds k USING (code)
    ) AS moved
    GROUP BY bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period
"""

STOCK_NOW = """
    CREATE OR REPLACE VIEW stock_now AS
    SELECT bucket, issuer, obligor, tariff, issue_month, expiry_month, sum(points)::bigint AS points
    FROM (
        SELECT bucket, issuer, obligor, tariff, issue_month, expiry_month, points FROM stock
        UNION ALL
        SELECT s.bucket, issuer, obligor, tariff, issue_month, expiry_month, points
        FROM heads h
        CROSS JOIN LATERAL (
            SELECT * FROM block_stock b WHERE b.bucket = h.bucket AND b.height > h.folded OFFSET 0
        ) AS s
    ) AS moved
    GROUP BY bucket, issuer, obligor, tariff, issue_month, expiry_month
"""

# Who may UPDATE state could move a row to another bucket, where it is not found: then a wallet begins
# with nothing, and what has come back of a purchase may come back again.
CHECKS = {
    "wallets": ("own_bucket", "bucket = member >> 56"),
    "lots": ("own_bucket", "bucket = member >> 56"),
    "holds": ("own_bucket", "bucket = id >> 56"),
    "slices": ("own_bucket", "bucket = hold >> 56"),
    "transits": ("own_bucket", "bucket = id >> 56"),
    "counters": ("own_bucket", "bucket = member >> 56"),
    "dues": ("own_bucket", "bucket = member >> 56"),
    "returned": ("own_bucket", "bucket = operation >> 56"),
    "heads": ("sound", "octet_length(hash) = 32 AND isfinite(recorded_at)"),
}


def upgrade() -> None:
    """Exchange the function and the views, which keep their owner and grants; add the constraints."""
    for statement in (MAKE_PARTITIONS, FLOWS_NOW, STOCK_NOW):
        op.execute(statement)
    op.execute(
        "ALTER TABLE calendar DROP CONSTRAINT IF EXISTS ex_calendar_overlap, "
        "ADD CONSTRAINT ex_calendar_overlap EXCLUDE USING gist (tstzrange(starts_at, ends_at) WITH &&)"
    )
    with op.get_context().autocommit_block():
        for table, (name, claim) in CHECKS.items():
            constraint = f"ck_{table}_{name}"
            op.execute(
                f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {constraint}, "
                f"ADD CONSTRAINT {constraint} CHECK ({claim}) NOT VALID"
            )
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
