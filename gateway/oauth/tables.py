"""Tables of the authorization server alone: its signing keys, and the assertions already used."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text

from ledger.kernel.database import metadata

_INSTANT: Final = DateTime(timezone=True)

signing_keys: Final = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False, comment="private key, AES-GCM under the master key"),
    Column("not_before", _INSTANT, nullable=False, comment="published from the start, signs from here"),
    Column("retired_at", _INSTANT, comment="signs until here, published until its tokens are dead"),
)

assertion_ids: Final = Table(
    "assertion_ids",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("expires_at", _INSTANT, nullable=False, index=True),
)
