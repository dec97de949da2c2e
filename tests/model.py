"""The reference ledger: what the engine must do, said as plainly as possible, with no SQL.

It keeps lists and dicts, decides one command at a time, and knows nothing of batches, buckets,
rows or hashes. Time is a number of hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

GRACE_HOURS = 14 * 24


@dataclass
class ModelLot:
    issuer: int
    points: int
    available_at: int
    expires_at: int
    is_pending: bool
    obligor: int = 0
    is_armed: bool = True


@dataclass(frozen=True)
class ModelLimit:
    """A ceiling on a member's points, in a day of the model or in the last 24 hours."""

    ceiling: int
    is_rolling: bool


@dataclass
class ModelHold:
    partner: int
    expires_at: int
    slices: list[tuple[ModelLot, int]]
    state: str = "open"


@dataclass
class ModelWallet:
    lots: list[ModelLot] = field(default_factory=list)
    holds: list[ModelHold] = field(default_factory=list)
    counted: list[tuple[bool, int, int]] = field(default_factory=list)


class ModelLedger:
    """Members' wallets, and flows as sums of points by (operation, issuer, obligor, redeemer).

    Where members are told before their points expire, a release arms no lot (`has_notices`).
    """

    def __init__(self, *, has_notices: bool = False) -> None:
        self.now = 0
        self.has_notices = has_notices
        self.wallets: dict[int, ModelWallet] = {}
        self.flows: dict[tuple[str, int, int, int], int] = {}
        self.survivors: dict[int, int] = {}
        self.transits: list[tuple[int, int, ModelLot]] = []

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
        points: int,
        pending_hours: int,
        life_hours: int,
        limit: ModelLimit | None = None,
    ) -> str:
        wallet = self._wallet(member)
        if not self._count(wallet, points, limit):
            return "LIMIT_EXCEEDED"
        if points:
            lot = ModelLot(
                issuer,
                points,
                self.now + pending_hours,
                self.now + life_hours,
                is_pending=pending_hours > 0,
                obligor=issuer,
                is_armed=not self.has_notices,
            )
            wallet.lots.append(lot)
            self._flow("earn_pending" if lot.is_pending else "release", lot, 0, points)
        return "OK"

    def burn(self, member: int, redeemer: int, points: int, limit: ModelLimit | None = None) -> str:
        """A donation is a burn too."""
        wallet = self._wallet(member)
        if sum(lot.points for lot in wallet.lots if not lot.is_pending) < points:
            return "INSUFFICIENT_POINTS"
        if not self._count(wallet, points, limit):
            return "LIMIT_EXCEEDED"
        for lot, share in self._take(wallet, points):
            self._flow("burn", lot, redeemer, share)
        return "OK"

    def give(self, member: int, issuer: int, obligor: int, points: int, life_hours: int) -> None:
        """Points of staff: a grant of the operator (obligor 0), or an adjustment at the obligor's cost."""
        is_armed, expires_at = not self.has_notices, self.now + life_hours
        lot = ModelLot(issuer, points, self.now, expires_at, False, obligor=obligor, is_armed=is_armed)
        self._wallet(member).lots.append(lot)
        self._flow("adjust" if obligor else "release", lot, 0, points)

    def adjust(self, member: int, obligor: int, points: int, life_hours: int) -> str:
        if points > 0:
            self.give(member, obligor, obligor, points, life_hours)
            return "OK"
        taken = self._take(self._wallet(member), -points, obligor=obligor)
        for lot, share in taken:
            self._flow("adjust_down", lot, 0, share)
        return "OK" if taken else "INSUFFICIENT_POINTS"

    def authorize(self, member: int, partner: int, points: int, ttl_hours: int) -> str:
        wallet = self._wallet(member)
        taken = self._take(wallet, points)
        if not taken:
            return "INSUFFICIENT_POINTS"
        wallet.holds.append(ModelHold(partner, self.now + ttl_hours, taken))
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
        for lot, share in hold.slices:
            part = min(share, wanted)
            wanted -= part
            if part:
                self._flow("burn", lot, partner, part)
            if share > part:
                rest.append((lot, share - part))
        hold.slices = rest
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
        if member == to_member:
            return "TRANSFER_TO_SELF"
        taken = self._take(self._wallet(member), points)
        for lot, share in taken:
            self._send(member, to_member, lot, share)
        return "OK" if taken else "INSUFFICIENT_POINTS"

    def merge(self, member: int, survivor: int) -> str:
        if member == survivor:
            return "INVALID_INPUT"
        if member in self.survivors:
            return "MEMBER_MERGED"
        self._wallet(member)
        self.survivors[member] = survivor
        self._follow(member)
        return "OK"

    def arm(self, member: int, until: int, notice_hours: int) -> str:
        wallet = self._wallet(member)
        for lot in wallet.lots:
            if not lot.is_armed and lot.expires_at <= until and lot.points + self._held(wallet, lot):
                lot.is_armed = True
                lot.expires_at = max(lot.expires_at, self._end_of_day(notice_hours))
        return "OK"

    def novate(self, leaver: int, successor: int) -> None:
        for wallet in self.wallets.values():
            for lot in wallet.lots:
                if lot.obligor == leaver:
                    owed = self._held(wallet, lot) + (0 if lot.is_pending else lot.points)
                    self._flow("novate_out", lot, 0, owed)
                    lot.obligor = successor
                    self._flow("novate_in", lot, 0, owed)

    def arrive(self) -> None:
        """What was sent comes in, sender by sender; what was sent to a merged member comes last."""
        waiting, self.transits = sorted(self.transits, key=lambda each: each[0]), []
        while waiting:
            moved = []
            for sender, to_member, lot in waiting:
                if to_member in self.survivors:
                    moved.append((sender, self.survivors[to_member], lot))
                    continue
                self._wallet(to_member).lots.append(lot)
                if not lot.is_pending:
                    self._flow("transfer_in", lot, 0, lot.points)
            waiting = moved

    def person(self, member: int) -> set[int]:
        """All the members that this one is, or was merged with."""
        while member in self.survivors:
            member = self.survivors[member]
        people = {member}
        while more := {each for each, into in self.survivors.items() if into in people} - people:
            people |= more
        return people

    def balance(self, member: int) -> tuple[int, int, int]:
        """Pending, available, held, of everybody that the member is."""
        wallets = [self._wallet(each) for each in self.person(member)]
        return (
            sum(lot.points for wallet in wallets for lot in wallet.lots if lot.is_pending),
            sum(lot.points for wallet in wallets for lot in wallet.lots if not lot.is_pending),
            sum(share for wallet in wallets for hold in wallet.holds for _, share in hold.slices),
        )

    def lots(self, member: int) -> list[tuple[int, int, int, int, bool]]:
        """(issuer, obligor, expiry, points, armed) of what is left, pending or available, sorted."""
        return sorted(
            (lot.issuer, lot.obligor, lot.expires_at, lot.points, lot.is_armed)
            for lot in self._wallet(member).lots
            if lot.points
        )

    def _wallet(self, member: int) -> ModelWallet:
        return self.wallets.setdefault(member, ModelWallet())

    def _flow(self, operation: str, lot: ModelLot, redeemer: int, points: int) -> None:
        key = (operation, lot.issuer, lot.obligor, redeemer)
        if points:
            self.flows[key] = self.flows.get(key, 0) + points

    def _held(self, wallet: ModelWallet, lot: ModelLot) -> int:
        return sum(share for hold in wallet.holds for each, share in hold.slices if each is lot)

    def _end_of_day(self, hours: int) -> int:
        return (self.now + hours) // 24 * 24 + 24

    def _send(self, member: int, to_member: int, lot: ModelLot, share: int) -> None:
        if not lot.is_pending:
            self._flow("transfer_out", lot, 0, share)
        self.transits.append((member, to_member, replace(lot, points=share)))

    def _follow(self, member: int) -> None:
        """A merged member's points set off to the survivor, whenever there are any."""
        if member in self.survivors:
            for lot in self._wallet(member).lots:
                if lot.points:
                    self._send(member, self.survivors[member], lot, lot.points)
                    lot.points = 0

    def _count(self, wallet: ModelWallet, points: int, limit: ModelLimit | None) -> bool:
        """Whether `points` keep within a limit; then they are counted."""
        if limit is None or not points:
            return True
        so_far = sum(
            amount
            for is_rolling, hour, amount in wallet.counted
            if is_rolling == limit.is_rolling
            and (self.now - hour <= 24 if is_rolling else hour // 24 == self.now // 24)
        )
        if so_far + points > limit.ceiling:
            return False
        wallet.counted.append((limit.is_rolling, self.now, points))
        return True

    def _take(
        self, wallet: ModelWallet, points: int, *, obligor: int | None = None
    ) -> list[tuple[ModelLot, int]]:
        spendable = [
            lot for lot in wallet.lots if not lot.is_pending and lot.points and obligor in (None, lot.obligor)
        ]
        if sum(lot.points for lot in spendable) < points:
            return []
        taken = []
        for lot in sorted(spendable, key=lambda lot: lot.expires_at):  # stable: ties as they were earned
            share = min(points, lot.points)
            if share:
                lot.points -= share
                points -= share
                taken.append((lot, share))
        return taken

    def _close(self, wallet: ModelWallet, hold: ModelHold, state: str) -> None:
        for lot, share in hold.slices:
            if lot.expires_at > self.now or not lot.is_armed:
                lot.points += share
            else:
                expires_at = self._end_of_day(GRACE_HOURS)
                wallet.lots.append(replace(lot, points=share, expires_at=expires_at, is_pending=False))
        hold.slices = []
        hold.state = state

    def _settle(self, wallet: ModelWallet) -> None:
        """What happens by itself at this hour: release, then lapse, then expiry."""
        for lot in wallet.lots:
            if lot.is_pending and lot.available_at <= self.now:
                lot.is_pending = False
                self._flow("release", lot, 0, lot.points)
        for hold in wallet.holds:
            if hold.state == "open" and hold.expires_at <= self.now:
                self._close(wallet, hold, "lapsed")
        for lot in wallet.lots:
            if not lot.is_pending and lot.points and lot.is_armed and lot.expires_at <= self.now:
                self._flow("expire", lot, 0, lot.points)
                lot.points = 0
