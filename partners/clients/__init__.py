"""OAuth clients of partners and of the operator's side: registration, secrets, keys, revocation."""

from .client import KINDS, SCOPES, SCOPES_OF_KIND, Client, Credentials, Kind, Revocation
from .jwks import PublicKey, public_keys
from .registry import (
    CHANGE_OVER,
    REVOCATION_LIFETIME,
    TOKEN_LIFETIME,
    ClientUnknown,
    NewClient,
    clients_of,
    create_client,
    creators_of,
    find_client,
    register_jwks,
    revoke_client,
    rotate_secret,
)
from .secret import matches
from .store import (
    credentials_of,
    forget_revocations,
    full_until,
    insert_revocation,
    is_revoked,
    live_revocations,
)

__all__ = [
    "CHANGE_OVER",
    "KINDS",
    "REVOCATION_LIFETIME",
    "SCOPES",
    "SCOPES_OF_KIND",
    "TOKEN_LIFETIME",
    "Client",
    "ClientUnknown",
    "Credentials",
    "Kind",
    "NewClient",
    "PublicKey",
    "Revocation",
    "clients_of",
    "create_client",
    "creators_of",
    "credentials_of",
    "find_client",
    "forget_revocations",
    "full_until",
    "insert_revocation",
    "is_revoked",
    "live_revocations",
    "matches",
    "public_keys",
    "register_jwks",
    "revoke_client",
    "rotate_secret",
]
