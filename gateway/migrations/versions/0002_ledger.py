"""The ledger: history that is only ever added to, and the state it sums up to."""

from __future__ import annotations

from alembic import op

from gateway.migrations.roles import grant, owner_function

revision = "0002"
down_revision = "0001"

HISTORY = ("operations", "lines", "blocks")
STATE = ("wallets", "lots", "holds", "slices", "flows", "stock")

TABLES = (
    """
    CREATE TABLE calendar (
        period INTEGER NOT NULL,
            starts_at TIMESTAMP WITH TIME ZONE NOT NULL,
            ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
        zone TEXT NOT NULL,
        CONSTRAINT pk_calendar PRIMARY KEY (period),
        CONSTRAINT ck_calendar_not_empty CHECK (starts_at < ends_at)
    )
    """,
    """
    CREATE TABLE heads (
        bucket SMALLINT NOT NULL,
        height BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        period INTEGER NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        hash BYTEA NOT NULL,
        fenced TEXT,
        CONSTRAINT pk_heads PRIMARY KEY (bucket)
    )
    """,
    """
    CREATE TABLE operations (
        bucket SMALLINT NOT NULL,
        id BIGINT NOT NULL,
        recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        height BIGINT NOT NULL,
        member BIGINT NOT NULL,
        partner INTEGER NOT NULL,
        outlet INTEGER NOT NULL,
        terms INTEGER NOT NULL,
        period INTEGER NOT NULL,
        origin_period INTEGER NOT NULL,
        occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
        points BIGINT NOT NULL,
        reference BIGINT NOT NULL,
        kind TEXT NOT NULL,
        principal TEXT NOT NULL,
        key TEXT NOT NULL,
        terminal TEXT NOT NULL,
        receipt TEXT NOT NULL,
        refusal TEXT NOT NULL,
        digest BYTEA NOT NULL,
        items BYTEA NOT NULL,
        detail BYTEA NOT NULL,
        outcome BYTEA NOT NULL,
        salt BYTEA NOT NULL,
        CONSTRAINT pk_operations PRIMARY KEY (bucket, id, recorded_at)
    )
     PARTITION BY RANGE (recorded_at)
    """,
    """
    CREATE INDEX ix_operations_history ON operations (bucket, member, id)
    """,
    """
    CREATE TABLE lines (
        bucket SMALLINT NOT NULL,
        operation BIGINT NOT NULL,
        ordinal SMALLINT NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        debit SMALLINT NOT NULL,
            debit_owner BIGINT NOT NULL,
        credit SMALLINT NOT NULL,
            credit_owner BIGINT NOT NULL,
        amount BIGINT NOT NULL,
        unit TEXT NOT NULL,
        period INTEGER NOT NULL,
        issuer INTEGER NOT NULL,
        obligor INTEGER NOT NULL,
        redeemer INTEGER NOT NULL,
        tariff INTEGER NOT NULL,
        terms INTEGER NOT NULL,
            origin_period INTEGER NOT NULL,
        lot BIGINT NOT NULL,
        CONSTRAINT pk_lines PRIMARY KEY (bucket, operation, ordinal, recorded_at),
        CONSTRAINT ck_lines_positive CHECK (amount > 0)
    )
     PARTITION BY RANGE (recorded_at)
    """,
    """
    CREATE TABLE blocks (
        bucket SMALLINT NOT NULL,
        height BIGINT NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        period INTEGER NOT NULL,
        first BIGINT NOT NULL,
        count INTEGER NOT NULL,
        previous BYTEA NOT NULL,
        root BYTEA NOT NULL,
        hash BYTEA NOT NULL,
        CONSTRAINT pk_blocks PRIMARY KEY (bucket, height, recorded_at)
    )
     PARTITION BY RANGE (recorded_at)
    """,
    """
    CREATE TABLE keys (
        bucket SMALLINT NOT NULL,
        key BYTEA NOT NULL,
        operation BIGINT NOT NULL,
            recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_keys PRIMARY KEY (bucket, key)
    )
    """,
    """
    CREATE TABLE wallets (
        bucket SMALLINT NOT NULL,
        member BIGINT NOT NULL,
        pending BIGINT NOT NULL,
        available BIGINT NOT NULL,
        held BIGINT NOT NULL,
            clawback_due BIGINT NOT NULL,
            next_due_at TIMESTAMP WITH TIME ZONE,
        frozen BOOLEAN DEFAULT false NOT NULL,
        CONSTRAINT pk_wallets PRIMARY KEY (bucket, member),
        CONSTRAINT ck_wallets_floor
            CHECK (pending >= 0 AND available >= 0 AND held >= 0 AND clawback_due >= 0)
    )
     WITH (fillfactor = 70)
    """,
    """
    CREATE INDEX ix_wallets_due ON wallets (next_due_at) WHERE next_due_at IS NOT NULL
    """,
    """
    CREATE TABLE lots (
        bucket SMALLINT NOT NULL,
        member BIGINT NOT NULL,
        id BIGINT NOT NULL,
        issuer INTEGER NOT NULL,
        obligor INTEGER NOT NULL,
        tariff INTEGER NOT NULL,
        earned_at TIMESTAMP WITH TIME ZONE NOT NULL,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        earned BIGINT NOT NULL,
        pending BIGINT NOT NULL,
        available BIGINT NOT NULL,
        available_at TIMESTAMP WITH TIME ZONE,
        armed_at TIMESTAMP WITH TIME ZONE,
        parent BIGINT,
        CONSTRAINT pk_lots PRIMARY KEY (bucket, member, id),
        CONSTRAINT ck_lots_floor CHECK (pending >= 0 AND available >= 0)
    )
     WITH (fillfactor = 85)
    """,
    """
    CREATE TABLE holds (
        bucket SMALLINT NOT NULL,
        id BIGINT NOT NULL,
        member BIGINT NOT NULL,
        partner INTEGER NOT NULL,
        outlet INTEGER NOT NULL,
        terms INTEGER NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            is_open BOOLEAN NOT NULL,
            has_lapsed BOOLEAN NOT NULL,
        CONSTRAINT pk_holds PRIMARY KEY (bucket, id)
    )
     WITH (fillfactor = 85)
    """,
    """
    CREATE INDEX ix_holds_open ON holds (bucket, member) WHERE is_open
    """,
    """
    CREATE TABLE slices (
        bucket SMALLINT NOT NULL,
        hold BIGINT NOT NULL,
        ordinal SMALLINT NOT NULL,
        member BIGINT NOT NULL,
        lot BIGINT NOT NULL,
        issuer INTEGER NOT NULL,
        obligor INTEGER NOT NULL,
        tariff INTEGER NOT NULL,
            earned_at TIMESTAMP WITH TIME ZONE NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        points BIGINT NOT NULL,
        captured BIGINT NOT NULL,
        released BIGINT NOT NULL,
        CONSTRAINT pk_slices PRIMARY KEY (bucket, hold, ordinal),
        CONSTRAINT ck_slices_within
            CHECK (captured >= 0 AND released >= 0 AND captured + released <= points)
    )
     WITH (fillfactor = 85)
    """,
    """
    CREATE TABLE flows (
        bucket SMALLINT NOT NULL,
        period INTEGER NOT NULL,
        issuer INTEGER NOT NULL,
        obligor INTEGER NOT NULL,
        redeemer INTEGER NOT NULL,
        operation TEXT NOT NULL,
        tariff INTEGER NOT NULL,
        terms INTEGER NOT NULL,
            origin_period INTEGER NOT NULL,
        points BIGINT NOT NULL,
        count BIGINT NOT NULL,
        hash NUMERIC(39, 0) NOT NULL,
        CONSTRAINT pk_flows
            PRIMARY KEY (bucket, period, issuer, obligor, redeemer, operation, tariff, terms, origin_period)
    )
     WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE stock (
        bucket SMALLINT NOT NULL,
        issuer INTEGER NOT NULL,
        obligor INTEGER NOT NULL,
        tariff INTEGER NOT NULL,
            issue_month INTEGER NOT NULL,
            expiry_month INTEGER NOT NULL,
        points BIGINT NOT NULL,
        CONSTRAINT pk_stock PRIMARY KEY (bucket, issuer, obligor, tariff, issue_month, expiry_month),
        CONSTRAINT ck_stock_floor CHECK (points >= 0)
    )
     WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE stock_at_fence (
        period INTEGER NOT NULL,
        bucket SMALLINT NOT NULL,
        issuer INTEGER NOT NULL,
        obligor INTEGER NOT NULL,
        tariff INTEGER NOT NULL,
            issue_month INTEGER NOT NULL,
            expiry_month INTEGER NOT NULL,
        points BIGINT NOT NULL,
        CONSTRAINT pk_stock_at_fence
            PRIMARY KEY (period, bucket, issuer, obligor, tariff, issue_month, expiry_month)
    )
    """,
)

