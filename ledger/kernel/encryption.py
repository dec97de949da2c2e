"""Encryption of secrets that are stored: AES-GCM, the nonce in front, bound to what the secret belongs to."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


def encrypt(cipher: AESGCM, secret: bytes, context: bytes) -> bytes:
    """A random nonce and the ciphertext. Whoever opens it must name the same `context`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, secret, context)


def decrypt(ciphers: Iterable[AESGCM], encrypted: bytes, context: bytes) -> bytes:
    """What `encrypt` was given under one of `ciphers`, the first that fits.

    Raises `InvalidTag` if it was under none of them, or a byte or the context differs.
    """
    nonce, ciphertext = encrypted[:_NONCE_BYTES], encrypted[_NONCE_BYTES:]
    for cipher in ciphers:
        with suppress(InvalidTag):
            return cipher.decrypt(nonce, ciphertext, context)
    raise InvalidTag
