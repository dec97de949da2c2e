"""What happens by itself when its instant comes: release, lapse and expiry, in that order."""

from __future__ import annotations

from datetime import datetime

from ledger.accounts import AVAILABLE, EXPIRED, PENDING
from ledger.journal import Journal, of_lot
from ledger.lots import Lot
from ledger.wallet import Wallet

from .giving_back import give_back
from .situation import Situation


def next_due(wallet: Wallet, situation: Situation) -> Journal | None:
    """The earliest effect that is due on a whole wallet at the situation's instant, or None.

    The caller applies it and asks again, so that effects come in the order of their instants.
    At one instant points are released first, then holds lapse, then lots expire.
    """
    at = wallet.next_due_at
    if at is None or at > situation.at:
        return None
    released = [lot for lot in wallet.lots.values() if lot.pending and lot.available_at == at]
    if released:
        return _release(released, at)
    for hold in sorted(wallet.holds.values(), key=lambda hold: hold.id):
        if hold.is_open and hold.expires_at == at:
            lines, children = give_back(
                wallet, hold, hold.remains(), Situation(situation.operation, at, situation.zone)
            )
            return Journal(
                kind="lapse",
                points=hold.left,
                lines=lines,
                new_lots=children,
                hold=hold.id,
                closes=True,
                lapses=True,
                occurred_at=at,
            )
    expired = [lot for lot in wallet.lots.values() if lot.available and lot.armed_at and lot.expires_at == at]
    return _expire(expired, at) if expired else None


def _release(lots: list[Lot], at: datetime) -> Journal:
    lines = tuple(of_lot(PENDING, AVAILABLE, lot, lot.pending) for lot in lots)
    return Journal(kind="release", points=sum(line.points for line in lines), lines=lines, occurred_at=at)


def _expire(lots: list[Lot], at: datetime) -> Journal:
    lines = tuple(of_lot(AVAILABLE, EXPIRED, lot, lot.available) for lot in lots)
    return Journal(kind="expire", points=sum(line.points for line in lines), lines=lines, occurred_at=at)
