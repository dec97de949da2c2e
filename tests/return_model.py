"""The reference ledger of returns: what the engine must do, said as plainly as possible, with no SQL.

It keeps lists and dicts, decides one command at a time, and knows nothing of batches, buckets,
rows or hashes. Time is a number of hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

GRACE_HOURS = 14 * 24


@dataclass
class ModelLot:
    issuer: int
    points: int
    available_at: int
    expires_at: int
    is_pending: bool


@dataclass
class ModelHold:
    partner: int
    expires_at: int
    slices: list[tuple[ModelLot, int]]
    state: str = "open"
    captured: list[tuple[ModelLot, int]] = field(default_factory=list)


@dataclass
class ModelPurchase:
    """One line of goods under one receipt: so many thousandths of it came back, for so much money."""

    milli: int
    price: int
    operations: list[ModelOperation] = field(default_factory=list)
    returned: int = 0
    money: int = 0


@dataclass
class ModelOperation:
    """An earn with its lot, a burn with what it took, a hold, or a capture of one; `back` came back."""

    kind: str
    partner: int
    points: int
    purchase: ModelPurchase
    lot: ModelLot | None = None
    taken: list[tuple[ModelLot, int]] = field(default_factory=list)
    hold: ModelHold | None = None
    off: int = 0
    back: int = 0
    state: str = "posted"

    def burned(self) -> tuple[list[tuple[ModelLot, int]], int, int]:
        """What was redeemed, lot by lot, how many points, and the money they took off."""
        if self.hold is None:
            return self.taken, self.points, self.off
        points = sum(share for _, share in self.hold.captured)
        return self.hold.captured, points, self.off * points // self.points


@dataclass
class ModelWallet:
    lots: list[ModelLot] = field(default_factory=list)
    holds: list[ModelHold] = field(default_factory=list)
    operations: list[ModelOperation] = field(default_factory=list)
    purchases: dict[tuple[int, int], ModelPurchase] = field(default_factory=dict)
    debts: list[list[int]] = field(default_factory=list)


class ModelLedger:
    """Members' wallets, and flows as sums of points by (operation, issuer, redeemer)."""

    def __init__(self) -> None:
        self.now = 0
        self.wallets: dict[int, ModelWallet] = {}
        self.flows: dict[tuple[str, int, int], int] = {}

    def advance(self, hours: int) -> None:
        for instant in range(self.now + 1, self.now + hours + 1):
            self.now = instant
            for wallet in self.wallets.values():
                self._settle(wallet)

    def earn(
        self,
        member: int,
        issuer: int,
        points: int,
        pending_hours: int,
        life_hours: int,
        *,
        receipt: int = 0,
        milli: int = 1_000,
        price: int = 0,
    ) -> str:
        wallet = self._wallet(member)
        if self._is_posted(wallet, "earn", issuer, receipt):
            return "DUPLICATE_RECEIPT"
        lot = None
        if points:
            lot = ModelLot(
                issuer, points, self.now + pending_hours, self.now + life_hours, is_pending=pending_hours > 0
            )
            wallet.lots.append(lot)
            self._flow("earn_pending" if lot.is_pending else "release", issuer, 0, points)
        purchase = self._purchase(wallet, issuer, receipt, milli, price)
        self._post(wallet, ModelOperation("earn", issuer, points, purchase, lot=lot))
        if lot is not None and not lot.is_pending:
            self._credited(wallet, [(lot, points)])
        return "OK"

    def burn(
        self,
        member: int,
        redeemer: int,
        points: int,
        *,
        receipt: int = 0,
        milli: int = 1_000,
        price: int = 0,
        off: int = 0,
    ) -> str:
        wallet = self._wallet(member)
        if self._is_posted(wallet, "burn", redeemer, receipt):
            return "DUPLICATE_RECEIPT"
        taken = self._take(wallet, points)
        if not taken:
            return "INSUFFICIENT_POINTS"
        for lot, share in taken:
            self._flow("burn", lot.issuer, redeemer, share)
        purchase = self._purchase(wallet, redeemer, receipt, milli, price)
        self._post(wallet, ModelOperation("burn", redeemer, points, purchase, taken=taken, off=off))
        return "OK"

    def authorize(
        self,
        member: int,
        partner: int,
        points: int,
        ttl_hours: int,
        *,
        receipt: int = 0,
        milli: int = 1_000,
        price: int = 0,
        off: int = 0,
    ) -> str:
        wallet = self._wallet(member)
        if self._is_posted(wallet, "authorize", partner, receipt):
            return "DUPLICATE_RECEIPT"
        taken = self._take(wallet, points)
        if not taken:
            return "INSUFFICIENT_POINTS"
        hold = ModelHold(partner, self.now + ttl_hours, taken)
        wallet.holds.append(hold)
        purchase = self._purchase(wallet, partner, receipt, milli, price)
        self._post(wallet, ModelOperation("authorize", partner, points, purchase, hold=hold, off=off))
        return "OK"

    def capture(self, member: int, number: int, partner: int, points: int | None, final: bool) -> str:
        wallet = self._wallet(member)
        hold = wallet.holds[number]
        if hold.partner != partner:
            return "HOLD_NOT_FOUND"
        if hold.state != "open":
            return "HOLD_EXPIRED" if hold.state == "lapsed" else "HOLD_CLOSED"
        held = sum(share for _, share in hold.slices)
        wanted = held if points is None else points
        if wanted > held:
            return "CAPTURE_EXCEEDS_HOLD"
        rest = []
        captured = wanted
        for lot, share in hold.slices:
            part = min(share, wanted)
            wanted -= part
            if part:
                self._flow("burn", lot.issuer, partner, part)
                _join(hold.captured, lot, part)
            if share > part:
                rest.append((lot, share - part))
        hold.slices = rest
        (made_by,) = [each for each in wallet.operations if each.hold is hold and each.kind == "authorize"]
        wallet.operations.append(ModelOperation("capture", partner, captured, made_by.purchase, hold=hold))
        if final or not rest:
            self._close(wallet, hold, "closed")
        return "OK"

    def void(self, member: int, number: int, partner: int) -> str:
        wallet = self._wallet(member)
        hold = wallet.holds[number]
        if hold.partner != partner:
            return "HOLD_NOT_FOUND"
        if hold.state != "open":
            return "HOLD_EXPIRED" if hold.state == "lapsed" else "HOLD_CLOSED"
        self._close(wallet, hold, "closed")
        return "OK"

    def give_back(
        self, member: int, number: int, partner: int, milli: int | None, order: str
    ) -> tuple[str, int]:
        """Goods come back, all that is left when `milli` is None: the code, and the money due."""
        wallet = self._wallet(member)
        if wallet.operations[number].partner != partner:
            return "OPERATION_NOT_FOUND", 0
        purchase = wallet.operations[number].purchase
        parts = [each for each in purchase.operations if each.state != "reversed"]
        if not parts:
            return "ALREADY_REVERSED", 0
        if any(each.hold is not None and each.hold.state == "open" for each in parts):
            return "HOLD_OPEN", 0
        parts = [each for each in parts if each.hold is None or each.hold.captured]
        if not parts:
            return "NOT_RETURNABLE", 0
        back = purchase.returned + (purchase.milli - purchase.returned if milli is None else milli)
        if back > purchase.milli or back == purchase.returned:
            return "RETURN_EXCEEDS_ORIGINAL", 0
        off = sum(each.burned()[2] for each in parts)
        paid = max(purchase.price - off, 0)
        value = (paid + off) * back // purchase.milli
        money, points_money = {
            "money_first": (min(value, paid), value - min(value, paid)),
            "points_first": (value - min(value, off), min(value, off)),
            "proportional": (paid * back // purchase.milli, 0),
        }[order]
        filled = []
        for each in parts:
            if each.kind != "earn":
                taken, points, _ = each.burned()
                by_money = off and order != "proportional"
                now = points * points_money // off if by_money else points * back // purchase.milli
                filled += self._restore(wallet, each, taken, max(now - each.back, 0))
        for each in parts:
            each.state = "returned"
            if each.kind == "earn":
                points = max(each.points * back // purchase.milli - each.back, 0)
                each.back += points
                self._claw(wallet, each, points)
        due = max(money, purchase.money) - purchase.money
        purchase.returned, purchase.money = back, purchase.money + due
        self._credited(wallet, filled)
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
            if sum(share for _, share in hold.captured) != operation.points:
                return "NOT_RETURNABLE"
            (operation,) = [e for e in wallet.operations if e.hold is hold and e.kind == "authorize"]
        if operation.state != "posted":
            return "ALREADY_REVERSED" if operation.state == "reversed" else "ALREADY_RETURNED"
        if hold is not None and hold.state != "open" and not hold.captured:
            return "NOT_RETURNABLE"
        operation.state = "reversed"
        if operation.kind == "earn":
            self._claw(wallet, operation, operation.points)
            return "OK"
        taken, points, _ = operation.burned()
        filled = []
        if hold is not None and hold.state == "open":
            filled = self._release(wallet, hold, "closed")
        self._credited(wallet, filled + self._restore(wallet, operation, taken, points))
        return "OK"

    def balance(self, member: int) -> tuple[int, int, int, int]:
        """Pending, available, held, owed."""
        wallet = self._wallet(member)
        return (
            sum(lot.points for lot in wallet.lots if lot.is_pending),
            sum(lot.points for lot in wallet.lots if not lot.is_pending),
            sum(share for hold in wallet.holds for _, share in hold.slices),
            sum(left for _, left in wallet.debts),
        )

    def lots(self, member: int) -> list[tuple[int, int, int]]:
        """(issuer, expiry, points) of what is left, pending or available, sorted."""
        return sorted(
            (lot.issuer, lot.expires_at, lot.points) for lot in self._wallet(member).lots if lot.points
        )

    def _wallet(self, member: int) -> ModelWallet:
        return self.wallets.setdefault(member, ModelWallet())

    def _flow(self, operation: str, issuer: int, redeemer: int, points: int) -> None:
        if not points:
            return
        key = (operation, issuer, redeemer)
        self.flows[key] = self.flows.get(key, 0) + points

    def _is_posted(self, wallet: ModelWallet, kind: str, partner: int, receipt: int) -> bool:
        purchase = wallet.purchases.get((partner, receipt))
        return purchase is not None and any(each.kind == kind for each in purchase.operations)

    def _purchase(
        self, wallet: ModelWallet, partner: int, receipt: int, milli: int, price: int
    ) -> ModelPurchase:
        """That of the receipt; one of its own for what has no receipt."""
        made = ModelPurchase(milli, price)
        return wallet.purchases.setdefault((partner, receipt), made) if receipt else made

    def _post(self, wallet: ModelWallet, operation: ModelOperation) -> None:
        wallet.operations.append(operation)
        operation.purchase.operations.append(operation)

    def _take(self, wallet: ModelWallet, points: int) -> list[tuple[ModelLot, int]]:
        spendable = [lot for lot in wallet.lots if not lot.is_pending and lot.points]
        if sum(lot.points for lot in spendable) - sum(left for _, left in wallet.debts) < points:
            return []
        taken = []
        for lot in sorted(spendable, key=lambda lot: lot.expires_at):  # stable: ties as they were earned
            share = min(points, lot.points)
            if share:
                lot.points -= share
                points -= share
                taken.append((lot, share))
        return taken

    def _put(self, wallet: ModelWallet, lot: ModelLot, share: int) -> ModelLot:
        """Points come back to their lot, or to a child of it if its time has passed."""
        if lot.expires_at > self.now:
            lot.points += share
            return lot
        end_of_day = (self.now + GRACE_HOURS) // 24 * 24 + 24
        child = ModelLot(lot.issuer, share, self.now, end_of_day, is_pending=False)
        wallet.lots.append(child)
        return child

    def _restore(
        self,
        wallet: ModelWallet,
        operation: ModelOperation,
        taken: list[tuple[ModelLot, int]],
        points: int,
    ) -> list[tuple[ModelLot, int]]:
        """The last points taken that have not come back yet; where they are now."""
        last_first = [lot for lot, share in reversed(taken) for _ in range(share)]
        back: list[tuple[ModelLot, int]] = []
        for lot in last_first[operation.back : operation.back + points]:
            _join(back, lot, 1)
        operation.back += points
        for lot, share in back:
            self._flow("burn_return", lot.issuer, operation.partner, share)
        return [(self._put(wallet, lot, share), share) for lot, share in back]

    def _claw(self, wallet: ModelWallet, earn: ModelOperation, points: int) -> None:
        own = earn.lot
        if own is None or not points:
            return
        alike = [lot for lot in wallet.lots if lot.issuer == own.issuer and lot is not own]
        for lot in [own, *sorted(alike, key=lambda lot: lot.expires_at)]:
            if not lot.is_pending or lot is own:
                part = min(points, lot.points)
                lot.points -= part
                points -= part
                self._flow("cancel_pending" if lot.is_pending else "claw_back", own.issuer, 0, part)
        if points:
            wallet.debts.append([own.issuer, points])

    def _credited(self, wallet: ModelWallet, filled: list[tuple[ModelLot, int]]) -> None:
        """Whatever has become available pays first what is owed, the oldest debt first."""
        shares: list[tuple[ModelLot, int]] = []
        for lot, share in filled:
            _join(shares, lot, share)
        for lot, share in sorted(shares, key=lambda each: each[0].expires_at):
            left = min(share, lot.points)
            for debt in wallet.debts:
                part = min(left, debt[1])
                self._flow("recover", lot.issuer, debt[0], part)
                debt[1] -= part
                lot.points -= part
                left -= part

    def _close(self, wallet: ModelWallet, hold: ModelHold, state: str) -> None:
        self._credited(wallet, self._release(wallet, hold, state))

    def _release(self, wallet: ModelWallet, hold: ModelHold, state: str) -> list[tuple[ModelLot, int]]:
        filled = [(self._put(wallet, lot, share), share) for lot, share in hold.slices]
        hold.slices = []
        hold.state = state
        return filled

    def _settle(self, wallet: ModelWallet) -> None:
        """What happens by itself at this hour: release, then lapse, then expiry."""
        released = [lot for lot in wallet.lots if lot.is_pending and lot.available_at <= self.now]
        for lot in released:
            lot.is_pending = False
            self._flow("release", lot.issuer, 0, lot.points)
        self._credited(wallet, [(lot, lot.points) for lot in released])
        for hold in wallet.holds:
            if hold.state == "open" and hold.expires_at <= self.now:
                self._close(wallet, hold, "lapsed")
        for lot in wallet.lots:
            if not lot.is_pending and lot.points and lot.expires_at <= self.now:
                self._flow("expire", lot.issuer, 0, lot.points)
                lot.points = 0


def _join(shares: list[tuple[ModelLot, int]], lot: ModelLot, share: int) -> None:
    """Add to what was taken from a lot, or begin with it."""
    for index, (known, points) in enumerate(shares):
        if known is lot:
            shares[index] = (lot, points + share)
            return
    shares.append((lot, share))
