"""Simulation: a scenario through the same arithmetic as a closed period, figure by figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, TypeVar

from ledger.kernel.ids import OPERATOR
from ledger.kernel.rounding import half_even
from ledger.kernel.values import MICRO
from partners.terms import Funding

from . import cells, money, netting
from .cells import Cell, Holding
from .cohorts import Cohorts
from .liability import recognised_breakage
from .money import Account, Movement
from .netting import Mode
from .prices import Prices, Tariff, Terms
from .rollforward import RollForward, roll_forward
from .scenario import OPERATOR_NAME, PointsExceeded, Scenario, ScenarioPeriod, read
from .sheet import Sheet, draw_up

T = TypeVar("T")

CURRENCY: Final = "RUB"
NEVER_REDEEMED: Final = Fraction(15, 100)
"""The share of issued points, less claw-backs, that the breakage figures expect never to be redeemed."""

TERMS: Final = 1
TARIFF_OF: Final = {Funding.AT_ISSUE: 1, Funding.AT_REDEMPTION: 2}


def simulate(text: str) -> dict[str, dict[str, Any]]:
    """Every figure of every period of a scenario file, by the period's number.

    Money is in micro-units, negative where a partner receives. Of a period: `cells` (points
    redeemed, "obligor->redeemer"), `gross_cells` (obligations, "debtor->creditor"), `charge` (a
    partner's net), `opening` + charge = `due`, `pay` (due, truncated to the minor unit), `carry` =
    due − pay, `closing_ca` = carry + what was paid short; `gross`, `bilateral` and `multilateral`
    (money that changes hands in each mode), `eff_bil`, `eff_mult`, `net_operator`; points and
    reserves at both ends, `pre_novation`, `cohorts` (points left by period of issue).

    Since the first period: `bank`, `campaign`, `income`, `P_issued_redeemed` (issued less claw-backs,
    redeemed), `breakage_P_points` and `breakage_P_rub`: breakage recognised in proportion to
    redemptions if 15 % of the points issued are never redeemed, for one partner P (`_estimated`).

    Raises a `Refusal` that names the first value that is wrong.
    """
    scenario = read(text)
    book = _Book(scenario)
    return {str(period.ordinal): book.close(period) for period in scenario.periods}


class _Book:
    """The scenario's partners, and what stays from one period to the next."""

    def __init__(self, scenario: Scenario) -> None:
        partners = sorted(scenario.funding.keys() - {OPERATOR_NAME})
        self.names = {OPERATOR: OPERATOR_NAME, **dict(enumerate(partners, start=1))}
        self.ids = {name: id_ for id_, name in self.names.items()}
        self.partners = [self.ids[name] for name in partners]
        self.scenario = scenario
        self.prices = _prices(scenario)
        self.tariff_of = {self.ids[name]: TARIFF_OF[funding] for name, funding in scenario.funding.items()}
        self.cohorts = {id_: Cohorts() for id_ in self.names}
        self.points: Counter[int] = Counter()
        self.redeemed_at: Counter[int] = Counter()
        self.owed: Counter[int] = Counter()
        self.accounts: Counter[Account] = Counter()
        self.bank = 0
        self.estimated = _estimated(scenario)
        self.estimated_issued = self.estimated_redeemed = 0

    def close(self, period: ScenarioPeriod) -> dict[str, Any]:
        """Book a period and tell its figures."""
        opening_points, reserve_open = dict(self.points), self._reserves()
        period_cells, rolled = self._cells(period)
        moved = money.movements(period.ordinal, period_cells, self.prices)
        owed = netting.obligations(moved)
        sheet = draw_up(owed, partners=self.partners, openings=self.owed, currency=CURRENCY)
        lines = {line.partner: line for line in sheet.lines if line.partner != OPERATOR}
        self._book(period, period_cells, rolled, moved, sheet)
        by_name = self._by_name
        return {
            "cells": self._by_pair(cells.redeemed(period_cells)),
            "gross_cells": self._by_pair(owed),
            "gross": sheet.gross_micro,
            "bilateral": sheet.moved_micro(Mode.BILATERAL),
            "multilateral": sheet.moved_micro(Mode.MULTILATERAL),
            "eff_bil": _printed(netting.efficiency(owed, Mode.BILATERAL)),
            "eff_mult": _printed(netting.efficiency(owed, Mode.MULTILATERAL)),
            "net_operator": sheet.line(OPERATOR).charge_micro,
            "opening": by_name({p: line.opening_micro for p, line in lines.items()}),
            "charge": by_name({p: line.charge_micro for p, line in lines.items()}),
            "due": by_name({p: line.due_micro for p, line in lines.items()}),
            "pay": by_name({p: line.payable_micro for p, line in lines.items()}),
            "carry": by_name({p: line.carried_micro for p, line in lines.items()}),
            "closing_ca": by_name({p: self.owed[p] for p in self.partners}),
            "opening_points": by_name({p: opening_points.get(p, 0) for p in self.names}),
            "pre_novation": by_name({p: rolled[p].before_novation for p in self.names}),
            "closing_points": by_name({p: rolled[p].closing for p in self.names}),
            "cohorts": by_name({p: _text_keys(self.cohorts[p].left()) for p in self.names}),
            "reserve_open": by_name(reserve_open),
            "reserve_close": by_name(self._reserves()),
            **self._since_the_first_period(),
        }

    def _cells(self, period: ScenarioPeriod) -> tuple[list[Cell], dict[int, RollForward]]:
        """The period's cells, those of partners that leave last, and the points they roll forward."""
        happened = list(self._happened(period))
        for id_ in self.names:
            self.cohorts[id_].apply(period.ordinal, (cell for cell in happened if cell.obligor == id_))
        before = self._rolled(happened)
        self._refuse_excess(period, before, happened)
        leaving = [
            Cell(
                operation=operation,
                issuer=id_,
                obligor=obligor,
                redeemer=0,
                tariff=self.tariff_of[obligor],
                terms=0,
                origin_period=period.ordinal,
                points=before[id_].closing,
            )
            for id_ in sorted({self.ids[name] for name in period.leaving})
            for operation, obligor in (("novate_out", id_), ("novate_in", OPERATOR))
            if before[id_].closing
        ]
        for name in period.leaving:
            self.cohorts[self.ids[name]].hand_over(self.cohorts[OPERATOR])
        return happened + leaving, self._rolled(happened + leaving)

    def _happened(self, period: ScenarioPeriod) -> Iterator[Cell]:
        ordinal = period.ordinal
        for operation, by_obligor in (
            ("release", period.earned),
            ("claw_back", period.clawed_back),
            ("expire", period.expired),
        ):
            for name, points in by_obligor.items():
                yield from self._cell(operation, name, OPERATOR_NAME, points, 0, ordinal)
        for operation, by_pair, origin in (
            ("burn", period.burned, ordinal),
            ("burn_return", period.returned, ordinal),
            ("burn", period.late, ordinal - 1),
            ("burn_return", period.disputed, ordinal - 1),
        ):
            for (name, redeemer), points in by_pair.items():
                yield from self._cell(operation, name, redeemer, points, TERMS, origin)

    def _cell(
        self, operation: str, obligor: str, redeemer: str, points: int, terms: int, origin_period: int
    ) -> Iterator[Cell]:
        """One cell, or none if it is empty."""
        if points:
            yield Cell(
                operation=operation,
                issuer=self.ids[obligor],
                obligor=self.ids[obligor],
                redeemer=self.ids[redeemer],
                tariff=self.tariff_of[self.ids[obligor]],
                terms=terms,
                origin_period=origin_period,
                points=points,
            )

    def _rolled(self, period_cells: Sequence[Cell]) -> dict[int, RollForward]:
        return {
            id_: roll_forward(self.points[id_], (cell for cell in period_cells if cell.obligor == id_))
            for id_ in self.names
        }

    def _refuse_excess(
        self, period: ScenarioPeriod, rolled: Mapping[int, RollForward], happened: Sequence[Cell]
    ) -> None:
        for id_, roll in rolled.items():
            if roll.closing < 0:
                raise PointsExceeded(
                    f"period {period.ordinal} takes {-roll.closing} points more of {self.names[id_]}'s"
                    " than members hold",
                    field=("periods", str(period.ordinal)),
                )
        for cell in happened:
            self.redeemed_at[cell.redeemer] += cell.redeemed
        for id_, points in self.redeemed_at.items():
            if points < 0:
                raise PointsExceeded(
                    f"period {period.ordinal} gives back {-points} points more at {self.names[id_]}"
                    " than were ever burned there",
                    field=("periods", str(period.ordinal)),
                )

    def _book(
        self,
        period: ScenarioPeriod,
        period_cells: Sequence[Cell],
        rolled: Mapping[int, RollForward],
        moved: Sequence[Movement],
        sheet: Sheet,
    ) -> None:
        for account, micro in money.balances(moved).items():
            self.accounts[account] += micro
        for id_, roll in rolled.items():
            self.points[id_] = roll.closing
        for line in sheet.lines[1:]:
            short = self.scenario.short_micro.get((period.ordinal, self.names[line.partner]), 0)
            self.owed[line.partner] = line.carried_micro + short
            self.bank += line.payable_micro - short
        for cell in period_cells:
            if self.names[cell.obligor] == self.estimated:
                self.estimated_redeemed += cell.redeemed
                if cell.operation in ("release", "claw_back"):
                    self.estimated_issued += cell.outstanding

    def _since_the_first_period(self) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "bank": self.bank,
            "campaign": self.accounts[money.CAMPAIGN],
            "income": {
                "fee": -self.accounts[money.FEE],
                "margin": -self.accounts[money.MARGIN],
                "breakage": -self.accounts[money.BREAKAGE],
            },
        }
        if self.estimated is None:
            return figures
        points = recognised_breakage(self.estimated_issued, self.estimated_redeemed, NEVER_REDEEMED)
        kopecks = points * self.scenario.redemption_value_micro * 100 / MICRO
        return figures | {
            f"{self.estimated}_issued_redeemed": [self.estimated_issued, self.estimated_redeemed],
            f"breakage_{self.estimated}_points": float(points),
            f"breakage_{self.estimated}_rub": half_even(kopecks.numerator, kopecks.denominator) / 100,
        }

    def _reserves(self) -> dict[int, int]:
        """What the operator must hold for each obligor's points as they stand."""
        holdings = [
            Holding(
                issuer=id_,
                obligor=id_,
                tariff=self.tariff_of[id_],
                issue_month=period,
                expiry_month=0,
                points=points,
            )
            for id_, cohorts in self.cohorts.items()
            for period, points in cohorts.left().items()
        ]
        by_tariff = money.reserves(holdings, self.prices)
        return {id_: by_tariff.get((id_, self.tariff_of[id_]), 0) for id_ in self.names}

    def _by_name(self, by_id: Mapping[int, T]) -> dict[str, T]:
        return {self.names[id_]: value for id_, value in by_id.items()}

    def _by_pair(self, by_ids: Mapping[tuple[int, int], int]) -> dict[str, int]:
        return {f"{self.names[one]}->{self.names[other]}": value for (one, other), value in by_ids.items()}