# History is never changed: a row trigger on the parent reaches every partition, TRUNCATE does
# not fire row triggers, so each table has a statement trigger of its own.
GUARDS = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'history is never changed: % on %', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    *(
        f"""
        CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change()
        """
        for table in HISTORY
    ),
    *(
        f"""
        CREATE TRIGGER never_truncated BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """
        for table in HISTORY
    ),
)

MAKE_PARTITIONS = """
CREATE FUNCTION make_partitions(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month);
    history text;
    partition text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('make_partitions'));
    FOREACH history IN ARRAY ARRAY['operations', 'lines', 'blocks'] LOOP
        partition := history || '_' || to_char(first, 'YYYYMM');
        IF to_regclass(partition) IS NULL THEN
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
    """Create the tables, forbid every change of history, and let the writer add months ahead."""
    for statement in TABLES + GUARDS:
        op.execute(statement)
    op.execute(
        "INSERT INTO heads (bucket, height, sequence, period, recorded_at, hash) "
        "SELECT bucket, 0, 0, 1, '1970-01-01T00:00:00Z', decode(repeat('00', 32), 'hex') "
        "FROM generate_series(0, 64) AS bucket"
    )
    op.execute(MAKE_PARTITIONS)
    owner_function("make_partitions(date)")
    for table in HISTORY:
        grant(table, writer="SELECT, INSERT")
    grant("keys", writer="SELECT, INSERT")
    grant("calendar", writer="SELECT, INSERT", reader="SELECT")
    grant("stock_at_fence", writer="SELECT, INSERT", reader="SELECT")
    grant("heads", writer="SELECT, UPDATE")
    for table in STATE:
        grant(table, writer="SELECT, INSERT, UPDATE")
