"""What the discovery documents say (RFC 8414, OpenID Connect Discovery)."""

from __future__ import annotations

from typing import Any

from partners.clients import SCOPES

from .addresses import Addresses
from .assertions import ALGORITHMS
from .issuing import METHODS


def authorization_server(addresses: Addresses) -> dict[str, Any]:
    """The document at `/.well-known/oauth-authorization-server`."""
    return {
        "issuer": addresses.issuer,
        "jwks_uri": addresses.jwks,
        "scopes_supported": sorted(SCOPES),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint": addresses.token,
        "token_endpoint_auth_methods_supported": METHODS,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint": addresses.revoke,
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint": addresses.introspect,
        "introspection_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
    }


def openid_configuration(addresses: Addresses) -> dict[str, Any]:
    """The document at `/.well-known/openid-configuration`: the same, for clients that look only there."""
    return authorization_server(addresses) | {
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
