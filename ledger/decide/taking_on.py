"""Taking on: a survivor answers for what a merged member owes, first with what is left of those points."""

from __future__ import annotations

from ledger.accounts import AVAILABLE, CANCELLED, CLAWBACK_DUE, IN_TRANSIT, PENDING
from ledger.commands import Arrive
from ledger.dues import Due
from ledger.journal import Journal, Line, of_lot
from ledger.lots import Lot
from ledger.transits import Part
from ledger.wallet import Wallet, lot_id

from .situation import Situation


def take_on(wallet: Wallet, command: Arrive, situation: Situation) -> Journal:
    """Take back the points of one debt as its return would have, had they been here, and owe the rest.

    Pending points of the earn go first, then its lot, then lots of the same issuer and obligor,
    soonest to expire first. The return has cancelled these points already and left a debt for
    them; for what is taken now that is undone, so that no point is cancelled twice.
    """
    (part,) = command.parts
    own = lot_id(part.lot, 0)
    lines: list[Line] = []
    left = part.points
    for lot in _alike(wallet, part, own):
        pending = lot.pending if lot.parent == own else 0
        for account, points in ((PENDING, pending), (AVAILABLE, lot.available)):
            share = min(left, points)
            if share:
                lines.append(of_lot(account, CANCELLED, lot, share))
                left -= share
    if left < part.points:
        lines.append(_owed(CANCELLED, part, part.points - left, command.transfer))
    owes = None
    if left:
        lines.append(_owed(CLAWBACK_DUE, part, left, command.transfer))
        owes = Due(situation.operation, part.issuer, part.obligor, part.tariff, part.lot, left, left)
    return Journal(
        kind=f"{command.sort}_in", points=0, lines=tuple(lines), reference=command.transfer, owes=owes
    )


def _alike(wallet: Wallet, part: Part, own: int) -> list[Lot]:
    alike = (lot for lot in wallet.lots.values() if (lot.issuer, lot.obligor) == (part.issuer, part.obligor))
    return sorted(alike, key=lambda lot: (lot.parent != own, not lot.pending, lot.expires_at, lot.id))


def _owed(account: int, part: Part, points: int, transfer: int) -> Line:
    return Line(
        account,
        IN_TRANSIT,
        points,
        part.issuer,
        part.obligor,
        part.tariff,
        0,
        part.earned_at,
        part.expires_at,
        counterpart=transfer,
    )
