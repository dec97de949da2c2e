"""Ids that name their own bucket.

A member id and an operation id are 63-bit integers: 7 bits of bucket, 56 bits of a sequence.
Whoever holds one knows which bucket, and so which lane and which head row, it belongs to.
"""

from __future__ import annotations

from typing import Final

MEMBER_BUCKETS: Final = 64
HOME_BUCKETS: Final = 16
"""The first buckets: new members are spread over them. May be any number at any time."""
TREASURY: Final = 64
"""The bucket of money and of journals that belong to partners, not to members."""
BUCKETS: Final = MEMBER_BUCKETS + 1

OPERATOR: Final = 0
"""The partner id of the operator: obligor of its own campaigns, centre of the netting."""

_SHIFT: Final = 56
_MASK: Final = (1 << _SHIFT) - 1


def compose(bucket: int, sequence: int) -> int:
    """The id of the `sequence`-th thing (1 …) of `bucket` (0–127)."""
    return bucket << _SHIFT | sequence


def member_id(number: int) -> int:
    """The id of the `number`-th member (1 …): home buckets take turns, so they fill evenly.

    The sequence is the number itself, so ids never meet, whatever number of home buckets there was before.
    """
    return compose((number - 1) % HOME_BUCKETS, number)


def bucket_of(id_: int) -> int:
    """The bucket (0–127) that an id made by `compose` belongs to."""
    return id_ >> _SHIFT


def sequence_of(id_: int) -> int:
    """The position of an id within its bucket, from 1."""
    return id_ & _MASK
