"""Who is asking: the client behind a verified access token, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.kernel.refusals import Refusal
from partners.clients import SCOPES, SCOPES_OF_KIND, Kind

__all__ = ["SCOPES", "SCOPES_OF_KIND", "Caller", "Forbidden", "Kind", "Unauthenticated", "principal_of"]


class Unauthenticated(Refusal):
    """The request carries no access token, or one that is not good."""

    code = "UNAUTHENTICATED"

    def __init__(self, message: str, *, token_presented: bool) -> None:
        super().__init__(message)
        self.token_presented = token_presented

    @property
    def challenge(self) -> str:
        """The value of the `WWW-Authenticate` header that goes with it (RFC 6750, section 3)."""
        return 'Bearer error="invalid_token"' if self.token_presented else "Bearer"


class Forbidden(Refusal):
    """The caller is known and its token lacks a scope."""

    code = "FORBIDDEN"

    def __init__(self, scope: str) -> None:
        super().__init__(f"the scope {scope} is needed")
        self.scope = scope


@dataclass(frozen=True, slots=True)
class Caller:
    """The client behind a request.

    `partner` is set for the kind "partner" only. `outlets` of None means every outlet of the
    partner. `principal` owns the idempotency keys of what the caller writes.
    """

    client_id: str
    kind: Kind
    partner: int | None
    scopes: frozenset[str]
    outlets: frozenset[int] | None
    principal: str

    def require(self, scope: str) -> None:
        """Refuse with `Forbidden` unless the caller's token has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(scope)


def principal_of(kind: Kind, client_id: str, partner: int | None) -> str:
    """Whom idempotency keys belong to: a whole partner, since its tills share receipts; else the client."""
    if kind == "partner":
        return f"partner:{partner}"
    return f"app:{client_id}" if kind == "app" else f"staff:{client_id}"
