"""Returning: goods of a purchase come back, so earned points go and burned ones are restored.

What a line gives is decided from how far it has come back in all (`ledger.refunds`), so partial
returns add up to one full return, to the point and to the last unit of money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec

from ledger.commands import Item, ReturnPurchase
from ledger.journal import Journal, Undoing
from ledger.kernel.rounding import floor, largest_remainder
from ledger.outcomes import LineBack, Returned
from ledger.purchases import Original, Purchases
from ledger.refunds import Paid, money_back, points_back, taken_back
from ledger.refusals import (
    AlreadyReversed,
    HoldOpen,
    NotReturnable,
    OperationNotFound,
    ReturnExceedsOriginal,
)
from ledger.returned import Mark
from ledger.wallet import Wallet

from .restoring import Redemption, restore
from .situation import Situation
from .taking_back import take_back

ONE_PIECE = 1_000
"""The quantity, in thousandths, of an operation that was posted without lines."""


class Share(msgspec.Struct, frozen=True):
    """What one operation did on a line: points earned or burned, and how many of them came back so far."""

    operation: int
    earned: bool
    points: int
    back: int


class PurchaseLine(msgspec.Struct, frozen=True):
    """A line of the purchase: what it cost, how much of it has come back, and what for."""

    line: int
    paid: Paid
    returned_milli: int
    money_micro: int
    shares: tuple[Share, ...]

    @property
    def left_milli(self) -> int:
        """What has not come back yet."""
        return self.paid.quantity_milli - self.returned_milli


def return_purchase(wallet: Wallet, command: ReturnPurchase, situation: Situation) -> Journal:
    """Restore burned points, then take earned ones back; what cannot be taken is owed."""
    purchases, original = named(wallet, command.operation, command.partner)
    parts = _parts(wallet, purchases, original)
    lines = _lines(wallet, purchases, parts)
    wanted = _wanted(command, lines)
    backs: list[LineBack] = []
    marks: list[Mark] = []
    for number, quantity_milli in sorted(wanted.items()):
        back, moved = _give(lines[number], quantity_milli, command)
        backs.append(back)
        marks += moved
    given: dict[int, int] = {}
    for mark in marks:
        given[mark.operation] = given.get(mark.operation, 0) + mark.points - _so_far(purchases, mark)
    restored = restore(
        wallet,
        [
            redemption(wallet, part, purchases.points_back(part.id), given.get(part.id, 0))
            for part in parts
            if part.kind != "earn"
        ],
        situation,
    )
    earn = next((part.id for part in parts if part.kind == "earn"), 0)  # a receipt has one at most
    taken = take_back(
        wallet,
        earn,
        given.get(earn, 0),
        situation,
        before=purchases.points_back(earn),
        children=restored.children,
        restored=restored.by_lot(),
    )
    return Journal(
        kind="return",
        points=sum(lot.points for lot in restored.lots),
        lines=restored.lines + restored.relieving + taken.lines,
        new_lots=restored.children,
        undoes=Undoing(
            Returned(
                purchase=min(part.id for part in parts),
                lines=tuple(backs),
                cancelled=taken.cancelled,
                taken=taken.taken,
                due=taken.due.points if taken.due else 0,
                lots=restored.lots,
                forfeited=taken.forfeited,
            ),
            tuple(marks),
            min(part.origin_period for part in parts),
            taken.due,
        ),
    )


def named(wallet: Wallet, operation: int, partner: int) -> tuple[Purchases, Original]:
    """The operation that a command names, if it is this member's and this partner's."""
    purchases = wallet.purchases
    original = purchases.originals.get(operation) if purchases else None
    if purchases is None or original is None or original.partner != partner:
        raise OperationNotFound
    return purchases, original


def redemption(wallet: Wallet, part: Original, restored: int, points: int) -> Redemption:
    """What a burn, or a hold by its captures, redeemed; `restored` of it came back, `points` are to."""
    if part.kind == "burn":
        slices = [(taken.lot, taken.points, taken.obligor) for taken in part.slices]
        return Redemption(part.partner, part.terms, slices, restored, points)
    hold, purchases = wallet.holds[part.id], wallet.purchases
    assert purchases is not None, "the part is one of them"
    # Not its slices: they have today's obligor, and a part may have been captured when it was another's.
    parts = groupby(purchases.captured.get(part.id, ()), key=lambda taken: (taken.lot, taken.obligor))
    slices = [(lot, sum(taken.points for taken in each), obligor) for (lot, obligor), each in parts]
    return Redemption(hold.partner, hold.terms, slices, restored, points)


def captured(wallet: Wallet, hold: int) -> int:
    """Points of a hold that were redeemed."""
    return sum(part.captured for part in wallet.holds[hold].slices)


def _parts(wallet: Wallet, purchases: Purchases, original: Original) -> list[Original]:
    """The operations that the return undoes, first things first. A hold that came to nothing is none."""
    if original.kind == "capture":
        original = purchases.originals[original.hold]
    if not original.is_purchase:
        raise NotReturnable("nothing was bought with this operation")
    of_receipt = purchases.of_receipt(original)
    if not of_receipt:
        raise AlreadyReversed
    holds = [part for part in of_receipt if part.kind == "authorize"]
    if any(wallet.holds[part.id].is_open for part in holds):
        raise HoldOpen
    parts = [part for part in of_receipt if part not in holds or captured(wallet, part.id)]
    if not parts:
        raise NotReturnable("the hold of this purchase was voided or has lapsed: its points are back already")
    return parts


def _lines(wallet: Wallet, purchases: Purchases, parts: Sequence[Original]) -> dict[int, PurchaseLine]:
    """The lines of the purchase, put together from what was posted for it."""
    items: dict[int, list[tuple[Original, Item]]] = {}
    for part in parts:
        for item in _items(wallet, part):
            items.setdefault(item.line, []).append((part, item))
    return {number: _line(purchases, number, found) for number, found in items.items()}


def _line(purchases: Purchases, number: int, found: Sequence[tuple[Original, Item]]) -> PurchaseLine:
    # An earn and a burn are posted on their own, so their receipts may differ: the larger line counts.
    bought = max((item for _, item in found), key=lambda item: item.quantity_milli)
    marks = [mark for part, _ in found if (mark := purchases.marks.get((part.id, number))) is not None]
    return PurchaseLine(
        number,
        Paid(
            max(bought.quantity_milli, 1),
            bought.money_micro,
            sum(item.money_off_micro for _, item in found),
        ),
        max((mark.quantity_milli for mark in marks), default=0),
        max((mark.money_micro for mark in marks), default=0),
        tuple(_share(purchases, part, item) for part, item in found),
    )


def _share(purchases: Purchases, part: Original, item: Item) -> Share:
    mark = purchases.marks.get((part.id, item.line))
    earned = part.kind == "earn"
    points = item.points_earned if earned else item.points_burned
    return Share(part.id, earned, points, mark.points if mark else 0)


def _items(wallet: Wallet, part: Original) -> Sequence[Item]:
    """The lines of one operation; of a hold captured in part, the part."""
    if not part.items:
        points = captured(wallet, part.id) if part.kind == "authorize" else part.points
        earned = points if part.kind == "earn" else 0
        return [
            Item(
                line=0,
                quantity_milli=ONE_PIECE,
                money_micro=0,
                points_earned=earned,
                points_burned=points - earned,
            )
        ]
    if part.kind != "authorize" or captured(wallet, part.id) == part.points:
        return part.items
    shares = largest_remainder(captured(wallet, part.id), [item.points_burned for item in part.items])
    return [
        msgspec.structs.replace(
            item,
            points_burned=share,
            money_off_micro=floor(item.money_off_micro * share, item.points_burned) if share else 0,
        )
        for item, share in zip(part.items, shares, strict=True)
    ]


def _wanted(command: ReturnPurchase, lines: Mapping[int, PurchaseLine]) -> dict[int, int]:
    """Thousandths that come back, by line; all of them above zero."""
    if not command.lines:
        wanted = {number: line.left_milli for number, line in lines.items() if line.left_milli}
        if not wanted:
            raise ReturnExceedsOriginal("everything has come back already")
        return wanted
    wanted = {}
    for asked in command.lines:
        wanted[asked.line] = wanted.get(asked.line, 0) + asked.quantity_milli
    for number, quantity_milli in wanted.items():
        if number not in lines:
            raise ReturnExceedsOriginal(f"the purchase has no line {number}")
        left = lines[number].left_milli
        if quantity_milli > left:
            raise ReturnExceedsOriginal(
                f"of line {number}, {_quantity(left)} can come back and {_quantity(quantity_milli)} should"
            )
    return wanted


def _give(line: PurchaseLine, quantity_milli: int, command: ReturnPurchase) -> tuple[LineBack, list[Mark]]:
    """What the return of so much more of a line gives, and how far it has come back then."""
    returned = line.returned_milli + quantity_milli
    order = command.refund_order
    # Never below what was given before: another operation may have joined the receipt since.
    money = max(money_back(line.paid, returned, order, command.minor_micro), line.money_micro)
    taken = restored = 0
    marks = []
    for share in line.shares:
        if share.earned:
            points = max(taken_back(share.points, returned, line.paid.quantity_milli), share.back)
            taken += points - share.back
        else:
            points = max(points_back(line.paid, share.points, returned, order), share.back)
            restored += points - share.back
        marks.append(Mark(share.operation, line.line, returned, points, money))
    back = LineBack(
        line=line.line,
        quantity_milli=quantity_milli,
        points_taken=taken,
        points_restored=restored,
        money_micro=money - line.money_micro,
    )
    return back, marks


def _so_far(purchases: Purchases, moved: Mark) -> int:
    mark = purchases.marks.get((moved.operation, moved.line))
    return mark.points if mark else 0


def _quantity(milli: int) -> str:
    whole, thousandths = divmod(milli, 1_000)
    return f"{whole}.{thousandths:03d}".rstrip("0").rstrip(".")
