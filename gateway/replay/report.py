"""What a replay came to: a table for people, one JSON object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from . import coalition
from .drive import Tally
from .finance import Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of a finished replay. `partners` are ids; `seconds` leave out server start and proof."""

    tally: Tally
    partners: Sequence[str]
    dropped_lines: int
    seconds: float
    periods: Sequence[Closed]
    is_proven: bool

    @property
    def is_good(self) -> bool:
        """Every sheet sums to zero, and the ledger is proven."""
        return self.is_proven and all(period.sum_micro == 0 for period in self.periods)

    def figures(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "baskets": self.tally.baskets,
            "receipts": self.tally.receipts,
            "burns": self.tally.burns,
            "dropped_lines": self.dropped_lines,
            "refused": dict(self.tally.refused),
            "seconds": round(self.seconds, 2),
            "periods": [
                {
                    "period": period.ordinal,
                    "sheet_sum_micro": period.sum_micro,
                    "netting_efficiency": float(period.netting_efficiency),
                }
                for period in self.periods
            ],
            "proof_ok": self.is_proven,
        }

    def show(self, console: Console) -> None:
        """The table of the partners, and the figures under it."""
        console.print(self._table())
        tally = self.tally
        posted = tally.receipts + tally.burns
        console.print(
            f"{tally.baskets:,} baskets, {tally.receipts:,} receipts, {tally.burns:,} burns "
            f"in {self.seconds:.1f} s: {posted / self.seconds:,.0f} operations a second."
        )
        console.print(f"Lines of quantity 0 left out: {self.dropped_lines:,}.")
        for code, count in tally.refused.most_common():
            console.print(f"Refused {code}: {count:,}.")
        if self.periods:
            least, most = (pick(each.netting_efficiency for each in self.periods) for pick in (min, max))
            console.print(
                f"{len(self.periods)} months closed, every sheet summing to "
                f"{_sums(self.periods)}; netting spares {least:.1%} to {most:.1%} of the gross."
            )
        console.print("Proof: ok." if self.is_proven else "[bold red]Proof: violated.[/]")

    def _table(self) -> Table:
        table = Table(title="The year of the journey")
        table.add_column("Partner")
        for heading in ("Issued", "Redeemed", f"Net, {coalition.CURRENCY}"):
            table.add_column(heading, justify="right")
        columns = (coalition.PARTNERS, self.tally.issued, self.tally.redeemed, self.partners)
        for partner, issued, redeemed, id_ in zip(*columns, strict=True):
            table.add_row(partner.name, f"{issued:,}", f"{redeemed:,}", f"{self._net(id_):,.2f}")
        table.add_section()
        issued, redeemed = sum(self.tally.issued), sum(self.tally.redeemed)
        table.add_row("Together", f"{issued:,}", f"{redeemed:,}", "")
        table.caption = (
            "Net of the closed months: positive pays, negative receives; the rest is the operator's."
        )
        return table

    def _net(self, partner: str) -> Decimal:
        return sum((period.nets.get(partner, Decimal(0)) for period in self.periods), Decimal(0))


def _sums(periods: Sequence[Closed]) -> str:
    return ", ".join(str(each) for each in sorted({period.sum_micro for period in periods}))
