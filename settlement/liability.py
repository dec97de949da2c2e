"""Liability: how many of the points owed are expected never to be redeemed."""

from __future__ import annotations

from fractions import Fraction


def recognised_breakage(issued: int, redeemed: int, expected_share: Fraction) -> Fraction:
    """Points of expected breakage recognised so far (IFRS 15 B46, ASC 606-10-55-48).

    Of `issued` points, less claw-backs, `expected_share` (0 ≤ share < 1) are expected never to be
    redeemed. They are recognised in proportion to redemptions: EB × redeemed / expected redeemed.
    """
    if not issued:
        return Fraction(0)
    expected_breakage = issued * expected_share
    return expected_breakage * redeemed / (issued - expected_breakage)
