"""Transits: points that left one wallet and have not come to the next, bucket by bucket.

A transit is a row under the bucket that sent it, written in the commit that took the points. It
stays open until that bucket has recorded how the way ended, so whoever finds it open may go on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from .accounts import CLAWBACK_DUE

Kind = Literal["transfer", "merge"]
State = Literal["open", "arrived", "returned"]


class Part(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """Points of one lot on their way, with everything that their lot at the end inherits.

    `account` is the member's account that they left: pending, available, or `clawback_due` for
    points that are owed by the member, not to the member; then `lot` is the earn itself.
    `origin` is the lot in which they were earned, 0 for what set off before that was noted.
    """

    account: int
    lot: int
    issuer: int
    obligor: int
    tariff: int
    points: int
    earned_at: datetime
    expires_at: datetime
    available_at: datetime | None = None
    armed_at: datetime | None = None
    origin: int = 0


class Transit(msgspec.Struct, frozen=True, gc=False):
    """What one operation sent off: its id names it. A transfer may be refused, a merge may not."""

    id: int
    kind: Kind
    member: int
    to_member: int
    opened_at: datetime
    parts: tuple[Part, ...]
    state: State = "open"
    refusal: str = ""

    @property
    def points(self) -> int:
        """The points that are the member's at the end."""
        return sum(part.points for part in self.parts if part.account != CLAWBACK_DUE)

    @property
    def balance(self) -> int:
        """The same less what the member owes: what `in_transit` holds while they are on their way."""
        return 2 * self.points - sum(part.points for part in self.parts)


class Conclusion(msgspec.Struct, frozen=True, gc=False):
    """How a transit ended: the points arrived, or went back for the reason of that code."""

    transfer: int
    state: State
    refusal: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[Part, ...]).decode


def packed(parts: tuple[Part, ...]) -> bytes:
    """The parts as a transit keeps them."""
    return _encode(parts)


def unpacked(parts: bytes) -> tuple[Part, ...]:
    """The parts that a transit keeps. Raises `msgspec.DecodeError` for bytes that are none."""
    return _decode(parts)
