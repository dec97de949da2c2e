"""Finance's part in a replay: it closes the months, reads their sheets and asks for the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from .door import Payload, Session

_MICRO: Final = 1_000_000
_UNCLOSED: Final = frozenset({"OPEN", "CUT_OFF", "FROZEN", "RECONCILING"})
_MOST_PERIODS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed period: what its sheet sums to, how much netting spares, and each partner's net by id.

    A positive net is paid, a negative one received.
    """

    ordinal: int
    sum_micro: int
    netting_efficiency: Decimal
    nets: Mapping[str, Decimal]


class Finance:
    """Finance's client."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def close_periods(self, at: datetime) -> None:
        """Close every period that has ended by `at`, the earliest first."""
        for period in await self._periods():
            if period.ends_at <= at and period.stage in _UNCLOSED:
                await self._session.write(_CLOSE, {"period": period.ordinal}, Payload)

    async def closed(self) -> list[Closed]:
        """The periods that have a sheet, in order."""
        return [_closed(period.ordinal, period.sheet) for period in await self._periods() if period.sheet]

    async def is_proven(self) -> bool:
        """Whether every invariant holds."""
        return (await self._session.call("{ proof { isOk } }", {}, _Proofs)).proof.is_ok

    async def _periods(self) -> list[_Period]:
        nodes: list[_Period] = []
        after: str | None = None
        while True:
            page = (await self._session.call(_PERIODS, {"after": after}, _Periods)).periods
            nodes += page.nodes
            if not page.page_info.has_next_page:
                return nodes
            after = page.page_info.end_cursor


class _Money(msgspec.Struct, frozen=True):
    amount: Decimal


class _Line(msgspec.Struct, frozen=True):
    partner: str | None
    charge: _Money


class _Sheet(msgspec.Struct, frozen=True, rename="camel"):
    sum: _Money
    netting_efficiency: Decimal
    lines: list[_Line]


class _Period(msgspec.Struct, frozen=True, rename="camel"):
    ordinal: int
    ends_at: datetime
    stage: str
    sheet: _Sheet | None


class _PageInfo(msgspec.Struct, frozen=True, rename="camel"):
    has_next_page: bool
    end_cursor: str | None


class _Page(msgspec.Struct, frozen=True, rename="camel"):
    nodes: list[_Period]
    page_info: _PageInfo


class _Periods(msgspec.Struct, frozen=True):
    periods: _Page


class _Proof(msgspec.Struct, frozen=True, rename="camel"):
    is_ok: bool


class _Proofs(msgspec.Struct, frozen=True):
    proof: _Proof


def _closed(ordinal: int, sheet: _Sheet) -> Closed:
    return Closed(
        ordinal=ordinal,
        sum_micro=int(sheet.sum.amount * _MICRO),
        netting_efficiency=sheet.netting_efficiency,
        nets={line.partner: line.charge.amount for line in sheet.lines if line.partner is not None},
    )


_PERIODS: Final = f"""
query Periods($after: String) {{
  periods(first: {_MOST_PERIODS}, after: $after) {{
    nodes {{
      ordinal
      endsAt
      stage
      sheet {{ sum {{ amount }} nettingEfficiency lines {{ partner charge {{ amount }} }} }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""
_CLOSE: Final = """
mutation Close($input: ClosePeriodInput!) {
  answer: closePeriod(input: $input) { userErrors { code message } }
}
"""
