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
    """The lines that take points back, and how many were pending, available, out of reach, and forfeited."""

    lines: tuple[Line, ...] = ()
    cancelled: int = 0
    taken: int = 0
    due: Due | None = None
    forfeited: int = 0


def take_back(
    wallet: Wallet,
    earn: int,
    points: int,
    situation: Situation,
    *,
    before: int = 0,
    children: Sequence[Lot] = (),
    restored: Mapping[int, int],
) -> TakenBack:
    """Take `points` that the operation `earn` gave, of which so many were taken `before`.

    Its pending points go first, then what its lot has available, then lots of the same issuer
    and obligor, soonest to expire first, each at its own tariff. The rest is owed. What the same
    journal has just `restored`, by lot, counts as there, in `children` as in lots that were there.

    What had expired, or was corrected away, is not taken: nobody got anything for it, so that to owe it
    would pay its obligor for nothing. It comes last, so that parts still add up to the whole.
    """
    if not points:
        return TakenBack()
    own = wallet.lots[lot_id(earn, 0)]
    takable = own.earned - _forfeited(wallet, own.id)
    real = min(before + points, takable) - min(before, takable)
    cancelled = min(real, own.pending)
    lines = [of_lot(PENDING, CANCELLED, own, cancelled)] if cancelled else []
    left = real - cancelled
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
    return TakenBack(tuple(lines), cancelled, real - cancelled - left, due, points - real)


def _forfeited(wallet: Wallet, own: int) -> int:
    """Points that have left the lot `own`, or a child of it in this wallet, without use to the member."""
    assert wallet.purchases is not None, "whoever takes back looked back"
    now = sum(lot.forfeits for lot in wallet.lots.values() if own in (lot.id, lot.parent))
    return wallet.purchases.forfeited.get(own, 0) + now
