"""Tables of OAuth clients: who they are, their secrets, and what was revoked before its time."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ledger.kernel.database import metadata

_INSTANT: Final = DateTime(timezone=True)

clients: Final = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("partner", Integer, ForeignKey("partners.id"), index=True),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("outlets", ARRAY(BigInteger), comment="null: every outlet of the partner"),
    Column("jwks", JSONB(none_as_null=True), comment="public keys, RFC 7517"),
    Column("created_at", _INSTANT, nullable=False),
    Column("revoked_at", _INSTANT),
    Column("created_by", Text, comment="the principal that registered it; null: nobody knows"),
    CheckConstraint("kind IN ('partner', 'operator', 'finance', 'support', 'app')", name="kind"),
    CheckConstraint("(kind = 'partner') = (partner IS NOT NULL)", name="partner"),
)

client_secrets: Final = Table(
    "client_secrets",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, comment="SHA-256 of the secret"),
    Column("created_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT, comment="null: until it is rotated"),
    CheckConstraint("octet_length(digest) = 32", name="digest"),
)

revocations: Final = Table(
    "revocations",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("jti", Text, comment="null: every token of the client"),
    Column("revoked_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT, nullable=False, index=True, comment="when no such token can be alive"),
)
