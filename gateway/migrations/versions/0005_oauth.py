"""Clients prove who they are, keys sign their tokens, and what is revoked is known everywhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from gateway.migrations.roles import grant

revision = "0005"
down_revision = "0004"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables; a client and a secret are never deleted, what has expired is."""
    _make_clients()
    _make_secrets()
    _make_revocations()
    _make_signing_keys()
    _make_assertion_ids()


def _make_clients() -> None:
    op.create_table(
        "clients",
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("partner", sa.Integer),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("outlets", ARRAY(sa.BigInteger), comment="null: every outlet of the partner"),
        sa.Column("jwks", JSONB, comment="public keys, RFC 7517"),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("revoked_at", _INSTANT),
        sa.CheckConstraint("kind IN ('partner', 'operator', 'finance', 'app')", name=op.f("ck_clients_kind")),
        sa.CheckConstraint("(kind = 'partner') = (partner IS NOT NULL)", name=op.f("ck_clients_partner")),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_clients")),
        sa.ForeignKeyConstraint(["partner"], ["partners.id"], name=op.f("fk_clients_partner")),
    )
    op.create_index(op.f("ix_clients_partner"), "clients", ["partner"])
    grant("clients", writer="SELECT, INSERT, UPDATE (jwks, revoked_at)")


def _make_secrets() -> None:
    op.create_table(
        "client_secrets",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of the secret"),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, comment="null: until it is rotated"),
        sa.CheckConstraint("octet_length(digest) = 32", name=op.f("ck_client_secrets_digest")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_secrets")),
        sa.ForeignKeyConstraint(
            ["client_id"], ["clients.client_id"], name=op.f("fk_client_secrets_client_id")
        ),
    )
    op.create_index(op.f("ix_client_secrets_client_id"), "client_secrets", ["client_id"])
    grant("client_secrets", writer="SELECT, INSERT, UPDATE (expires_at)")


def _make_revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("jti", sa.Text, comment="null: every token of the client"),
        sa.Column("revoked_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False, comment="when no such token can be alive"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revocations")),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_revocations_client_id")),
    )
    op.create_index(op.f("ix_revocations_expires_at"), "revocations", ["expires_at"])
    grant("revocations", writer="SELECT, INSERT, DELETE")


def _make_signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column(
            "sealed", sa.LargeBinary, nullable=False, comment="private key, AES-GCM under the master key"
        ),
        sa.Column(
            "not_before", _INSTANT, nullable=False, comment="published from the start, signs from here"
        ),
        sa.Column("retired_at", _INSTANT, comment="signs until here, published until its tokens are dead"),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    grant("signing_keys", writer="SELECT, INSERT, UPDATE (retired_at), DELETE")


def _make_assertion_ids() -> None:
    op.create_table(
        "assertion_ids",
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("jti", sa.Text, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("client_id", "jti", name=op.f("pk_assertion_ids")),
    )
    op.create_index(op.f("ix_assertion_ids_expires_at"), "assertion_ids", ["expires_at"])
    grant("assertion_ids", writer="SELECT, INSERT, DELETE")
