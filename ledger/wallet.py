"""A member's wallet: four balances, the lots and the holds. It changes only by lines applied."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from .accounts import AVAILABLE, CLAWBACK_DUE, FORFEITED, HELD, PENDING, POINTS_KINDS, REDEEMED
from .binary import INFINITY, instant
from .counters import Count, Key, note
from .dues import Due
from .holds import Hold, Slice
from .journal import Journal, Undoing
from .kernel.ids import compose, sequence_of
from .lots import NONE_LEFT, Lot, Turn
from .outcomes import Balance
from .purchases import Purchases
from .transits import Transit


class Wallet(msgspec.Struct, gc=False):
    """The state of one member as its bucket's lane sees it.

    `sums` are the signed sums of the lines applied, by account kind; a member's accounts
    are the interesting four. `lots` and `holds` may be a part of what there is: the decider was
    given what its commands need, and `rest_due_at` says when the first of the others falls due.
    Of these no lot with points comes before `unread_from`. `place` is where the row was
    read. `merged_into` is the member's survivor, 0 for none. `transits` are those its commands name.
    Where members are noticed before points expire, a release does not arm (`arms_at_release`).
    `dues` are those of `clawback_due`, by the operation that made them; `purchases` is there
    only when a command of the batch looks back at one.
    `counts` are there when one of its commands carries counters.
    """

    member: int
    sums: list[int]
    next_due_at: datetime | None = None
    rest_due_at: datetime | None = None
    is_frozen: bool = False
    is_new: bool = False
    merged_into: int = 0
    unread_from: Turn = NONE_LEFT
    place: bytes = b""
    arms_at_release: bool = True
    lots: dict[int, Lot] = {}
    holds: dict[int, Hold] = {}
    transits: dict[int, Transit] = {}
    dues: dict[int, Due] = {}
    purchases: Purchases | None = None
    counts: dict[Key, Count] = {}

    @property
    def pending(self) -> int:
        """Points earned and not yet released."""
        return self.sums[PENDING]

    @property
    def available(self) -> int:
        """Points that may be spent; equals the sum of the lots."""
        return self.sums[AVAILABLE]

    @property
    def held(self) -> int:
        """Points set aside by open holds; equals the sum of their slices."""
        return self.sums[HELD]

    @property
    def clawback_due(self) -> int:
        """Points that the member owes (≥ 0)."""
        return -self.sums[CLAWBACK_DUE]

    def balance(self) -> Balance:
        """The four figures, frozen."""
        sums = self.sums
        return Balance(
            pending=sums[PENDING],
            available=sums[AVAILABLE],
            held=sums[HELD],
            clawback_due=-sums[CLAWBACK_DUE],
        )

    def stands(self) -> tuple[int, int, int, int, int]:
        """Pending, available, held, clawback due, and the instant something is due, in microseconds."""
        sums, due_at = self.sums, self.next_due_at
        return (
            sums[PENDING],
            sums[AVAILABLE],
            sums[HELD],
            -sums[CLAWBACK_DUE],
            INFINITY if due_at is None else instant(due_at),
        )

    def lots_from(self) -> Turn:
        """The turn before which no lot has points."""
        turns = [
            (instant(lot.expires_at), lot.id) for lot in self.lots.values() if lot.available or lot.pending
        ]
        return min([*turns, self.unread_from])

    def held_by_lot(self) -> dict[int, int]:
        """What holds have still pinned of each lot."""
        held: dict[int, int] = {}
        for hold in self.holds.values():
            for part in hold.slices:
                held[part.lot] = held.get(part.lot, 0) + part.left
        return held

    def apply(self, journal: Journal, operation: int) -> None:
        """Take the journal's effect: lots and holds it makes, then every line."""
        for lot in journal.new_lots:
            self.lots[lot.id] = lot
        sums = self.sums
        for line in journal.lines:
            debit, credit, points = line.debit, line.credit, line.points
            sums[debit] -= points
            sums[credit] += points
            if line.hold:
                part = self.holds[line.hold].slices[line.slice_no]
                if credit == REDEEMED:
                    part.captured += points
                else:
                    part.released += points
                    self.lots[line.lot].available += points
                continue
            if not line.lot:
                continue
            lot = self.lots[line.lot]
            if debit == PENDING:
                lot.pending -= points
            elif debit == AVAILABLE:
                lot.available -= points
                if credit in FORFEITED:
                    lot.forfeits += points
            if credit == PENDING:
                lot.pending += points
            elif credit == AVAILABLE:
                lot.available += points
                if lot.armed_at is None and self.arms_at_release:
                    lot.armed_at = journal.occurred_at or lot.earned_at
        self._apply_hold(journal, operation)
        self._apply_changes(journal)
        if journal.undoes is not None:
            self._apply_undoing(journal.undoes)
        if journal.owes is not None:
            self.dues[journal.owes.operation] = msgspec.structs.replace(journal.owes)
        for due, points in journal.recovers:
            self.dues[due].points_left -= points
        if journal.freezes is not None:
            self.is_frozen = journal.freezes
        for counted in journal.counted:
            note(self.counts, counted)
        self.look_ahead()

    def _apply_undoing(self, undoes: Undoing) -> None:
        if undoes.due is not None:
            self.dues[undoes.due.operation] = msgspec.structs.replace(undoes.due)
        assert self.purchases is not None, "whatever undoes looked back"
        for mark in undoes.marks:
            self.purchases.marks[mark.operation, mark.line] = mark

    def _apply_hold(self, journal: Journal, operation: int) -> None:
        opened = journal.opens
        if opened is not None:
            slices = [
                Slice(
                    ordinal=number,
                    lot=taken.lot,
                    issuer=taken.issuer,
                    obligor=taken.obligor,
                    tariff=taken.tariff,
                    earned_at=self.lots[taken.lot].earned_at,
                    expires_at=self.lots[taken.lot].expires_at,
                    points=taken.points,
                )
                for number, taken in enumerate(opened.slices)
            ]
            self.holds[operation] = Hold(
                id=operation,
                member=self.member,
                partner=opened.partner,
                outlet=opened.outlet,
                terms=opened.terms,
                expires_at=opened.expires_at,
                is_open=True,
                has_lapsed=False,
                slices=slices,
            )
        if journal.closes:
            hold = self.holds[journal.hold]
            hold.is_open = False
            hold.has_lapsed = journal.lapses

    def _apply_changes(self, journal: Journal) -> None:
        for change in journal.changes:
            lot = self.lots[change.lot]
            lot.obligor, lot.expires_at, lot.armed_at = change.obligor, change.expires_at, change.armed_at
            for hold in self.holds.values():
                for part in hold.slices:
                    if part.lot == change.lot and part.left:
                        part.obligor, part.expires_at = change.obligor, change.expires_at
        if journal.merges_into:
            self.merged_into = journal.merges_into
        if journal.concludes is not None:
            del self.transits[journal.concludes.transfer]

    def look_ahead(self) -> bool:
        """Find when something is due next; True if that is news."""
        soonest = self.rest_due_at
        for lot in self.lots.values():
            due = lot.due_at()
            if due is not None and (soonest is None or due < soonest):
                soonest = due
        for hold in self.holds.values():
            if hold.is_open and (soonest is None or hold.expires_at < soonest):
                soonest = hold.expires_at
        is_news = soonest != self.next_due_at
        self.next_due_at = soonest
        return is_news


def new_wallet(member: int) -> Wallet:
    """The wallet of a member who never did anything."""
    return Wallet(member, [0] * POINTS_KINDS, is_new=True)


LOTS_PER_OPERATION: Final = 1 << 15


def lot_id(operation: int, ordinal: int) -> int:
    """The id of the `ordinal`-th (0–32,767) lot that an operation makes: it sorts as they were earned."""
    if not 0 <= ordinal < LOTS_PER_OPERATION:
        raise ValueError("an operation makes at most 32,768 lots")
    return compose(operation >> 56, sequence_of(operation) * LOTS_PER_OPERATION + ordinal)
