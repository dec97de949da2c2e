"""Taking earned points back: from where they wait, from their lot, from others like it, or as a debt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ledger.accounts import AVAILABLE, CANCELLED, CLAWBACK_DUE, PENDING
from ledger.dues import Due
from ledger.journal import Line, of_lot
from ledger.lots import Lot
from ledger.wallet import Wallet, lot_id

from .situation import Situation


class TakenBack(msgspec.Struct, frozen=True):
    """The lines that take points back, and how many were pending, available, and out of reach."""

    lines: tuple[Line, ...] = ()
    cancelled: int = 0
    taken: int = 0
    due: Due | None = None


def take_back(
    wallet: Wallet,
    earn: int,
    points: int,
    situation: Situation,
    *,
    children: Sequence[Lot] = (),
    restored: Mapping[int, int],
) -> TakenBack:
    """Take `points` that the operation `earn` gave.

    Its pending points go first, then what its lot has available, then lots of the same issuer
    and obligor, soonest to expire first, each at its own tariff. The rest is owed. What the same
    journal has just `restored`, by lot, counts as there, in `children` as in lots that were there.
    """
    if not points:
        return TakenBack()
    own = wallet.lots[lot_id(earn, 0)]
    cancelled = min(points, own.pending)
    lines = [of_lot(PENDING, CANCELLED, own, cancelled)] if cancelled else []
    left = points - cancelled
    alike = [
        lot
        for lot in (*wallet.lots.values(), *children)
        if lot.issuer == own.issuer and lot.obligor == own.obligor
    ]
    for lot in sorted(alike, key=lambda lot: (lot.id != own.id, lot.expires_at, lot.id)):
        part = min(left, lot.available + restored.get(lot.id, 0))
        if part:
            lines.append(of_lot(AVAILABLE, CANCELLED, lot, part))
            left -= part
    due = None
    if left:
        lines.append(of_lot(CLAWBACK_DUE, CANCELLED, own, left))
        due = Due(situation.operation, own.issuer, own.obligor, own.tariff, earn, left, left)
    return TakenBack(tuple(lines), cancelled, points - cancelled - left, due)
