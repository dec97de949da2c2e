"""Named roundings of integers. Every division in Kopilka says which one it uses."""

from __future__ import annotations

from collections.abc import Sequence


def floor(numerator: int, denominator: int) -> int:
    """The greatest integer not above numerator / denominator (denominator > 0)."""
    return numerator // denominator


def half_even(numerator: int, denominator: int) -> int:
    """The nearest integer, ties to the even one (denominator > 0)."""
    quotient, remainder = divmod(numerator, denominator)
    doubled = 2 * remainder
    if doubled > denominator or (doubled == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def toward_zero(numerator: int, denominator: int) -> int:
    """The integer part: the sign is kept and the fraction dropped (denominator > 0)."""
    return numerator // denominator if numerator >= 0 else -(-numerator // denominator)


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` (≥ 0) in proportion to `weights` (≥ 0); the parts sum to `total`.

    Each part is the floor of its exact share; what is left goes one unit each to the largest
    remainders, ties to the earlier position. All-zero weights put everything on the first.
    """
    if not weights:
        raise ValueError("a total cannot be split over nothing")
    whole = sum(weights)
    if whole == 0:
        return [total] + [0] * (len(weights) - 1)
    parts = [total * weight // whole for weight in weights]
    left = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[:left]:
        parts[i] += 1
    return parts
