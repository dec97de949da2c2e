"""Tokens handed back in: a client gives one up (RFC 7009) or asks what it is worth (RFC 7662)."""

# Authlib ships no types, so its classes are `Any` to the type checker.
# mypy: allow-subclassing-any

# Authlib calls these methods with more than they need.
# ruff: noqa: ARG002

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError, TokenMixin
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from .applicants import KnownClient
from .issuing import METHODS
from .messages import FormRequest
from .tokens import AccessToken


class IssuedToken(TokenMixin):
    """A genuine access token in Authlib's eyes."""

    def __init__(self, claims: AccessToken, *, has_been_revoked: bool) -> None:
        self.claims = claims
        self._has_been_revoked = has_been_revoked

    def check_client(self, client: KnownClient) -> bool:
        """Whether it was issued to this client."""
        return self.claims.client_id == client.client_id

    def is_expired(self) -> bool:
        """Never: an expired one is not even read."""
        return False

    def is_revoked(self) -> bool:
        """Whether it, or its client, was revoked."""
        return self._has_been_revoked


class Revocations(RevocationEndpoint):
    """RFC 7009: a client gives a token of its own back."""

    CLIENT_AUTH_METHODS = METHODS

    def check_params(self, request: FormRequest, client: KnownClient) -> None:
        """A token must be there; the hint is ignored, since there is one type only."""
        _require_token(request)

    def query_token(self, token_string: str, token_type_hint: str | None) -> IssuedToken | None:
        """The token, if it is good."""
        return self.server.find_token(token_string)  # type: ignore[no-any-return]  # Authlib is untyped

    def revoke_token(self, token: IssuedToken, request: FormRequest) -> None:
        """Let every process refuse it; once, since each reads all revocations again and again."""
        if not token.is_revoked():
            self.server.revoke(token.claims)


class Introspections(IntrospectionEndpoint):
    """RFC 7662: a client asks about a token of its own, the operator about any."""

    CLIENT_AUTH_METHODS = METHODS

    def check_params(self, request: FormRequest, client: KnownClient) -> None:
        """A token must be there; the hint is ignored, since there is one type only."""
        _require_token(request)

    def check_permission(self, token: IssuedToken, client: KnownClient, request: FormRequest) -> bool:
        """Whether this client may know; if not, the token is just called inactive."""
        assert client.client is not None
        return token.check_client(client) or client.client.kind == "operator"

    def query_token(self, token_string: str, token_type_hint: str | None) -> IssuedToken | None:
        """The token, if it is good."""
        return self.server.find_token(token_string)  # type: ignore[no-any-return]  # Authlib is untyped

    def introspect_token(self, token: IssuedToken) -> dict[str, Any]:
        """What the token says."""
        it = token.claims
        return {
            "active": True,
            "token_type": "Bearer",
            "scope": it.scope,
            "client_id": it.client_id,
            "sub": it.sub,
            "aud": it.aud,
            "iss": it.iss,
            "jti": it.jti,
            "iat": it.iat,
            "exp": it.exp,
        }


def _require_token(request: FormRequest) -> None:
    if not request.form.get("token"):
        raise InvalidRequestError(description="token is missing")
