"""Recovering: points that become available pay first what the member owes, the oldest debt first."""

from __future__ import annotations

from ledger.accounts import AVAILABLE, CLAWBACK_DUE
from ledger.journal import Journal, Line, of_lot
from ledger.lots import Lot
from ledger.wallet import Wallet


def recover(wallet: Wallet, credited: Journal) -> Journal | None:
    """What the wallet's dues take from the lots that `credited` has just filled; None if nothing.

    `credited` has been applied. Who paid for the points that could not be taken back is the
    redeemer of the lines: the creditor that settlement pays.
    """
    open_dues = sorted(
        (due for due in wallet.dues.values() if due.points_left), key=lambda due: due.operation
    )
    owed = [[due.operation, due.obligor, due.points_left] for due in open_dues]
    lines: list[Line] = []
    paid: dict[int, int] = {}
    for lot, points in _credited(wallet, credited):
        left = points
        for due in owed:
            operation, creditor, due_left = due
            part = min(left, due_left)
            if part:
                lines.append(of_lot(AVAILABLE, CLAWBACK_DUE, lot, part, redeemer=creditor))
                paid[operation] = paid.get(operation, 0) + part
                due[2] -= part
                left -= part
    if not lines:
        return None
    return Journal(
        kind="recover",
        points=sum(line.points for line in lines),
        lines=tuple(lines),
        occurred_at=credited.occurred_at,
        recovers=tuple(paid.items()),
    )


def _credited(wallet: Wallet, journal: Journal) -> list[tuple[Lot, int]]:
    """The lots credited and how much of that is still there, soonest to expire first."""
    points: dict[int, int] = {}
    for line in journal.lines:
        if line.credit == AVAILABLE:
            points[line.lot] = points.get(line.lot, 0) + line.points
    found = [(wallet.lots[id_], credit) for id_, credit in points.items()]
    found.sort(key=lambda each: (each[0].expires_at, each[0].id))
    return [(lot, min(credit, lot.available)) for lot, credit in found]
