"""Where the authorization server is found, all derived from the issuer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from authlib.common.security import is_secure_transport

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 — a path
REVOKE_PATH: Final = "/oauth/revoke"
INTROSPECT_PATH: Final = "/oauth/introspect"
JWKS_PATH: Final = "/oauth/jwks"
GRAPHQL_PATH: Final = "/graphql"


@dataclass(frozen=True, slots=True)
class Addresses:
    """URLs of one issuer, such as https://points.example: https, or http on loopback; no path."""

    issuer: str

    def __post_init__(self) -> None:
        if self.issuer.endswith("/") or not is_secure_transport(self.issuer):
            raise ValueError(
                f"the issuer {self.issuer!r} must be https (or loopback) and end without a slash"
            )

    @property
    def token(self) -> str:
        """The token endpoint."""
        return self.issuer + TOKEN_PATH

    @property
    def revoke(self) -> str:
        """The revocation endpoint."""
        return self.issuer + REVOKE_PATH

    @property
    def introspect(self) -> str:
        """The introspection endpoint."""
        return self.issuer + INTROSPECT_PATH

    @property
    def jwks(self) -> str:
        """The published key set."""
        return self.issuer + JWKS_PATH

    @property
    def audience(self) -> str:
        """What access tokens are for: the GraphQL endpoint, and nothing else that this issuer may sign."""
        return self.issuer + GRAPHQL_PATH
