"""The reference ledger: what the engine must do, said as plainly as possible, with no SQL.

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


@dataclass
class ModelWallet:
    lots: list[ModelLot] = field(default_factory=list)
    holds: list[ModelHold] = field(default_factory=list)


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

    def earn(self, member: int, issuer: int, points: int, pending_hours: int, life_hours: int) -> str:
        wallet = self._wallet(member)
        if points:
            lot = ModelLot(
                issuer, points, self.now + pending_hours, self.now + life_hours, is_pending=pending_hours > 0
            )
            wallet.lots.append(lot)
            self._flow("earn_pending" if lot.is_pending else "release", issuer, 0, points)
        return "OK"

    def burn(self, member: int, redeemer: int, points: int) -> str:
        taken = self._take(self._wallet(member), points)
        for lot, share in taken:
            self._flow("burn", lot.issuer, redeemer, share)
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
                self._flow("burn", lot.issuer, partner, part)
            if share > part:
                rest.append((lot, share - part))
        hold.slices = rest
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

    def balance(self, member: int) -> tuple[int, int, int]:
        """Pending, available, held."""
        wallet = self._wallet(member)
        return (
            sum(lot.points for lot in wallet.lots if lot.is_pending),
            sum(lot.points for lot in wallet.lots if not lot.is_pending),
            sum(share for hold in wallet.holds for _, share in hold.slices),
        )

    def lots(self, member: int) -> list[tuple[int, int, int]]:
        """(issuer, expiry, points) of what is left, pending or available, sorted."""
        return sorted(
            (lot.issuer, lot.expires_at, lot.points) for lot in self._wallet(member).lots if lot.points
        )

    def _wallet(self, member: int) -> ModelWallet:
        return self.wallets.setdefault(member, ModelWallet())

    def _flow(self, operation: str, issuer: int, redeemer: int, points: int) -> None:
        key = (operation, issuer, redeemer)
        self.flows[key] = self.flows.get(key, 0) + points

    def _take(self, wallet: ModelWallet, points: int) -> list[tuple[ModelLot, int]]:
        spendable = [lot for lot in wallet.lots if not lot.is_pending and lot.points]
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
            if lot.expires_at > self.now:
                lot.points += share
            else:
                end_of_day = (self.now + GRACE_HOURS) // 24 * 24 + 24
                wallet.lots.append(ModelLot(lot.issuer, share, self.now, end_of_day, is_pending=False))
        hold.slices = []
        hold.state = state

    def _settle(self, wallet: ModelWallet) -> None:
        """What happens by itself at this hour: release, then lapse, then expiry."""
        for lot in wallet.lots:
            if lot.is_pending and lot.available_at <= self.now:
                lot.is_pending = False
                self._flow("release", lot.issuer, 0, lot.points)
        for hold in wallet.holds:
            if hold.state == "open" and hold.expires_at <= self.now:
                self._close(wallet, hold, "lapsed")
        for lot in wallet.lots:
            if not lot.is_pending and lot.points and lot.expires_at <= self.now:
                self._flow("expire", lot.issuer, 0, lot.points)
                lot.points = 0
