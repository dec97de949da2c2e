"""What is kept with an operation, and told again on a repeat: the receipt and what the rules said of it."""

from __future__ import annotations

from typing import Final

import msgspec

from .notes import is_note
from .receipts import Receipt
from .rules import Ruling


class LineShare(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a line, by its position from 0, earned or took."""

    line: int
    points_earned: int = 0
    points_burned: int = 0
    money_off_micro: int = 0


class Detail(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The receipt as read, the explanation rule by rule and line by line, and its ruleset's version.

    It names nobody: a receipt carries goods and places, the operation carries the member. Of a
    return the receipt is its own, without lines; `reason` is given for a reversal.
    What was stored must decode for ever: fields are only appended, each with a default.
    """

    receipt: Receipt
    rulings: tuple[Ruling, ...]
    lines: tuple[LineShare, ...]
    ruleset: int
    quoted: bool = False
    reason: str = ""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Detail)


def encode_detail(detail: Detail) -> bytes:
    """The bytes that go under the operation's hash."""
    return _encoder.encode(detail)


def decode_detail(stored: bytes) -> Detail | None:
    """The detail of a stored operation; None for one without a receipt, and for what staff does."""
    return _decoder.decode(stored) if stored and not is_note(stored) else None
