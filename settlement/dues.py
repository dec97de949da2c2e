"""Dues: what a partner pays of what it owes, and what is carried into the next period."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.kernel.rounding import toward_zero
from ledger.kernel.values import MICRO, minor_digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One partner's account over a period, micro-units; negative means that the partner receives.

    `payable` is `due` truncated toward zero to what the currency can pay.
    """

    opening_micro: int
    charge_micro: int
    payable_micro: int

    @property
    def due_micro(self) -> int:
        """What is owed at the end of the period."""
        return self.opening_micro + self.charge_micro

    @property
    def carried_micro(self) -> int:
        """What is too small to pay; it keeps the sign of `due_micro`."""
        return self.due_micro - self.payable_micro


def due(*, opening_micro: int, charge_micro: int, currency: str) -> Due:
    """What a partner with this opening balance pays for a period charged with `charge_micro`."""
    minor = MICRO // 10 ** minor_digits(currency)
    payable = toward_zero(opening_micro + charge_micro, minor) * minor
    return Due(opening_micro=opening_micro, charge_micro=charge_micro, payable_micro=payable)
