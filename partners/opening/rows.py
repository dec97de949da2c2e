"""Rows: what a source of a file means here, and what is answered to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ledger import OpeningLot, Outcome
from ledger.commands import Refused
from ledger.kernel.refusals import InvalidInput, Refusal, Throttled
from ledger.refusals import IdempotencyConflict
from members import Arrival, Newcomer, read_newcomer
from partners.names import name as checked_name

from .file import Source
from .given import GivenControl, GivenMember
from .lots import Issuers, read_lots
from .store import RowOutcome
from .totals import Control

_LONGEST_MESSAGE: Final = 500


class BalanceOpened(Refusal):
    """The member's balance was opened before, with other lots."""

    code = "BALANCE_OPENED"

    def __init__(self) -> None:
        super().__init__("this member's balance was opened before, with other points", field=("lots",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A source as it was understood: a person with lots, control totals, or why it is neither."""

    source: Source
    newcomer: Newcomer | None = None
    lots: tuple[OpeningLot, ...] = ()
    control: Control | None = None
    refused: Refusal | None = None

    @classmethod
    def of(cls, source: Source, programme: str, issuers: Issuers, *, at: datetime) -> Row:
        """Ask whether what was given makes sense."""
        given = source.given
        try:
            if isinstance(given, GivenControl):
                return cls(source=source, control=_control(given, issuers))
            if isinstance(given, GivenMember):
                newcomer = _newcomer(given, programme)
                return cls(source=source, newcomer=newcomer, lots=read_lots(given.lots, issuers, at=at))
        except Refusal as refusal:
            return cls(source=source, refused=refusal)
        return cls(source=source, refused=given)

    def outcome(self, arrival: Arrival | Refusal | None, opened: Outcome | None = None) -> RowOutcome:
        """What became of it. Raises `Throttled` when the ledger could not say for good."""
        refusal = self.refused or (arrival if isinstance(arrival, Refusal) else None)
        refused = None if refusal is None else Refused.of(refusal)
        if opened is not None and opened.refused is not None:
            refused = _final(opened.refused)
        if refused is not None:
            return RowOutcome(
                row=self._row_of(refused.field),
                code=refused.code,
                message=refused.message[:_LONGEST_MESSAGE],
                field=refused.field,
            )
        return RowOutcome(
            row=self.source.row,
            operation=opened.operation if opened is not None else None,
            points=sum(lot.points for lot in self.lots),
        )

    def _row_of(self, path: tuple[str, ...]) -> int:
        """The line to blame: in a table every lot has its own."""
        if len(path) > 1 and path[0] == "lots" and int(path[1]) < len(self.source.rows):
            return self.source.rows[int(path[1])]
        return self.source.row


def _newcomer(given: GivenMember, programme: str) -> Newcomer:
    if given.phone is None and given.card is None:
        raise InvalidInput("a member has a phone, a card, or both", field=("phone",))
    return read_newcomer(
        source=programme,
        number=checked_name(given.member, field="member"),
        phone=given.phone,
        card=given.card,
        name=given.name,
        consents=given.consents,
    )


def _control(given: GivenControl, issuers: Issuers) -> Control:
    return Control(
        members=given.members, points={issuers.find(name): points for name, points in given.points.items()}
    )


def _final(refused: Refused) -> Refused:
    """A refusal of the ledger that stands. Raises `Throttled` for one that may pass."""
    if refused.retryable:
        raise Throttled(refused.message)
    return Refused.of(BalanceOpened()) if refused.code == IdempotencyConflict.code else refused
