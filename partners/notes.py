"""Notes: why staff did something, kept with the operation under its hash."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from .names import name

MAX_TEXT: Final = 1_000


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Who and why. What was stored must decode for ever: fields are only added, each with a default.

    It is stored as a map, a receipt's detail as an array, so one is never taken for the other.
    """

    by: str
    reason: str
    text: str = ""
    approved_by: str = ""
    approved_at: datetime | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Note)
_MAPS: Final = range(0x80, 0x90)
"""What a small map begins with in msgpack."""


def encode_note(note: Note) -> bytes:
    """The bytes that go under the operation's hash."""
    return _encoder.encode(note)


def is_note(stored: bytes) -> bool:
    """True when what is kept with an operation is a note."""
    return bool(stored) and stored[0] in _MAPS


def decode_note(stored: bytes) -> Note | None:
    """The note of a stored operation; None for what tills do."""
    return _decoder.decode(stored) if is_note(stored) else None


def check_reason(text: str) -> str:
    """A reason of 1 to 200 characters on one line; raises `InvalidInput` otherwise."""
    return name(text, field="reason")
