"""Dues: points that a member owes since a purchase came back whose points were gone."""

from __future__ import annotations

import msgspec


class Due(msgspec.Struct, gc=False):
    """What one return could not take back.

    `operation` is the return; dues are recovered in that order. `original` is the earn, `obligor`
    who paid for its points and so gets what is recovered. `points_left` are still owed.
    """

    operation: int
    issuer: int
    obligor: int
    tariff: int
    original: int
    points: int
    points_left: int
