"""Netting: obligations between partners and the operator, brought to as few payments as agreed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from fractions import Fraction

from ledger import accounts
from ledger.kernel.ids import OPERATOR

from .money import MEMO, Account, Movement

Matrix = Mapping[tuple[int, int], int]
"""(debtor, creditor) → micro-units > 0; the operator is one of them."""


class Mode(StrEnum):
    """How a programme nets."""

    MULTILATERAL = "multilateral"
    BILATERAL = "bilateral"
    GROSS = "gross"


def obligations(moved: Iterable[Movement]) -> dict[tuple[int, int], int]:
    """Who owes whom: movements added up by direction, then what is negative turned round."""
    owed: dict[tuple[int, int], int] = defaultdict(int)
    for movement in moved:
        debtor, creditor = _party(movement.debit), _party(movement.credit)
        if debtor != creditor and movement.debit.kind not in MEMO:
            owed[debtor, creditor] += movement.micro
    turned: dict[tuple[int, int], int] = defaultdict(int)
    for (debtor, creditor), micro in owed.items():
        turned[(debtor, creditor) if micro > 0 else (creditor, debtor)] += abs(micro)
    return {pair: micro for pair, micro in sorted(turned.items()) if micro}


def net(owed: Matrix) -> dict[int, int]:
    """What each partner pays (+) or receives (−) for one period, in micro-units.

    net_i = Σ_j G_ij − Σ_j G_ji, the operator included, so the result sums to zero.
    """
    total: dict[int, int] = defaultdict(int)
    for (debtor, creditor), micro in owed.items():
        total[debtor] += micro
        total[creditor] -= micro
    return dict(sorted(total.items()))


def payments(owed: Matrix, mode: Mode) -> dict[tuple[int, int], int]:
    """Who pays whom under a mode: through the operator, per pair of partners, or each obligation."""
    match mode:
        case Mode.GROSS:
            return dict(owed)
        case Mode.BILATERAL:
            return {
                (debtor, creditor): micro - owed.get((creditor, debtor), 0)
                for (debtor, creditor), micro in owed.items()
                if micro > owed.get((creditor, debtor), 0)
            }
        case Mode.MULTILATERAL:
            return {
                ((partner, OPERATOR) if micro > 0 else (OPERATOR, partner)): abs(micro)
                for partner, micro in net(owed).items()
                if partner != OPERATOR and micro
            }


def moved_total(owed: Matrix, mode: Mode) -> int:
    """Micro-units that change hands under a mode.

    What passes through the operator counts once, so multilaterally it is Σ max(net, 0).
    """
    if mode is Mode.MULTILATERAL:
        return sum(max(micro, 0) for micro in net(owed).values())
    return sum(payments(owed, mode).values())


def efficiency(owed: Matrix, mode: Mode) -> Fraction:
    """The share of the gross obligations that a mode spares; 0 when nothing is owed."""
    gross = sum(owed.values())
    return 1 - Fraction(moved_total(owed, mode), gross) if gross else Fraction(0)


def _party(account: Account) -> int:
    return account.owner if account.kind == accounts.SETTLE else OPERATOR