def _prices(scenario: Scenario) -> Prices:
    """One tariff per funding; a partner that left has its points under the operator's."""
    return Prices(
        currency=CURRENCY,
        tariffs={
            id_: Tariff(
                id=id_,
                funding=funding,
                issue_price_micro=scenario.issue_price_micro,
                redemption_value_micro=scenario.redemption_value_micro,
                breakage_share=scenario.breakage_share,
            )
            for funding, id_ in TARIFF_OF.items()
        },
        terms={TERMS: Terms(id=TERMS, fee=scenario.fee)},
    )


def _estimated(scenario: Scenario) -> str | None:
    """The partner whose breakage is estimated: B, as in the golden example, if there is one.

    Elsewhere it is the first by name that funds at issue, since only such a reserve can break.
    """
    if "B" in scenario.funding:
        return "B"
    at_issue = (name for name, funding in scenario.funding.items() if funding is Funding.AT_ISSUE)
    return min((name for name in at_issue if name != OPERATOR_NAME), default=None)


def _text_keys(by_period: Mapping[int, int]) -> dict[str, int]:
    return {str(period): points for period, points in by_period.items()}


def _printed(efficiency: Fraction) -> float:
    """A ratio as a float, by way of the share that is left: the golden file's last digit."""
    return 1 - float(1 - efficiency)
