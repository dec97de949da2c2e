"""Clients that ask to be let in, as Authlib sees them, and the secret they may show."""

# Authlib ships no types, so its classes are `Any` to the type checker.
# mypy: allow-subclassing-any

# Authlib calls these methods with more than they need.
# ruff: noqa: ARG002

from __future__ import annotations

import base64
import binascii
from typing import Any, Final
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import ClientMixin

from partners.clients import Client, Credentials, PublicKey, matches, public_keys

from .messages import FormRequest

GRANT: Final = "client_credentials"


class KnownClient(ClientMixin):
    """A client in Authlib's eyes. One that does not exist is looked at in the same way, and fails."""

    def __init__(self, client_id: str, credentials: Credentials | None) -> None:
        self.client_id = client_id
        self.client: Client | None = credentials.client if credentials else None
        self.digests: tuple[bytes, ...] = credentials.secret_digests if credentials else ()
        jwks = self.client.jwks if self.client else None
        self.keys: list[PublicKey] = public_keys(jwks) if jwks is not None else []

    def get_client_id(self) -> str:
        """The id."""
        return self.client_id

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether the client has what the method needs; the same at every endpoint."""
        if self.client is None:
            return False
        return bool(self.digests if method == "client_secret_basic" else self.keys)

    def check_grant_type(self, grant_type: str) -> bool:
        """Every client of this kind may use client credentials, and nothing else."""
        return grant_type == GRANT

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """All the client's scopes if none is asked for; None, which is refused, if one is not its own."""
        assert self.client is not None
        asked = set(scope.split()) if scope else self.client.scopes
        return " ".join(sorted(asked)) if asked and asked <= self.client.scopes else None


def by_secret(query_client: Any, request: FormRequest) -> KnownClient | None:
    """The client of HTTP Basic credentials, if the secret is one of its own; None without such a header.

    In place of Authlib's, which fails on malformed base64 and compares against one secret.
    """
    presented = _basic_credentials(request.headers.get("Authorization", ""))
    if presented is None:
        return None
    client: KnownClient = query_client(presented[0])
    return client if matches(presented[1], client.digests) else None


def _basic_credentials(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote_plus(user), unquote_plus(password)) if colon else None
