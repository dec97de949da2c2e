"""Novating: another obligor answers from now on for what one that leaves had answered for."""

from __future__ import annotations

from ledger.accounts import IN_TRANSIT, ISSUED
from ledger.commands import Novate
from ledger.journal import Journal, Line, LotChange, of_lot
from ledger.kernel.refusals import InvalidInput
from ledger.lots import Lot
from ledger.wallet import Wallet

from .situation import Situation


def novate(wallet: Wallet, command: Novate, situation: Situation) -> Journal:
    """Change the obligor of the wallet's lots of one tariff, empty ones and held slices included.

    Pending points are owed by nobody yet: they change hands in one line that moves no flow. What is
    outstanding is relieved and taken over, which moves its money when the period is closed.
    """
    if command.leaver == command.successor:
        raise InvalidInput("an obligor is relieved by another one", field=("successor",))
    held = wallet.held_by_lot()
    lots = sorted(
        (
            lot
            for lot in wallet.lots.values()
            if (lot.obligor, lot.tariff) == (command.leaver, command.tariff)
        ),
        key=lambda lot: lot.id,
    )
    lines: list[Line] = []
    changes = []
    for lot in lots:
        changes.append(LotChange(lot.id, command.successor, lot.expires_at, lot.armed_at))
        if lot.pending:
            lines.append(
                of_lot(
                    ISSUED, ISSUED, lot, lot.pending, obligor=command.successor, counterpart=command.leaver
                )
            )
        owed = lot.available + held.get(lot.id, 0)
        if owed:
            lines += _exchange(lot, command.leaver, command.successor, owed, situation)
    return Journal(
        kind="novate",
        points=sum(lot.pending + lot.available + held.get(lot.id, 0) for lot in lots),
        lines=tuple(lines),
        changes=tuple(changes),
    )


def relieve(lot: Lot, leaver: int, points: int, situation: Situation) -> tuple[Line, ...]:
    """The lines by which points that come back as `leaver`'s to a lot novated meanwhile follow it."""
    return () if lot.obligor == leaver else _exchange(lot, leaver, lot.obligor, points, situation)


def _exchange(lot: Lot, leaver: int, successor: int, points: int, situation: Situation) -> tuple[Line, ...]:
    """Two lines, since each flow belongs to one obligor; between them the points are in transit."""
    return (
        of_lot(IN_TRANSIT, ISSUED, lot, points, obligor=leaver, counterpart=situation.operation),
        of_lot(ISSUED, IN_TRANSIT, lot, points, obligor=successor, counterpart=situation.operation),
    )
