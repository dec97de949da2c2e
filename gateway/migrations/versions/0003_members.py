"""Members are enrolled once, found by blind indexes, and forgotten by the loss of their key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import CreateSequence

from gateway.migrations.roles import grant

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make members, cards and consents. The reader sees none of them: it serves partners."""
    _make_members()
    _make_cards()
    _make_consents()


def _make_members() -> None:
    op.execute(CreateSequence(sa.Sequence("member_numbers")))
    grant("SEQUENCE member_numbers", writer="USAGE")
    op.create_table(
        "members",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_enrolled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_version", sa.SmallInteger),
        sa.Column("wrapped_key", sa.LargeBinary),
        sa.Column("personal", sa.LargeBinary),
        sa.Column("phone_version", sa.SmallInteger),
        sa.Column("phone_digest", sa.LargeBinary),
        sa.Column("forgotten_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(wrapped_key IS NULL) = (forgotten_at IS NOT NULL)",
            name=op.f("ck_members_key_lives_until_forgotten"),
        ),
        sa.CheckConstraint(
            "forgotten_at IS NULL OR phone_digest IS NULL", name=op.f("ck_members_forgotten_has_no_phone")
        ),
        sa.CheckConstraint(
            "(phone_digest IS NULL) = (phone_version IS NULL)", name=op.f("ck_members_phone_has_version")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    op.create_index("uq_members_phone_digest", "members", ["phone_digest"], unique=True)
    grant("members", writer="SELECT, INSERT, UPDATE")


def _make_cards() -> None:
    op.create_table(
        "cards",
        sa.Column("locator", sa.LargeBinary, nullable=False),
        sa.Column("member", sa.BigInteger, nullable=False),
        sa.Column("number_version", sa.SmallInteger),
        sa.Column("number_digest", sa.LargeBinary),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(number_digest IS NULL) = (closed_at IS NOT NULL)", name=op.f("ck_cards_open_has_number")
        ),
        sa.CheckConstraint(
            "(number_digest IS NULL) = (number_version IS NULL)", name=op.f("ck_cards_number_has_version")
        ),
        sa.CheckConstraint("(number_digest IS NULL) = (sealed IS NULL)", name=op.f("ck_cards_open_has_key")),
        sa.PrimaryKeyConstraint("locator", name=op.f("pk_cards")),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_cards_member")),
    )
    op.create_index("ix_cards_member", "cards", ["member"])
    op.create_index("uq_cards_number_digest", "cards", ["number_digest"], unique=True)
    grant("cards", writer="SELECT, INSERT, UPDATE")


def _make_consents() -> None:
    op.create_table(
        "consents",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("member", sa.BigInteger, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("granted", sa.Boolean, nullable=False),
        sa.Column("stated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consents")),
        sa.ForeignKeyConstraint(["member"], ["members.id"], name=op.f("fk_consents_member")),
    )
    op.create_index("ix_consents_member", "consents", ["member", "purpose", "id"])
    grant("consents", writer="SELECT, INSERT")
