"""Client secrets: 32 random bytes, shown once, kept as SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

SECRET_BYTES: Final = 32
LIVE_SECRETS: Final = 2
"""A client may hold an old and a new secret at once, so that it can change over without a pause."""

_NOBODYS: Final = bytes(32)
"""No secret is known to hash to this; it stands in for the secrets that a client does not have."""


def new_secret() -> str:
    """A fresh secret as a client sends it: URL-safe text, with a prefix that secret scanners can find."""
    return f"kopilka_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(secret: str) -> bytes:
    """What is stored of a secret. It has 256 bits of its own, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def matches(secret: str, digests: Sequence[bytes]) -> bool:
    """Whether `secret` is one of those digested; takes as long for none, one or two, right or wrong."""
    presented = digest_of(secret)
    compared = [*digests[:LIVE_SECRETS], *[_NOBODYS] * (LIVE_SECRETS - len(digests))]
    return sum(hmac.compare_digest(presented, digest) for digest in compared) > 0
