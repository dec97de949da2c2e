"""The sheet: for one period, what everybody owes, pays and carries over. It sums to zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from ledger.kernel.ids import OPERATOR
from ledger.kernel.rounding import toward_zero
from ledger.kernel.values import MICRO, minor_digits

from . import netting
from .netting import Matrix, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetLine:
    """One partner's account over a period, micro-units; negative means that the partner receives.

    `payable` is `due` truncated toward zero to what the currency can pay.
    """

    partner: int
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Obligations of a period and a line for everybody, the operator first: each column sums to zero.

    `mode` is one of `Mode`, unless what was stored has been changed by hand.
    """

    currency: str
    mode: str
    owed: Matrix
    lines: tuple[SheetLine, ...]

    @property
    def gross_micro(self) -> int:
        """All obligations added up."""
        return sum(self.owed.values())

    @property
    def efficiency(self) -> Fraction:
        """The share of the gross that netting spares, 0 to 1."""
        return netting.efficiency(self.owed, Mode(self.mode))

    @property
    def sum_micro(self) -> int:
        """The sum of all charges: 0, or something is wrong."""
        return sum(line.charge_micro for line in self.lines)

    def moved_micro(self, mode: Mode) -> int:
        """What changes hands if it is netted that way."""
        return netting.moved_total(self.owed, mode)

    def line(self, partner: int) -> SheetLine:
        """A partner's line; it raises KeyError for a stranger."""
        for line in self.lines:
            if line.partner == partner:
                return line
        raise KeyError(partner)


def draw_up(
    owed: Matrix,
    *,
    partners: Iterable[int],
    openings: Mapping[int, int],
    currency: str,
    mode: Mode = Mode.MULTILATERAL,
) -> Sheet:
    """The sheet of a period's obligations for `partners` and everyone who owes or is owed.

    `openings` are the balances that they had before, none counting as 0.
    """
    nets = netting.net(owed)
    everybody = sorted({*partners, *nets, *openings} - {OPERATOR})
    lines = [
        _line(partner, openings.get(partner, 0), nets.get(partner, 0), currency) for partner in everybody
    ]
    operator = SheetLine(
        partner=OPERATOR,
        opening_micro=-sum(line.opening_micro for line in lines),
        charge_micro=nets.get(OPERATOR, 0),
        payable_micro=-sum(line.payable_micro for line in lines),
    )
    return Sheet(currency=currency, mode=mode, owed=owed, lines=(operator, *lines))


def _line(partner: int, opening_micro: int, charge_micro: int, currency: str) -> SheetLine:
    minor = MICRO // 10 ** minor_digits(currency)
    return SheetLine(
        partner=partner,
        opening_micro=opening_micro,
        charge_micro=charge_micro,
        payable_micro=toward_zero(opening_micro + charge_micro, minor) * minor,
    )
