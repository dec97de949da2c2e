"""Tables of tallies: sums of lines by hour, day and month, and how far they reach."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, DateTime, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text

from ledger.kernel.database import metadata

tallies: Final = Table(
    "tallies",
    metadata,
    Column("clock", Text, nullable=False),
    Column("span", Text, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("issuer", Integer, nullable=False),
    Column("obligor", Integer, nullable=False),
    Column("redeemer", Integer, nullable=False),
    Column("debit", SmallInteger, nullable=False),
    Column("credit", SmallInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    PrimaryKeyConstraint(
        "clock", "span", "starts_at", "issuer", "obligor", "redeemer", "debit", "credit", name="pk_tallies"
    ),
)
"""Spans are the month, the day and the hour of UTC, the same wherever they are asked for."""
"""Points that lines moved from one kind of account to another in a span of time, by either clock."""

tally_marks: Final = Table(
    "tally_marks",
    metadata,
    Column("bucket", SmallInteger, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    PrimaryKeyConstraint("bucket", "starts_at"),
)
"""Which operations of a bucket were recorded in an hour and are folded: an hour is found again by them."""

tally_late: Final = Table(
    "tally_late",
    metadata,
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("bucket", SmallInteger, nullable=False),
    Column("operation", BigInteger, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("starts_at", "bucket", "operation"),
)
"""Operations that were recorded in a later hour than the one they were effective in."""
