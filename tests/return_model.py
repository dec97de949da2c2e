"""The reference ledger's returns: goods that come back, and operations that were posted by mistake."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from tests.model import ModelDebt, ModelLedger, ModelLot, ModelOperation, ModelWallet


class ReturningLedger(ModelLedger):
    """The whole reference ledger: what is posted in `tests.model` can be undone here."""

    def give_back(
        self, member: int, number: int, partner: int, milli: int | None, order: str
    ) -> tuple[str, int]:
        """Goods come back, all that is left when `milli` is None: the code, and the money due."""
        wallet = self._wallet(member)
        operation = wallet.operations[number]
        if operation.partner != partner:
            return "OPERATION_NOT_FOUND", 0
        if operation.kind == "donate":
            return "NOT_RETURNABLE", 0
        purchase = operation.purchase
        goods = purchase.goods
        parts = [each for each in purchase.operations if each.state != "reversed"]
        if not parts:
            return "ALREADY_REVERSED", 0
        if any(each.hold is not None and each.hold.state == "open" for each in parts):
            return "HOLD_OPEN", 0
        parts = [each for each in parts if each.hold is None or each.hold.captured]
        if not parts:
            return "NOT_RETURNABLE", 0
        back = purchase.returned + (goods.milli - purchase.returned if milli is None else milli)
        if back > goods.milli or back == purchase.returned:
            return "RETURN_EXCEEDS_ORIGINAL", 0
        off = sum(_burned(each)[2] for each in parts)
        paid = max(goods.price - off, 0)
        value = (paid + off) * back // goods.milli
        money, points_money = {
            "money_first": (min(value, paid), value - min(value, paid)),
            "points_first": (value - min(value, off), min(value, off)),
            "proportional": (paid * back // goods.milli, 0),
        }[order]
        filled = []
        for each in parts:
            if each.kind != "earn":
                taken, points, _ = _burned(each)
                by_money = off and order != "proportional"
                now = points * points_money // off if by_money else points * back // goods.milli
                filled += self._restore(wallet, each, taken, max(now - each.back, 0))
        for each in parts:
            each.state = "returned"
            if each.kind == "earn":
                points = max(each.points * back // goods.milli - each.back, 0)
                each.back += points
                self._claw(wallet, each, points, each.back - points)
        due = max(money, purchase.money) - purchase.money
        purchase.returned, purchase.money = back, purchase.money + due
        self._credited(wallet, filled)
        self._follow(member)
        return "OK", due

    def reverse(self, member: int, number: int, partner: int) -> str:
        wallet = self._wallet(member)
        operation = wallet.operations[number]
        if operation.partner != partner:
            return "OPERATION_NOT_FOUND"
        hold = operation.hold
        if operation.kind == "capture":
            assert hold is not None
            if hold.state == "open":
                return "HOLD_OPEN"
            if sum(share for _, share, _ in hold.captured) != operation.points:
                return "NOT_RETURNABLE"
            operation = self.authorisation(wallet, hold)
        if operation.kind == "donate":
            return "NOT_RETURNABLE"
        if operation.state != "posted":
            return "ALREADY_REVERSED" if operation.state == "reversed" else "ALREADY_RETURNED"
        if hold is not None and hold.state != "open" and not hold.captured:
            return "NOT_RETURNABLE"
        operation.state = "reversed"
        filled = []
        if operation.kind == "earn":
            self._claw(wallet, operation, operation.points, 0)
        else:
            taken, points, _ = _burned(operation)
            if hold is not None and hold.state == "open":
                filled = self._release(wallet, hold, "closed")
            filled += self._restore(wallet, operation, taken, points)
        self._credited(wallet, filled)
        self._follow(member)
        return "OK"

    def _restore(
        self,
        wallet: ModelWallet,
        operation: ModelOperation,
        taken: list[tuple[ModelLot, int, int]],
        points: int,
    ) -> list[tuple[ModelLot, int]]:
        """The last points taken that have not come back yet; where they are now."""
        last_first = [(lot, obligor) for lot, share, obligor in reversed(taken) for _ in range(share)]
        points_back = last_first[operation.back : operation.back + points]
        operation.back += points
        filled = []
        terms = operation.terms if operation.hold is None else operation.hold.terms
        for _, same in groupby(points_back, key=lambda each: (id(each[0]), each[1])):
            (lot, obligor), *more = same
            share, payer = 1 + len(more), replace(lot, obligor=obligor)
            self._flow("burn_return", payer, operation.partner, share, terms)
            if payer.obligor != lot.obligor:
                self._flow("novate_out", payer, 0, share)
                self._flow("novate_in", lot, 0, share)
            filled.append((self._put(wallet, lot, share), share))
        return filled

    def _claw(self, wallet: ModelWallet, earn: ModelOperation, points: int, before: int) -> None:
        """Its own lot first, pending or not, then lots like it; what is missing is owed.

        What had expired or was corrected away is not there to be taken: it comes last of all.
        """
        lot = earn.lot
        if lot is not None:
            forfeited = sum(share for each, share in wallet.forfeits if lot in (each, each.parent))
            takable = earn.points - forfeited
            real = min(before + points, takable) - min(before, takable)
            left = self._take_alike(wallet, [lot], lot.issuer, lot.obligor, real)
            wallet.debts.append(ModelDebt(lot, lot.obligor, left))


def _burned(operation: ModelOperation) -> tuple[list[tuple[ModelLot, int, int]], int, int]:
    """What was redeemed, lot by lot with who paid, how many points, and the money they took off the price."""
    if operation.kind == "earn":
        return [], 0, 0
    off = min(operation.points, operation.purchase.goods.price)
    if operation.hold is None:
        return operation.taken, operation.points, off
    points = sum(share for _, share, _ in operation.hold.captured)
    return operation.hold.captured, points, off * points // operation.points
