"""What an OAuth client is: a program acting for a partner, the operator, finance or the members' app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

Kind = Literal["partner", "operator", "finance", "support", "app"]

SCOPES_OF_KIND: Final[Mapping[str, frozenset[str]]] = {
    "partner": frozenset(
        {
            "members:resolve",
            "members:enrol",
            "quote",
            "earn",
            "burn",
            "return",
            "partner:read",
            "partner:manage",
            "proof:export",
        }
    ),
    "operator": frozenset(
        {
            "programme:manage",
            "partner:read",
            "partner:manage",
            "members:resolve",
            "members:manage",
            "clock",
            "settlement:read",
            "proof:read",
            "proof:export",
            "ledger:lift",
            "members:freeze",
            "points:adjust",
            "points:approve",
            "points:grant",
            "points:donate",
        }
    ),
    "finance": frozenset(
        {
            "partner:read",
            "settlement:read",
            "settlement:close",
            "proof:read",
            "proof:export",
            "points:adjust",
            "points:approve",
        }
    ),
    "support": frozenset(
        {"partner:read", "members:resolve", "members:freeze", "points:adjust", "points:donate"}
    ),
    "app": frozenset({"members:resolve", "members:enrol", "members:card", "members:transfer"}),
}
"""The most that a client of each kind may be given."""

SCOPES: Final[frozenset[str]] = frozenset[str]().union(*SCOPES_OF_KIND.values())
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client, without its secrets.

    `partner` is set for the kind "partner" and for no other. `outlets` of None means every
    outlet of the partner. `jwks` holds public keys as a JWK set, or None.
    """

    client_id: str
    kind: Kind
    partner: int | None
    name: str
    scopes: frozenset[str]
    outlets: frozenset[int] | None
    jwks: Mapping[str, Any] | None
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A live client with what it may prove itself by: SHA-256 digests of its live secrets, and its keys."""

    client: Client
    secret_digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A token (`jti`) or all tokens of a client (`jti` is None), refused until `expires_at`."""

    client_id: str
    jti: str | None
    expires_at: datetime
