"""A closing: what a period's frozen cells come to in money, for everybody and for each partner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ledger.commands import MoneyLine
from ledger.fence import Span
from ledger.kernel.ids import OPERATOR

from . import money, netting
from .cells import Cell, Holding
from .money import Movement
from .netting import Mode
from .prices import Prices
from .rollforward import RollForward, roll_forward
from .sheet import Sheet, SheetLine, draw_up
from .statements import Statement, ageing_of, entries_of, points_of


class ClosingDiffers(Exception):
    """The cells of a period do not lead from its opening stock to its closing stock: our own fault."""


@dataclass(frozen=True, kw_only=True)
class Closing:
    """A period's frozen figures: `opened_with` is the stock frozen before, `hash` that of the cells."""

    span: Span
    cells: Sequence[Cell]
    holdings: Sequence[Holding]
    opened_with: Sequence[Holding]
    prices: Prices
    hash: bytes

    @cached_property
    def moved(self) -> list[Movement]:
        """The money that the period's points move."""
        return money.movements(self.span.period, self.cells, self.prices)

    @property
    def money_lines(self) -> list[MoneyLine]:
        """The same as the lines of a journal."""
        return money.money_lines(self.moved)

    @property
    def prices_told(self) -> dict[str, str]:
        """The prices that its cells and its stock name, in words."""
        tariffs = {cell.tariff for cell in self.cells} | {holding.tariff for holding in self.holdings}
        return self.prices.told(tariffs=tariffs, terms={cell.terms for cell in self.cells})

    def roll_forward(self, obligor: int) -> RollForward:
        """How an obligor's points went from the last period's end to this one's."""
        opening = _points_of(self.opened_with, obligor)
        return roll_forward(opening, (cell for cell in self.cells if cell.obligor == obligor))

    def check(self) -> None:
        """Raise `ClosingDiffers` unless every obligor's points roll forward to what is outstanding."""
        holdings = (*self.holdings, *self.opened_with)
        obligors = {cell.obligor for cell in self.cells} | {holding.obligor for holding in holdings}
        for obligor in sorted(obligors):
            closing, outstanding = self.roll_forward(obligor).closing, _points_of(self.holdings, obligor)
            if closing != outstanding:
                raise ClosingDiffers(
                    f"period {self.span.period}: obligor {obligor} rolls forward to {closing} points"
                    f" and {outstanding} are outstanding"
                )

    def sheet(self, *, partners: Iterable[int], openings: Mapping[int, int], mode: Mode) -> Sheet:
        """The sheet of the period; `openings` are the balances before it."""
        return draw_up(
            netting.obligations(self.moved),
            partners=partners,
            openings=openings,
            currency=self.prices.currency,
            mode=mode,
        )

    def statements(self, sheet: Sheet, names: Mapping[int, str], *, edition: int) -> list[Statement]:
        """One for each partner of the sheet, as statements of that edition are."""
        return [
            self._statement(line, names[line.partner], edition)
            for line in sheet.lines
            if line.partner != OPERATOR
        ]

    def _statement(self, line: SheetLine, name: str, edition: int) -> Statement:
        entries = entries_of(self.moved, line.partner, self.prices, edition=edition)
        own = [holding for holding in self.holdings if holding.obligor == line.partner]
        return Statement(
            number=f"{self.span.period:04d}-{line.partner:04d}",
            period=self.span.period,
            starts_at=self.span.starts_at,
            ends_at=self.span.ends_at,
            partner=line.partner,
            partner_name=name,
            currency=self.prices.currency,
            opening_micro=line.opening_micro,
            entries=tuple(entry for entry in entries if entry.origin_period == self.span.period),
            late=tuple(entry for entry in entries if entry.origin_period != self.span.period),
            charge_micro=line.charge_micro,
            due_micro=line.due_micro,
            payable_micro=line.payable_micro,
            carried_micro=line.carried_micro,
            points=points_of(self.roll_forward(line.partner)),
            ageing=ageing_of(own, self.prices),
            cells_hash=self.hash.hex(),
            edition=edition,
        )


def _points_of(holdings: Iterable[Holding], obligor: int) -> int:
    return sum(holding.points for holding in holdings if holding.obligor == obligor)
