"""Public keys that a client signs its assertions with: which are accepted, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from ledger.kernel.refusals import InvalidInput

PublicKey = ECKey | RSAKey | OKPKey

MOST_KEYS: Final = 10
LEAST_RSA_BITS: Final = 2048
MOST_RSA_BITS: Final = 4096
"""A longer modulus would let a client make every verification slow."""


def public_keys(jwks: Mapping[str, Any]) -> list[PublicKey]:
    """The keys of a JWK set: EC P-256, Ed25519 or RSA of 2048 to 4096 bits, public parts only.

    Raises `InvalidInput` for anything else, for key ids that repeat, for an empty set and for
    more than ten keys.
    """
    entries = jwks.get("keys")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_KEYS:
        raise InvalidInput(f"a key set has 1 to {MOST_KEYS} keys", field=("jwks", "keys"))
    keys = [_public_key(entry, index) for index, entry in enumerate(entries)]
    ids = [key.kid for key in keys if key.kid is not None]
    if len(set(ids)) < len(ids):
        raise InvalidInput("a key id occurs twice", field=("jwks", "keys"))
    return keys


def _public_key(entry: Any, index: int) -> PublicKey:
    field = ("jwks", "keys", str(index))
    if not isinstance(entry, dict):
        raise InvalidInput("a key is an object", field=field)
    if "d" in entry or "k" in entry:
        raise InvalidInput("a private or shared key must never leave its owner", field=field)
    if entry.get("use", "sig") != "sig":
        raise InvalidInput("the key is not for signatures", field=field)
    try:
        key = JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        raise InvalidInput("not a readable public key", field=field) from None
    if not _is_strong(key):
        raise InvalidInput("a key is EC P-256, Ed25519 or RSA of 2048 to 4096 bits", field=field)
    assert isinstance(key, ECKey | RSAKey | OKPKey)
    return key


def _is_strong(key: object) -> bool:
    if isinstance(key, RSAKey):
        number = key.raw_value
        return isinstance(number, RSAPublicKey) and LEAST_RSA_BITS <= number.key_size <= MOST_RSA_BITS
    return (isinstance(key, ECKey) and key.curve_name == "P-256") or (
        isinstance(key, OKPKey) and key.curve_name == "Ed25519"
    )
