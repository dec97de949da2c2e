"""Granting: points that somebody else pays for than who is shown as giving them."""

from __future__ import annotations

from ledger.accounts import AVAILABLE, ISSUED
from ledger.commands import Grant
from ledger.journal import Journal, Line
from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import MAX_POINTS
from ledger.lots import Lot
from ledger.wallet import Wallet, lot_id

from .situation import Situation


def grant(_wallet: Wallet, command: Grant, situation: Situation) -> Journal:
    """One lot, available at once: the command's partner is its issuer, the obligor pays."""
    if not 0 < command.points <= MAX_POINTS:
        raise InvalidInput(f"a grant gives 1 to {MAX_POINTS} points", field=("points",))
    if command.expires_at <= situation.at:
        raise InvalidInput("the points would have expired already", field=("expiresAt",))
    prices = (command.partner, command.obligor, command.tariff)
    lot = Lot(lot_id(situation.operation, 0), *prices, situation.at, command.expires_at, command.points)
    line = Line(ISSUED, AVAILABLE, command.points, *prices, lot.id, situation.at, command.expires_at)
    return Journal(
        kind="grant",
        points=command.points,
        lines=(line,),
        new_lots=(lot,),
        expires_at=command.expires_at,
    )
