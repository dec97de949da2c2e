"""The digest of a request: the same however it came, alone, in a batch or in a file."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import msgspec

_encoder: Final = msgspec.msgpack.Encoder(order="deterministic")


def digest_of(kind: str, *asked: Any) -> bytes:
    """SHA-256 over what was asked for, before defaults, in a fixed encoding.

    Instants are encoded as instants, so the same one under another offset is the same request.
    Digests are compared with those of years ago: what joins a request later must leave the
    digest of a request without it as it was.
    """
    return sha256(_encoder.encode((kind, *asked))).digest()
