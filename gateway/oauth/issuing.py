"""Signing access tokens: the grant that asks for them, and what is written into them."""

# Authlib ships no types, so its classes are `Any` to the type checker.
# mypy: allow-subclassing-any

# Authlib calls these methods with more than they need.
# ruff: noqa: ARG002

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, Final

from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from joserfc.jwk import KeySet

from partners.clients import TOKEN_LIFETIME

from .addresses import Addresses
from .applicants import KnownClient
from .keys import KeyRing

METHODS: Final = ["client_secret_basic", "private_key_jwt"]
"""How a client may authenticate, at every endpoint."""


class ClientCredentials(ClientCredentialsGrant):
    """RFC 6749, section 4.4."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS


class AccessTokens(JWTBearerTokenGenerator):
    """Signs access tokens as RFC 9068 has them."""

    def __init__(self, keys: KeyRing, addresses: Addresses, at: datetime) -> None:
        seconds = int(TOKEN_LIFETIME.total_seconds())
        super().__init__(addresses.issuer, alg="ES256", expires_generator=lambda _client, _grant: seconds)
        self._key = keys.signing(at).pair
        self._audience = addresses.audience

    def get_jwks(self) -> KeySet:
        """A set of the one key that signs now; from a set, its id goes into the header."""
        return KeySet([self._key])

    def get_audiences(self, client: KnownClient, user: object, scope: str) -> str:
        """The GraphQL endpoint."""
        return self._audience

    def get_jti(self, client: KnownClient, grant_type: str, user: object, scope: str) -> str:
        """128 random bits."""
        return secrets.token_urlsafe(16)

    def get_extra_claims(
        self, client: KnownClient, grant_type: str, user: object, scope: str
    ) -> dict[str, Any]:
        """For whom the client acts, so that no request has to look it up."""
        assert client.client is not None
        outlets = client.client.outlets
        return {
            "kind": client.client.kind,
            "partner": client.client.partner,
            "outlets": None if outlets is None else sorted(outlets),
        }
