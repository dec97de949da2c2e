"""A row of state stays in the bucket that its id names, periods are apart, and no reader holds up a month.

Each constraint is added by itself and checked while tills go on; a migration that breaks off begins anew.
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
    """Exchange the function, which keeps its owner and who may call it; add the constraints."""
    op.execute(MAKE_PARTITIONS)
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
