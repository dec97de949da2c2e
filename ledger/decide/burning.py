"""Burning: points held for a partner, captured, given back, or redeemed in one step."""

from __future__ import annotations

from ledger.accounts import AVAILABLE, HELD, REDEEMED
from ledger.commands import Authorize, Burn, Capture, Donate, Void
from ledger.holds import Hold, Slice, take
from ledger.journal import Journal, Line, Opened, of_lot
from ledger.kernel.refusals import InvalidInput
from ledger.lots import Lot, consume, in_order
from ledger.outcomes import SliceTaken
from ledger.refusals import CaptureExceedsHold, HoldClosed, HoldExpired, HoldNotFound, InsufficientPoints
from ledger.wallet import Wallet

from .giving_back import give_back
from .situation import Situation


def authorize(wallet: Wallet, command: Authorize, situation: Situation) -> Journal:
    """Set points aside: available → held, and pin which lots they came from."""
    taken = choose(wallet, command.points)
    return Journal(
        kind="authorize",
        points=command.points,
        lines=tuple(of_lot(AVAILABLE, HELD, lot, points) for lot, points in taken),
        opens=Opened(
            command.partner,
            command.outlet,
            command.terms,
            command.expires_at,
            tuple(_slice_taken(lot, points) for lot, points in taken),
        ),
        hold=situation.operation,
        hold_left=command.points,
        expires_at=command.expires_at,
    )


def burn(wallet: Wallet, command: Burn, _situation: Situation) -> Journal:
    """Redeem at once: available → redeemed."""
    return _redeem("burn", wallet, command)


def donate(wallet: Wallet, command: Donate, _situation: Situation) -> Journal:
    """Redeem at a charity: the lines of a burn under a name of their own."""
    return _redeem("donate", wallet, command)


def _redeem(kind: str, wallet: Wallet, command: Burn | Donate) -> Journal:
    taken = choose(wallet, command.points)
    return Journal(
        kind=kind,
        points=command.points,
        lines=tuple(
            of_lot(AVAILABLE, REDEEMED, lot, points, redeemer=command.partner, terms=command.terms)
            for lot, points in taken
        ),
    )


def capture(wallet: Wallet, command: Capture, situation: Situation) -> Journal:
    """Redeem part or all of a hold, in pinned order; `final` gives the rest back."""
    hold = _open_hold(wallet, command)
    left = hold.left
    points = left if command.points is None else command.points
    _check_some(points)
    if points > left:
        raise CaptureExceedsHold(left=left, asked=points)
    captured = take(hold.slices, points)
    lines = tuple(_captured(hold, part, share) for part, share in captured)
    closes = command.final or points == left
    back: tuple[Line, ...] = ()
    children: tuple[Lot, ...] = ()
    if closes and points < left:
        back, children = give_back(wallet, hold, hold.remains(captured), situation)
    return Journal(
        kind="capture",
        points=points,
        lines=lines + back,
        new_lots=children,
        hold=hold.id,
        hold_left=0 if closes else left - points,
        closes=closes,
    )


def void(wallet: Wallet, command: Void, situation: Situation) -> Journal:
    """Give back everything that a hold has left: held → available, to the same lots."""
    hold = _open_hold(wallet, command)
    lines, children = give_back(wallet, hold, hold.remains(), situation)
    return Journal(kind="void", points=hold.left, lines=lines, new_lots=children, hold=hold.id, closes=True)


def choose(wallet: Wallet, points: int) -> list[tuple[Lot, int]]:
    """The lots that `points` are taken from, soonest to expire first: (lot, points taken from it).

    Raises `InvalidInput` for less than one point, and `InsufficientPoints`.
    """
    _check_some(points)
    spendable = wallet.available - wallet.clawback_due
    if points > spendable:
        raise InsufficientPoints(available=max(spendable, 0), needed=points)
    return consume(in_order(wallet.lots.values()), points)


def _check_some(points: int) -> None:
    """A hold of nothing would never fall due, and what takes less than nothing gives."""
    if points < 1:
        raise InvalidInput("more than 0 points are taken", field=("points",))


def _open_hold(wallet: Wallet, command: Capture | Void) -> Hold:
    hold = wallet.holds.get(command.hold)
    if hold is None or hold.partner != command.partner:
        raise HoldNotFound
    if command.outlets is not None and hold.outlet not in command.outlets:
        raise HoldNotFound
    if hold.has_lapsed:
        raise HoldExpired
    if not hold.is_open:
        raise HoldClosed
    return hold


def _captured(hold: Hold, part: Slice, points: int) -> Line:
    return Line(
        HELD,
        REDEEMED,
        points,
        part.issuer,
        part.obligor,
        part.tariff,
        part.lot,
        part.earned_at,
        part.expires_at,
        hold.partner,
        hold.terms,
        hold.id,
        part.ordinal,
    )


def _slice_taken(lot: Lot, points: int) -> SliceTaken:
    return SliceTaken(lot=lot.id, issuer=lot.issuer, obligor=lot.obligor, tariff=lot.tariff, points=points)
