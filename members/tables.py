"""Tables of the room: members, their cards, their consents."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Sequence,
    SmallInteger,
    Table,
    Text,
)

from ledger.kernel.database import metadata

member_numbers: Final = Sequence("member_numbers", metadata=metadata)
"""Numbers enrolments; a number gives the bucket and the position in it."""

members: Final = Table(
    "members",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("enrolled_at", DateTime(timezone=True), nullable=False),
    Column("key_version", SmallInteger),
    Column("wrapped_key", LargeBinary),
    Column("personal", LargeBinary),
    Column("phone_version", SmallInteger),
    Column("phone_digest", LargeBinary),
    Column("forgotten_at", DateTime(timezone=True)),
    CheckConstraint("(wrapped_key IS NULL) = (forgotten_at IS NOT NULL)", name="key_lives_until_forgotten"),
    CheckConstraint("forgotten_at IS NULL OR phone_digest IS NULL", name="forgotten_has_no_phone"),
    CheckConstraint("(phone_digest IS NULL) = (phone_version IS NULL)", name="phone_has_version"),
    Index("uq_members_phone_digest", "phone_digest", unique=True),
)

cards: Final = Table(
    "cards",
    metadata,
    Column("locator", LargeBinary, primary_key=True),
    Column("member", BigInteger, ForeignKey("members.id"), nullable=False),
    Column("number_version", SmallInteger),
    Column("number_digest", LargeBinary),
    Column("sealed", LargeBinary),
    Column("issued_at", DateTime(timezone=True), nullable=False),
    Column("closed_at", DateTime(timezone=True)),
    CheckConstraint("(number_digest IS NULL) = (closed_at IS NOT NULL)", name="open_has_number"),
    CheckConstraint("(number_digest IS NULL) = (number_version IS NULL)", name="number_has_version"),
    CheckConstraint("(number_digest IS NULL) = (sealed IS NULL)", name="open_has_key"),
    Index("ix_cards_member", "member"),
    Index("uq_cards_number_digest", "number_digest", unique=True),
)

former_numbers: Final = Table(
    "former_numbers",
    metadata,
    Column("member", BigInteger, ForeignKey("members.id"), primary_key=True, autoincrement=False),
    Column("version", SmallInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("sealed", LargeBinary),
    Index("uq_former_numbers_digest", "digest", unique=True),
)
"""Who came along from another programme, by the number they had there. The digest outlives the member's
key, so that someone who was erased does not come back by the same file."""
merges: Final = Table(
    "merges",
    metadata,
    Column("merged", BigInteger, ForeignKey("members.id"), primary_key=True, autoincrement=False),
    Column("survivor", BigInteger, ForeignKey("members.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("merged_at", DateTime(timezone=True), nullable=False),
    Column("merged_by", Text, nullable=False),
    CheckConstraint("merged <> survivor", name="two_members"),
)

consents: Final = Table(
    "consents",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("member", BigInteger, ForeignKey("members.id"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("granted", Boolean, nullable=False),
    Column("stated_at", DateTime(timezone=True), nullable=False),
    Index("ix_consents_member", "member", "purpose", "id"),
)
