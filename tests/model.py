"""The reference ledger: what the engine must do, said as plainly as possible, with no SQL.

It keeps lists and dicts, decides one command at a time, and knows nothing of batches, buckets,
rows or hashes. Time is a number of hours. What comes back to a shop is `tests.return_model`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

GRACE_HOURS = 14 * 24


@dataclass(eq=False)
class ModelLot:
    """`parent` is the lot in which points that travelled, or came back too late, were earned."""

    issuer: int
    tariff: int
    points: int
    available_at: int
    expires_at: int
    is_pending: bool
    obligor: int = 0
    is_armed: bool = True
    parent: ModelLot | None = None


@dataclass(frozen=True)
class ModelLimit:
    """A ceiling on points: of a member in a "day" or 24 hours ("rolling"), or of all in a day ("shared")."""

    ceiling: int
    window: str

    @property
    def is_shared(self) -> bool:
        return self.window == "shared"


@dataclass(frozen=True)
class ModelGoods:
    """So many thousandths of something for so much money, under a receipt unless that is 0."""

    receipt: int = 0
    milli: int = 1_000
    price: int = 0


NO_GOODS = ModelGoods()


@dataclass
class ModelHold:
    """`captured` is what was taken of it, in turn: each lot, its points, and their obligor of that moment."""

    partner: int
    terms: int
    expires_at: int
    slices: list[tuple[ModelLot, int]]
    state: str = "open"
    captured: list[tuple[ModelLot, int, int]] = field(default_factory=list)


@dataclass
class ModelPurchase:
    """What was posted for goods; so many thousandths of them came back, for so much money."""

    goods: ModelGoods
    operations: list[ModelOperation] = field(default_factory=list)
    returned: int = 0
    money: int = 0


@dataclass
class ModelOperation:
    """An earn with its lot, a burn with what it took, a hold, or a capture of one; `back` came back.

    `taken` is what a burn took: each lot, its points, and their obligor of that moment.
    """

    kind: str
    partner: int
    points: int
    purchase: ModelPurchase
    lot: ModelLot | None = None
    taken: list[tuple[ModelLot, int, int]] = field(default_factory=list)
    hold: ModelHold | None = None
    terms: int = 0
    back: int = 0
    state: str = "posted"


@dataclass
class ModelDebt:
    """Points of `lot` that came back after they were spent: what its obligor of that day is owed."""

    lot: ModelLot
    obligor: int
    points: int


@dataclass(eq=False)
class ModelTransit:
    """Points on their way, each as (the lot they left, the lot they will be), or a debt."""

    sender: int
    to_member: int
    is_merge: bool
    parts: list[tuple[ModelLot, ModelLot]] = field(default_factory=list)
    debt: ModelDebt | None = None


@dataclass
class ModelFlow:
    """What a cell came to: points, and by how many lines."""

    points: int = 0
    count: int = 0


@dataclass
class ModelWallet:
    lots: list[ModelLot] = field(default_factory=list)
    holds: list[ModelHold] = field(default_factory=list)
    counted: list[tuple[str, int, int]] = field(default_factory=list)
    operations: list[ModelOperation] = field(default_factory=list)
    purchases: dict[tuple[int, int], ModelPurchase] = field(default_factory=dict)
    debts: list[ModelDebt] = field(default_factory=list)
    forfeits: list[tuple[ModelLot, int]] = field(default_factory=list)
    is_frozen: bool = False


class ModelLedger:
    """Members' wallets, and flows by (operation, issuer, obligor, redeemer, tariff, terms).

    Where members are told before their points expire, a release arms no lot (`has_notices`).
    """

    def __init__(self, *, has_notices: bool = False) -> None:
        self.now = 0
        self.has_notices = has_notices
        self.wallets: dict[int, ModelWallet] = {}
        self.flows: dict[tuple[str, int, int, int, int, int], ModelFlow] = {}
        self.counted: list[tuple[str, int, int]] = []
        self.survivors: dict[int, int] = {}
        self.transits: list[ModelTransit] = []

    def advance(self, hours: int) -> None:
        for instant in range(self.now + 1, self.now + hours + 1):
            self.now = instant
            for member, wallet in self.wallets.items():
                self._settle(wallet)
                self._follow(member)
            self.arrive()

    def earn(
        self,
        member: int,
        issuer: int,
        tariff: int,
        points: int,
        pending_hours: int,
        life_hours: int,
        limits: Sequence[ModelLimit] = (),
        goods: ModelGoods = NO_GOODS,
    ) -> str:
        wallet = self._wallet(member)
        if self.is_posted(member, "earn", issuer, goods.receipt):
            return "DUPLICATE_RECEIPT"
        if wallet.is_frozen:
            return "MEMBER_FROZEN"
        if not self._count(wallet, points, limits):
            return "LIMIT_EXCEEDED"
        lot = self._lot(issuer, issuer, tariff, points, pending_hours, life_hours) if points else None
        self._post(wallet, ModelOperation("earn", issuer, points, self._purchase(wallet, issuer, goods), lot))
        if lot is not None:
            self._add(wallet, lot, operation="earn_pending" if lot.is_pending else "release")
        return "OK"

    def open(self, member: int, lots: Sequence[tuple[int, int, int, int, int]]) -> str:
        """Lots that are brought along: (issuer, tariff, points, hours until they are released, expire)."""
        wallet = self._wallet(member)
        if wallet.is_frozen:
            return "MEMBER_FROZEN"
        if any(life_hours <= 0 for *_, life_hours in lots):
            return "INVALID_INPUT"
        brought = [
            self._lot(issuer, issuer, tariff, points, pending_hours, life_hours)
            for issuer, tariff, points, pending_hours, life_hours in lots
        ]
        self._add(wallet, *brought, operation="opening")
        self._follow(member)
        return "OK"

    def burn(
        self,
        member: int,
        redeemer: int,
        terms: int,
        points: int,
        limits: Sequence[ModelLimit] = (),
        goods: ModelGoods = NO_GOODS,
        kind: str = "burn",
    ) -> str:
        """A donation is a burn too, of another `kind`."""
        wallet = self._wallet(member)
        if self.is_posted(member, kind, redeemer, goods.receipt):
            return "DUPLICATE_RECEIPT"
        if wallet.is_frozen:
            return "MEMBER_FROZEN"
        if not self._can_spend(wallet, points):
            return "INSUFFICIENT_POINTS"
        if not self._count(wallet, points, limits):
            return "LIMIT_EXCEEDED"
        taken = self._take(wallet, points)
        for lot, share in taken:
            self._flow("burn", lot, redeemer, share, terms)
        purchase = self._purchase(wallet, redeemer, goods)
        paid = [(lot, share, lot.obligor) for lot, share in taken]
        self._post(wallet, ModelOperation(kind, redeemer, points, purchase, taken=paid, terms=terms))
        return "OK"

    def grant(self, member: int, issuer: int, tariff: int, points: int, life_hours: int) -> str:
        """Points that the operator, obligor 0, pays for."""
        if self._wallet(member).is_frozen:
            return "MEMBER_FROZEN"
        lot = self._lot(issuer, 0, tariff, points, 0, life_hours)
        self._add(self._wallet(member), lot, operation="release")
        return "OK"

    def adjust(self, member: int, obligor: int, tariff: int, points: int, life_hours: int) -> str:
        """By the hand of staff, which no freeze stops; what is taken never makes a debt."""
        wallet = self._wallet(member)
        if points > 0:
            lot = self._lot(obligor, obligor, tariff, points, 0, life_hours)
            self._add(wallet, lot, operation="adjust")
            return "OK"
        own = [lot for lot in self._spendable(wallet) if (lot.obligor, lot.tariff) == (obligor, tariff)]
        if sum(lot.points for lot in own) < -points:
            return "INSUFFICIENT_POINTS"
        for lot, share in self._take_from(own, -points):
            self._flow("adjust_down", lot, 0, share)
            wallet.forfeits.append((lot, share))
        return "OK"

    def authorize(
        self,
        member: int,
        partner: int,
        terms: int,
        points: int,
        ttl_hours: int,
        goods: ModelGoods = NO_GOODS,
    ) -> str:
        wallet = self._wallet(member)
        if self.is_posted(member, "authorize", partner, goods.receipt):
            return "DUPLICATE_RECEIPT"
        if wallet.is_frozen:
            return "MEMBER_FROZEN"
        if not self._can_spend(wallet, points):
            return "INSUFFICIENT_POINTS"
        hold = ModelHold(partner, terms, self.now + ttl_hours, self._take(wallet, points))
        wallet.holds.append(hold)
        purchase = self._purchase(wallet, partner, goods)
        self._post(wallet, ModelOperation("authorize", partner, points, purchase, hold=hold))
        return "OK"

    def capture(self, member: int, number: int, partner: int, points: int | None, final: bool) -> str:
        wallet = self._wallet(member)
        hold = wallet.holds[number]
        if hold.partner != partner:
            return "HOLD_NOT_FOUND"
        if hold.state != "open":
            return "HOLD_EXPIRED" if hold.state == "lapsed" else "HOLD_CLOSED"
        held = sum(share for _, share in hold.slices)
        captured = held if points is None else points
        if captured > held:
            return "CAPTURE_EXCEEDS_HOLD"
        rest, wanted = [], captured
        for lot, share in hold.slices:
            part = min(share, wanted)
            wanted -= part
            self._flow("burn", lot, partner, part, hold.terms)
            if part:
                hold.captured.append((lot, part, lot.obligor))
            if share > part:
                rest.append((lot, share - part))
        hold.slices = rest
        purchase = self.authorisation(wallet, hold).purchase
        wallet.operations.append(ModelOperation("capture", partner, captured, purchase, hold=hold))
        if final or not rest:
            self._close(wallet, hold, "closed")
            self._follow(member)
        return "OK"

    def void(self, member: int, number: int, partner: int) -> str:
        wallet = self._wallet(member)
        hold = wallet.holds[number]
        if hold.partner != partner:
            return "HOLD_NOT_FOUND"
        if hold.state != "open":
            return "HOLD_EXPIRED" if hold.state == "lapsed" else "HOLD_CLOSED"
        self._close(wallet, hold, "closed")
        self._follow(member)
        return "OK"

    def transfer(self, member: int, to_member: int, points: int) -> str:
        """The points arrive when all that was asked together has been done: see `arrive`."""
        wallet = self._wallet(member)
        if wallet.is_frozen:
            return "MEMBER_FROZEN"
        if member == to_member:
            return "TRANSFER_TO_SELF"
        if not self._can_spend(wallet, points):
            return "INSUFFICIENT_POINTS"
        self._send(member, to_member, self._take(wallet, points), is_merge=False)
        return "OK"

    def merge(self, member: int, survivor: int) -> str:
        if self._wallet(member).is_frozen:
            return "MEMBER_FROZEN"
        if member == survivor:
            return "INVALID_INPUT"
        if member in self.survivors:
            return "MEMBER_MERGED"
        self.survivors[member] = survivor
        self._follow(member)
        return "OK"

    def freeze(self, member: int, *, is_frozen: bool) -> str:
        """Neither earns nor spends, until it is let go: what is held, sent, owed or due goes on."""
        self._wallet(member).is_frozen = is_frozen
        return "OK"

    def arm(self, member: int, until: int, notice_hours: int) -> str:
        wallet = self._wallet(member)
        for lot in wallet.lots:
            if not lot.is_armed and lot.expires_at <= until and lot.points + self._held(wallet, lot):
                lot.is_armed = True
                lot.expires_at = max(lot.expires_at, self._end_of_day(notice_hours))
        return "OK"

    def novate(self, member: int, leaver: int, successor: int, tariff: int | None = None) -> str:
        """Lots of one tariff, or of all when it is None."""
        wallet = self._wallet(member)
        for lot in wallet.lots:
            if lot.obligor == leaver and tariff in (None, lot.tariff):
                owed = self._held(wallet, lot) + (0 if lot.is_pending else lot.points)
                self._flow("novate_out", lot, 0, owed)
                lot.obligor = successor
                self._flow("novate_in", lot, 0, owed)
        return "OK"

    def arrive(self) -> None:
        """What was sent comes in, sender by sender; what was sent to a merged member comes last.

        Then what a frozen member was sent goes back. What that sets off sets off again.
        """
        while self.transits:
            sent, self.transits = sorted(self.transits, key=lambda each: each.sender), []
            refused = []
            waiting = [(transit, transit.to_member) for transit in sent]
            while waiting:
                moved = []
                for transit, member in waiting:
                    if member in self.survivors:
                        moved.append((transit, self.survivors[member]))
                    elif self._wallet(member).is_frozen and not transit.is_merge:
                        refused.append(transit)
                    else:
                        self._take_in(self._wallet(member), transit)
                waiting = moved
            for transit in sent:
                if transit in refused:
                    self._send_back(transit)

    def is_posted(self, member: int, kind: str, partner: int, receipt: int) -> bool:
        """Whether a receipt was posted for this very member before; a burn and a hold are alike."""
        purchase = self._wallet(member).purchases.get((partner, receipt))
        kinds = {"burn", "authorize"} if kind in {"burn", "authorize"} else {kind}
        return purchase is not None and any(each.kind in kinds for each in purchase.operations)

    def person(self, member: int) -> set[int]:
        """All the members that this one is, or was merged with."""
        while member in self.survivors:
            member = self.survivors[member]
        people = {member}
        while more := {each for each, into in self.survivors.items() if into in people} - people:
            people |= more
        return people

    def balance(self, member: int) -> tuple[int, int, int, int]:
        """Pending, available, held, owed, of everybody that the member is."""
        wallets = [self._wallet(each) for each in self.person(member)]
        return (
            sum(lot.points for wallet in wallets for lot in wallet.lots if lot.is_pending),
            sum(lot.points for wallet in wallets for lot in wallet.lots if not lot.is_pending),
            sum(share for wallet in wallets for hold in wallet.holds for _, share in hold.slices),
            sum(debt.points for wallet in wallets for debt in wallet.debts),
        )

    def lots(self, member: int) -> list[tuple[int, int, int, int, bool]]:
        """(issuer, obligor, expiry, points, armed) of what is left, pending or available, sorted."""
        return sorted(
            (lot.issuer, lot.obligor, lot.expires_at, lot.points, lot.is_armed)
            for lot in self._wallet(member).lots
            if lot.points
        )

    def authorisation(self, wallet: ModelWallet, hold: ModelHold) -> ModelOperation:
        """The operation that made a hold."""
        (made,) = [each for each in wallet.operations if each.hold is hold and each.kind == "authorize"]
        return made

    def _wallet(self, member: int) -> ModelWallet:
        return self.wallets.setdefault(member, ModelWallet())

    def _lot(
        self, issuer: int, obligor: int, tariff: int, points: int, pending_hours: int, life_hours: int
    ) -> ModelLot:
        return ModelLot(
            issuer,
            tariff,
            points,
            self.now + pending_hours,
            self.now + life_hours,
            is_pending=pending_hours > 0,
            obligor=obligor,
            is_armed=not self.has_notices,
        )

    def _add(self, wallet: ModelWallet, *lots: ModelLot, operation: str) -> None:
        """New lots; `operation` is their flow, those of an opening have one more name while they wait."""
        for lot in lots:
            wallet.lots.append(lot)
            is_waiting = lot.is_pending and operation == "opening"
            self._flow("opening_pending" if is_waiting else operation, lot, 0, lot.points)
        self._credited(wallet, [(lot, lot.points) for lot in lots if not lot.is_pending])

    def _purchase(self, wallet: ModelWallet, partner: int, goods: ModelGoods) -> ModelPurchase:
        """That of the receipt; one of its own for what has no receipt."""
        made = ModelPurchase(goods)
        return wallet.purchases.setdefault((partner, goods.receipt), made) if goods.receipt else made

    def _post(self, wallet: ModelWallet, operation: ModelOperation) -> None:
        wallet.operations.append(operation)
        operation.purchase.operations.append(operation)

    def _flow(self, operation: str, lot: ModelLot, redeemer: int, points: int, terms: int = 0) -> None:
        key = (operation, lot.issuer, lot.obligor, redeemer, lot.tariff, terms)
        if points:
            flow = self.flows.setdefault(key, ModelFlow())
            flow.points += points
            flow.count += 1

    def _held(self, wallet: ModelWallet, lot: ModelLot) -> int:
        return sum(share for hold in wallet.holds for each, share in hold.slices if each is lot)

    def _end_of_day(self, hours: int) -> int:
        return (self.now + hours) // 24 * 24 + 24

    def _count(self, wallet: ModelWallet, points: int, limits: Sequence[ModelLimit]) -> bool:
        """Whether `points` keep within all limits; then they are counted."""
        for limit in limits:
            so_far = sum(
                amount
                for window, hour, amount in (self.counted if limit.is_shared else wallet.counted)
                if window == limit.window
                and (self.now - hour <= 24 if window == "rolling" else hour // 24 == self.now // 24)
            )
            if points and so_far + points > limit.ceiling:
                return False
        for limit in limits:
            (self.counted if limit.is_shared else wallet.counted).append((limit.window, self.now, points))
        return True

    def _spendable(self, wallet: ModelWallet) -> list[ModelLot]:
        return [lot for lot in wallet.lots if not lot.is_pending]

    def _can_spend(self, wallet: ModelWallet, points: int) -> bool:
        owed = sum(debt.points for debt in wallet.debts)
        return sum(lot.points for lot in self._spendable(wallet)) - owed >= points

    def _take(self, wallet: ModelWallet, points: int) -> list[tuple[ModelLot, int]]:
        return self._take_from(self._spendable(wallet), points)

    def _take_from(self, lots: Sequence[ModelLot], points: int) -> list[tuple[ModelLot, int]]:
        taken = []
        for lot in sorted(lots, key=lambda lot: lot.expires_at):  # stable: ties as they were earned
            share = min(points, lot.points)
            if share:
                lot.points -= share
                points -= share
                taken.append((lot, share))
        return taken

    def _put(self, wallet: ModelWallet, lot: ModelLot, share: int) -> ModelLot:
        """Points come back to their lot, or to a child of it if its time has passed."""
        if lot.expires_at > self.now or not lot.is_armed:
            lot.points += share
            return lot
        grace_ends = self._end_of_day(GRACE_HOURS)
        child = replace(lot, points=share, expires_at=grace_ends, is_pending=False, parent=lot.parent or lot)
        wallet.lots.append(child)
        return child

    def _credited(self, wallet: ModelWallet, filled: Sequence[tuple[ModelLot, int]]) -> None:
        """Whatever has become available pays first what is owed, the oldest debt first."""
        shares: list[tuple[ModelLot, int]] = []
        for lot, share in filled:
            join(shares, lot, share)
        for lot, share in sorted(shares, key=lambda each: (each[0].expires_at, wallet.lots.index(each[0]))):
            left = min(share, lot.points)
            for debt in wallet.debts:
                part = min(left, debt.points)
                self._flow("recover", lot, debt.obligor, part)
                debt.points -= part
                lot.points -= part
                left -= part

    def _release(self, wallet: ModelWallet, hold: ModelHold, state: str) -> list[tuple[ModelLot, int]]:
        filled = [(self._put(wallet, lot, share), share) for lot, share in hold.slices]
        hold.slices = []
        hold.state = state
        return filled

    def _close(self, wallet: ModelWallet, hold: ModelHold, state: str) -> None:
        self._credited(wallet, self._release(wallet, hold, state))

    def _send(
        self, member: int, to_member: int, taken: Sequence[tuple[ModelLot, int]], *, is_merge: bool
    ) -> None:
        for lot, share in taken:
            self._flow("transfer_out", lot, 0, 0 if lot.is_pending else share)
        parts = [(lot, replace(lot, points=share, parent=lot.parent or lot)) for lot, share in taken]
        self.transits.append(ModelTransit(member, to_member, is_merge, parts))

    def _follow(self, member: int) -> None:
        """A merged member's points, then its debts, set off to the survivor, whenever there are any."""
        if member not in self.survivors:
            return
        wallet, survivor = self._wallet(member), self.survivors[member]
        left = [(lot, lot.points) for lot in wallet.lots if lot.points]
        if left:
            self._send(member, survivor, left, is_merge=True)
        for lot, _ in left:
            lot.points = 0
        for debt in wallet.debts:
            if debt.points:
                self.transits.append(ModelTransit(member, survivor, is_merge=True, debt=debt))
        wallet.debts = []

    def _take_in(self, wallet: ModelWallet, transit: ModelTransit) -> None:
        if transit.debt is not None:
            self._take_on(wallet, transit.debt)
        arrived = [lot for _, lot in transit.parts]
        for lot in arrived:
            wallet.lots.append(lot)
            self._flow("transfer_in", lot, 0, 0 if lot.is_pending else lot.points)
        self._credited(wallet, [(lot, lot.points) for lot in arrived if not lot.is_pending])

    def _take_on(self, wallet: ModelWallet, debt: ModelDebt) -> None:
        """A debt takes back what came along of its own lot, then points like them; the rest is owed."""
        own = [lot for lot in wallet.lots if lot.parent is debt.lot and lot.obligor == debt.obligor]
        own.sort(key=lambda lot: (not lot.is_pending, lot.expires_at))
        left = self._take_alike(wallet, own, debt.lot.issuer, debt.obligor, debt.points)
        wallet.debts.append(replace(debt, points=left))

    def _take_alike(
        self, wallet: ModelWallet, own: Sequence[ModelLot], issuer: int, obligor: int, points: int
    ) -> int:
        """Cancel points of `own` lots, then of others of that issuer and obligor; how many are missing."""
        alike = [
            lot
            for lot in self._spendable(wallet)
            if (lot.issuer, lot.obligor) == (issuer, obligor) and lot not in own
        ]
        for lot in [*own, *sorted(alike, key=lambda lot: lot.expires_at)]:
            part = min(points, lot.points)
            lot.points -= part
            points -= part
            self._flow("cancel_pending" if lot.is_pending else "claw_back", lot, 0, part)
        return points

    def _send_back(self, transit: ModelTransit) -> None:
        """Into the very lots that they left, whoever answers for those by now."""
        wallet = self._wallet(transit.sender)
        for lot, sent in transit.parts:
            self._flow("transfer_in", sent, 0, sent.points)
            if lot.obligor != sent.obligor:
                self._flow("novate_out", sent, 0, sent.points)
                self._flow("novate_in", lot, 0, sent.points)
            lot.points += sent.points
        self._credited(wallet, [(lot, sent.points) for lot, sent in transit.parts])
        self._follow(transit.sender)

    def _settle(self, wallet: ModelWallet) -> None:
        """What happens by itself at this hour: release, then lapse, then expiry."""
        released = [lot for lot in wallet.lots if lot.is_pending and lot.available_at <= self.now]
        for lot in released:
            lot.is_pending = False
            self._flow("release", lot, 0, lot.points)
        self._credited(wallet, [(lot, lot.points) for lot in released])
        for hold in wallet.holds:
            if hold.state == "open" and hold.expires_at <= self.now:
                self._close(wallet, hold, "lapsed")
        for lot in wallet.lots:
            if not lot.is_pending and lot.points and lot.is_armed and lot.expires_at <= self.now:
                self._flow("expire", lot, 0, lot.points)
                wallet.forfeits.append((lot, lot.points))
                lot.points = 0


def join(shares: list[tuple[ModelLot, int]], lot: ModelLot, share: int) -> None:
    """Add to what was taken from a lot, or begin with it."""
    for index, (known, points) in enumerate(shares):
        if known is lot:
            shares[index] = (lot, points + share)
            return
    if share:
        shares.append((lot, share))
