"""A month is made while somebody reads history: its tables are attached, which waits for no reader."""

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


def upgrade() -> None:
    """Exchange the function; it keeps its owner and who may call it."""
    op.execute(MAKE_PARTITIONS)
