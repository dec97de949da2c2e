"""Points travel between members, a merged member has a survivor, obligors leave, notices come first."""

from __future__ import annotations

from alembic import op

from gateway.migrations.roles import grant

revision = "0011"
down_revision = "0010"

STATEMENTS = (
    """
    CREATE TABLE transits (
        bucket SMALLINT NOT NULL,
        id BIGINT NOT NULL,
        kind TEXT NOT NULL,
        member BIGINT NOT NULL,
        to_member BIGINT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        state TEXT NOT NULL,
        refusal TEXT NOT NULL,
        points BIGINT NOT NULL,
        parts BYTEA NOT NULL,
        CONSTRAINT pk_transits PRIMARY KEY (bucket, id),
        CONSTRAINT ck_transits_state CHECK (state IN ('open', 'arrived', 'returned'))
    )
    """,
    "CREATE INDEX ix_transits_open ON transits (id) WHERE state = 'open'",
    "ALTER TABLE wallets ADD COLUMN merged_into BIGINT",
    "CREATE INDEX ix_wallets_merged ON wallets (merged_into) WHERE merged_into IS NOT NULL",
    "ALTER TABLE calendar ADD COLUMN notice_days INTEGER",
    "ALTER TABLE programme ADD COLUMN notice_days INTEGER",
    """
    CREATE TABLE novations (
        id INTEGER GENERATED ALWAYS AS IDENTITY,
        leaver INTEGER NOT NULL,
        successor INTEGER NOT NULL,
        reason TEXT NOT NULL,
        begun_at TIMESTAMP WITH TIME ZONE NOT NULL,
        begun_by TEXT NOT NULL,
        rounds INTEGER NOT NULL,
        done_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT pk_novations PRIMARY KEY (id),
        CONSTRAINT fk_novations_leaver_partners FOREIGN KEY (leaver) REFERENCES partners (id)
    )
    """,
    "CREATE UNIQUE INDEX uq_novations_leaver ON novations (leaver) WHERE done_at IS NULL",
    """
    CREATE TABLE merges (
        merged BIGINT NOT NULL,
        survivor BIGINT NOT NULL,
        reason TEXT NOT NULL,
        merged_at TIMESTAMP WITH TIME ZONE NOT NULL,
        merged_by TEXT NOT NULL,
        CONSTRAINT pk_merges PRIMARY KEY (merged),
        CONSTRAINT fk_merges_merged_members FOREIGN KEY (merged) REFERENCES members (id),
        CONSTRAINT fk_merges_survivor_members FOREIGN KEY (survivor) REFERENCES members (id),
        CONSTRAINT ck_merges_two_members CHECK (merged <> survivor)
    )
    """,
    "CREATE INDEX ix_merges_survivor ON merges (survivor)",
)


def upgrade() -> None:
    """Add what the ledger needs for points on their way, and for lots that wait for a notice."""
    for statement in STATEMENTS:
        op.execute(statement)
    for table in ("transits", "novations"):
        grant(table, writer="SELECT, INSERT, UPDATE")
    grant("merges", writer="SELECT, INSERT")
