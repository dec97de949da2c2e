"""What breaks is written down and fences its bucket off, periods are sealed, months can be laid away."""

from __future__ import annotations

from alembic import op

from gateway.migrations.roles import grant, owner_function

revision = "0012"
down_revision = "0011"

HISTORY = ("operations", "lines", "blocks")
COLUMNS = {
    "operations": """bucket, id, recorded_at, height, member, partner, outlet, terms, period, origin_period,
        occurred_at, points, reference, kind, principal, key, terminal, receipt, refusal, digest, items,
        detail, outcome, salt""",
    "lines": """bucket, operation, ordinal, recorded_at, debit, debit_owner, credit, credit_owner, amount,
        unit, period, issuer, obligor, redeemer, tariff, terms, origin_period, lot""",
    "blocks": "bucket, height, recorded_at, period, first, count, previous, root, hash, flows, stock",
}
PARTNER = "(SELECT nullif(current_setting('kopilka.partner', true), '')::integer)"

TABLES = (
    """
    CREATE TABLE findings (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        found_at TIMESTAMP WITH TIME ZONE NOT NULL,
        invariant TEXT NOT NULL,
        bucket SMALLINT,
        what TEXT NOT NULL,
        fingerprint BYTEA NOT NULL,
        lifted_at TIMESTAMP WITH TIME ZONE,
        lifted_by TEXT,
        lifted_because TEXT,
        CONSTRAINT pk_findings PRIMARY KEY (id),
        CONSTRAINT ck_findings_lifted_by_somebody_for_a_reason
            CHECK (num_nulls(lifted_at, lifted_by, lifted_because) IN (0, 3))
    )
    """,
    """
    CREATE UNIQUE INDEX ux_findings_open ON findings (fingerprint) WHERE lifted_at IS NULL
    """,
    """
    CREATE TABLE seal_keys (
        key_id TEXT NOT NULL,
        public BYTEA NOT NULL,
        sealed BYTEA NOT NULL,
        made_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_seal_keys PRIMARY KEY (key_id)
    )
    """,
    "COMMENT ON COLUMN seal_keys.sealed IS 'private key, AES-GCM under the master key'",
    """
    CREATE TABLE seals (
        period INTEGER NOT NULL,
        starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
        ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
        sealed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        buckets INTEGER NOT NULL,
        blocks BIGINT NOT NULL,
        operations BIGINT NOT NULL,
        root BYTEA NOT NULL,
        previous BYTEA NOT NULL,
        key_id TEXT NOT NULL,
        signature BYTEA NOT NULL,
        CONSTRAINT pk_seals PRIMARY KEY (period),
        CONSTRAINT fk_seals_key_id FOREIGN KEY (key_id) REFERENCES seal_keys (key_id)
    )
    """,
    """
    CREATE TABLE sealed_buckets (
        period INTEGER NOT NULL,
        bucket SMALLINT NOT NULL,
        first_height BIGINT NOT NULL,
        blocks BIGINT NOT NULL,
        operations BIGINT NOT NULL,
        root BYTEA NOT NULL,
        CONSTRAINT pk_sealed_buckets PRIMARY KEY (period, bucket),
        CONSTRAINT fk_sealed_buckets_period FOREIGN KEY (period) REFERENCES seals (period)
    )
    """,
    """
    CREATE TABLE archives (
        month DATE NOT NULL,
        archived_at TIMESTAMP WITH TIME ZONE NOT NULL,
        archived_by TEXT NOT NULL,
        operations BIGINT NOT NULL,
        lines BIGINT NOT NULL,
        blocks BIGINT NOT NULL,
        digest BYTEA NOT NULL,
        CONSTRAINT pk_archives PRIMARY KEY (month)
    )
    """,
    "COMMENT ON COLUMN archives.digest IS 'SHA-256 of the manifest of its Parquet files'",
)

# A fence that a proof put up stands until somebody answered for every finding behind it. The
# column is named in no statement of the lanes, so they pay nothing for the trigger.
FENCE = (
    """
    CREATE FUNCTION fence_stands() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM findings WHERE bucket = OLD.bucket AND lifted_at IS NULL) THEN
            RAISE EXCEPTION 'bucket % has open findings', OLD.bucket USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER fence_stands BEFORE UPDATE OF fenced ON heads
        FOR EACH ROW WHEN (OLD.fenced IS NOT NULL AND NEW.fenced IS NULL)
        EXECUTE FUNCTION fence_stands()
    """,
    """
    CREATE FUNCTION finding_is_lifted_once() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.lifted_at IS NOT NULL THEN
            RAISE EXCEPTION 'finding % was lifted at %', OLD.id, OLD.lifted_at
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER finding_is_lifted_once BEFORE UPDATE ON findings
        FOR EACH ROW EXECUTE FUNCTION finding_is_lifted_once()
    """,
)

# Only months around the present are made: a writer's password is not good for thousands of tables.
# One month back allows for clocks that differ, three ahead for what is made before it is needed.
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
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                partition, history,
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
    """Make the tables, the fence that stands, the bound on partitions, and the views of all history."""
    for statement in (*TABLES, *FENCE, MAKE_PARTITIONS):
        op.execute(statement)
    owner_function("make_partitions(date)")
    for table in ("seal_keys", "seals", "sealed_buckets", "archives"):
        _never_changes(table)
    grant(
        "findings",
        writer="SELECT, INSERT (found_at, invariant, bucket, what, fingerprint), "
        "UPDATE (lifted_at, lifted_by, lifted_because)",
    )
    for table in ("seal_keys", "seals", "sealed_buckets"):
        grant(table, writer="SELECT, INSERT")
    grant("archives", writer="SELECT")
    _make_views()


def _never_changes(table: str) -> None:
    op.execute(f"""
        CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change()
    """)
    op.execute(f"""
        CREATE TRIGGER never_truncated BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """)


def _make_views() -> None:
    """Archived months beside the partitions, and in the schema `whole` both under the tables' names."""
    op.execute("CREATE SCHEMA archive")
    op.execute("CREATE SCHEMA whole")
    grant("SCHEMA whole", writer="USAGE")
    for table in HISTORY:
        columns = COLUMNS[table]
        op.execute(f"CREATE VIEW archived_{table} AS SELECT {columns} FROM {table} WHERE false")
        op.execute(f"""
            CREATE VIEW whole.{table} AS
            SELECT {columns} FROM public.{table} UNION ALL SELECT {columns} FROM public.archived_{table}
        """)
        grant(f"archived_{table}", writer="SELECT")
        grant(f"whole.{table}", writer="SELECT")
    shown = COLUMNS["operations"].replace("digest, items,", "").replace("outcome, salt", "outcome")
    op.execute(f"""
        CREATE VIEW filtered.archived_operations WITH (security_barrier) AS
        SELECT {shown} FROM public.archived_operations WHERE partner = {PARTNER}
    """)
    grant("filtered.archived_operations", reader="SELECT")
    op.execute(f"""
        CREATE OR REPLACE VIEW filtered.keys WITH (security_barrier) AS
        SELECT keys.bucket, keys.key, keys.operation, keys.recorded_at
        FROM public.keys JOIN public.operations ON operations.bucket = keys.bucket
            AND operations.id = keys.operation AND operations.recorded_at = keys.recorded_at
        WHERE operations.partner = {PARTNER}
        UNION ALL
        SELECT keys.bucket, keys.key, keys.operation, keys.recorded_at
        FROM public.keys JOIN public.archived_operations AS archived ON archived.bucket = keys.bucket
            AND archived.id = keys.operation AND archived.recorded_at = keys.recorded_at
        WHERE archived.partner = {PARTNER}
    """)
