"""Adjusting: points given or taken by hand, at the cost or for the good of the obligor that is named."""

from __future__ import annotations

from ledger.accounts import ADJUST, AVAILABLE
from ledger.commands import Adjust
from ledger.journal import Journal, of_lot
from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import MAX_POINTS
from ledger.lots import Lot, consume, in_order
from ledger.refusals import InsufficientPoints
from ledger.wallet import Wallet, lot_id

from .situation import Situation


def adjust(wallet: Wallet, command: Adjust, situation: Situation) -> Journal:
    """Adjust → available as a lot of its own, or available → adjust out of the obligor's lots."""
    if not 0 < abs(command.points) <= MAX_POINTS:
        raise InvalidInput(f"an adjustment moves 1 to {MAX_POINTS} points", field=("points",))
    return _give(command, situation) if command.points > 0 else _take(wallet, command)


def _give(command: Adjust, situation: Situation) -> Journal:
    if command.expires_at <= situation.at:
        raise InvalidInput("the points would have expired already", field=("expiresAt",))
    lot = Lot(
        lot_id(situation.operation, 0),
        command.obligor,
        command.obligor,
        command.tariff,
        situation.at,
        command.expires_at,
        command.points,
    )
    return Journal(
        kind="adjust",
        points=command.points,
        lines=(of_lot(ADJUST, AVAILABLE, lot, command.points, counterpart=command.reason),),
        new_lots=(lot,),
        expires_at=command.expires_at,
    )


def _take(wallet: Wallet, command: Adjust) -> Journal:
    points = -command.points
    own = [
        lot
        for lot in in_order(wallet.lots.values())
        if lot.obligor == command.obligor and command.tariff in (0, lot.tariff)
    ]
    available = sum(lot.available for lot in own)
    if points > available:
        raise InsufficientPoints(available=available, needed=points)
    return Journal(
        kind="adjust",
        points=command.points,
        lines=tuple(
            of_lot(AVAILABLE, ADJUST, lot, share, counterpart=command.reason)
            for lot, share in consume(own, points)
        ),
    )
