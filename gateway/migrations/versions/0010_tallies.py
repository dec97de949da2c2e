"""Where partners and the programme stood at any instant is a sum of tallies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.migrations.roles import grant

revision = "0010"
down_revision = "0009"

TAKES_PART = (
    "(SELECT nullif(current_setting('kopilka.partner', true), '')::integer) IN (issuer, obligor, redeemer)"
)
# `id` is `operation` again, for a range asked of either to bound both sides of the join.
LINE_INSTANTS = """
    SELECT l.bucket, l.operation, o.id, l.ordinal, l.recorded_at,
           least(o.occurred_at, o.recorded_at) AS effective_at,
           l.debit, l.credit, l.issuer, l.obligor, l.redeemer, l.amount
    FROM public.lines l
    JOIN public.operations o
      ON o.bucket = l.bucket AND o.id = l.operation AND o.recorded_at = l.recorded_at
    WHERE l.unit = 'PTS'
"""
TALLIES = (
    "SELECT clock, span, starts_at, issuer, obligor, redeemer, debit, credit, points FROM public.tallies"
)


def upgrade() -> None:
    """Make tallies, and the views by which both roles read what they do not cover."""
    op.create_table(
        "tallies",
        sa.Column("clock", sa.Text, nullable=False),
        sa.Column("span", sa.Text, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issuer", sa.Integer, nullable=False),
        sa.Column("obligor", sa.Integer, nullable=False),
        sa.Column("redeemer", sa.Integer, nullable=False),
        sa.Column("debit", sa.SmallInteger, nullable=False),
        sa.Column("credit", sa.SmallInteger, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint(
            "clock",
            "span",
            "starts_at",
            "issuer",
            "obligor",
            "redeemer",
            "debit",
            "credit",
            name=op.f("pk_tallies"),
        ),
    )
    op.create_table(
        "tally_marks",
        sa.Column("bucket", sa.SmallInteger, nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("bucket", "starts_at", name=op.f("pk_tally_marks")),
    )
    op.create_table(
        "tally_late",
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bucket", sa.SmallInteger, nullable=False),
        sa.Column("operation", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("starts_at", "bucket", "operation", name=op.f("pk_tally_late")),
    )
    for table in ("tallies", "tally_marks"):
        grant(table, writer="SELECT, INSERT, UPDATE")
    grant("tally_late", writer="SELECT, INSERT")
    op.execute(f"CREATE VIEW line_instants AS {LINE_INSTANTS}")
    grant("line_instants", writer="SELECT")
    _make_filtered_views()


def _make_filtered_views() -> None:
    """A partner sees its own cells; marks and late operations are numbers that name nobody."""
    views = {"tallies": f"{TALLIES} WHERE {TAKES_PART}", "line_instants": f"{LINE_INSTANTS} AND {TAKES_PART}"}
    for name, query in views.items():
        op.execute(f"CREATE VIEW filtered.{name} WITH (security_barrier) AS {query}")
        grant(f"filtered.{name}", reader="SELECT")
    for table in ("tally_marks", "tally_late"):
        grant(table, reader="SELECT")
