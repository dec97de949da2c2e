"""Reversing: an operation that was posted by mistake, undone whole, and only once."""

from __future__ import annotations

from ledger.commands import Reverse
from ledger.journal import Journal, Line, Undoing
from ledger.lots import Lot
from ledger.outcomes import Returned
from ledger.purchases import Original, Purchases
from ledger.refusals import AlreadyReturned, AlreadyReversed, HoldOpen, NotReturnable
from ledger.returned import WHOLE, Mark
from ledger.wallet import Wallet

from .giving_back import give_back
from .restoring import Restored, restore
from .returning import captured, named, redemption
from .situation import Situation
from .taking_back import TakenBack, take_back


def reverse(wallet: Wallet, command: Reverse, situation: Situation) -> Journal:
    """Take an earn back, restore a burn, void a hold and restore what it was captured for."""
    purchases, original = named(wallet, command.operation, command.partner)
    if original.kind == "capture":
        original = _authorisation_of(wallet, purchases, original)
    if not original.is_purchase:
        raise NotReturnable("only an earn, a burn, a hold or its capture can be reversed")
    if purchases.is_reversed(original.id):
        raise AlreadyReversed
    if purchases.has_come_back(original.id):
        raise AlreadyReturned
    if original.kind == "earn":
        taken = take_back(wallet, original.id, original.points, situation, restored={})
        return _journal(original, taken.lines, taken=taken)
    if original.kind == "burn":
        return _restoring(wallet, original, original.points, situation)
    return _releasing(wallet, original, situation)


def _authorisation_of(wallet: Wallet, purchases: Purchases, capture: Original) -> Original:
    """The hold of a capture that was its only one and its last."""
    if wallet.holds[capture.hold].is_open:
        raise HoldOpen
    if captured(wallet, capture.hold) != capture.points:
        raise NotReturnable("the hold was captured in parts: reverse the hold, or return the goods")
    return purchases.originals[capture.hold]


def _releasing(wallet: Wallet, original: Original, situation: Situation) -> Journal:
    """Void what is left of a hold and restore what was captured of it."""
    hold = wallet.holds[original.id]
    points = captured(wallet, original.id)
    if not hold.is_open and not points:
        raise NotReturnable("the hold was voided or has lapsed: its points are back already")
    if not hold.is_open:
        return _restoring(wallet, original, points, situation)
    lines, children = give_back(wallet, hold, hold.remains(), situation)
    restored = restore(
        wallet, [redemption(wallet, original, 0, points)], situation, first_child=len(children)
    )
    return _journal(
        original,
        lines + restored.lines + restored.relieving,
        children=children + restored.children,
        restored=restored,
        voids=hold.left,
    )


def _restoring(wallet: Wallet, original: Original, points: int, situation: Situation) -> Journal:
    restored = restore(wallet, [redemption(wallet, original, 0, points)], situation)
    return _journal(
        original, restored.lines + restored.relieving, children=restored.children, restored=restored
    )


def _journal(
    original: Original,
    lines: tuple[Line, ...],
    *,
    children: tuple[Lot, ...] = (),
    restored: Restored | None = None,
    taken: TakenBack | None = None,
    voids: int = 0,
) -> Journal:
    restored, taken = restored or Restored(), taken or TakenBack()
    undone = sum(line.points for line in restored.lines) + sum(line.points for line in taken.lines)
    return Journal(
        kind="reverse",
        points=sum(line.points for line in restored.lines) + voids,
        lines=lines,
        new_lots=children,
        hold=original.id if voids else 0,
        closes=bool(voids),
        undoes=Undoing(
            Returned(
                purchase=original.id,
                cancelled=taken.cancelled,
                taken=taken.taken,
                due=taken.due.points if taken.due else 0,
                lots=restored.lots,
                forfeited=taken.forfeited,
            ),
            (Mark(original.id, WHOLE, 0, undone, 0),),
            original.origin_period,
            taken.due,
        ),
    )
