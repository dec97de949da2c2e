"""A ledger in memory: the deciders and the wallet as they are, and nothing of lanes, rows or hashes.

It posts one command at a time. What it does with a command is what a batch does: what is due comes
first, each as an operation of its own, then the command is decided, and only a journal's lines
change a wallet. Whatever becomes available pays what is owed, and what comes to a merged member
sets off to the survivor. The legs of a transit are posted when a test says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from ledger import Balance, Command, Outcome
from ledger.accounts import FLOW_OF, REDEEMED, STOCK_SIGN
from ledger.commands import Arrive, Conclude, Refused
from ledger.decide import Situation, decide, follow, follows_survivor, kind_of, next_due, recover
from ledger.holds import Slice
from ledger.journal import Journal, Line, Undoing
from ledger.kernel.clock import DrivenClock
from ledger.kernel.ids import bucket_of, compose
from ledger.kernel.refusals import Refusal
from ledger.keys import Keys
from ledger.lots import Lot
from ledger.outcomes import SliceTaken
from ledger.purchases import PURCHASED, Original, Purchases
from ledger.refusals import DuplicateReceipt, HoldNotFound
from ledger.transits import Part, Transit
from ledger.wallet import Wallet, new_wallet

from .builders import MEMBER, START

UTC_ZONE: Final = ZoneInfo("UTC")
TOKYO: Final = ZoneInfo("Asia/Tokyo")
"""Where a day ends at 15:00 UTC."""
DAY: Final = timedelta(days=1)


Cell = tuple[int, int, int, datetime, datetime]
"""Of what stock is kept: issuer, obligor, tariff, when it was earned and when it expires."""


class MemoryLedger:
    """What `Ledger` offers to a test of deciding, with the journals kept.

    Months are periods. With `has_notices` a release arms no lot.
    """

    def __init__(self, at: datetime, *, has_notices: bool = False, zone: ZoneInfo = UTC_ZONE) -> None:
        self.clock = DrivenClock(at)
        self.has_notices = has_notices
        self.zone = zone
        self.wallets: dict[int, Wallet] = {}
        self.flows: dict[tuple[str, int, int], int] = defaultdict(int)
        self.journals: list[tuple[int, Journal]] = []
        self._stock: dict[int, Counter[Cell]] = defaultdict(Counter)
        self._sequences: dict[int, int] = defaultdict(int)
        self._claimed: set[tuple[int, bytes]] = set()
        self._hold_members: dict[int, int] = {}

    async def submit(self, command: Command) -> Outcome:
        """Decide one command and take its effect."""
        member = command.member or self._hold_members.get(getattr(command, "hold", 0), 0)
        if not member:
            return Outcome(
                operation=0,
                kind=kind_of(command),
                recorded_at=self.clock.now(),
                balance=Balance(),
                refused=Refused.of(HoldNotFound()),
            )
        wallet = self.wallet(member)
        if wallet.merged_into and follows_survivor(command):
            return await self.submit(msgspec.structs.replace(command, member=wallet.merged_into))
        self._settle(wallet)
        claim = (bucket_of(member), Keys.of(command).receipt)
        try:
            if claim[1] and claim in self._claimed:
                raise DuplicateReceipt("that is named")
            journal = decide(wallet, command, self.situation(wallet))
        except Refusal as refusal:
            return self._refuse(wallet, command, refusal)
        self._claimed.add(claim)
        outcome = self._post(wallet, journal, command)
        self._follow(wallet)
        return outcome

    async def submit_many(self, commands: Sequence[Command]) -> list[Outcome]:
        """One after another."""
        return [await self.submit(command) for command in commands]

    async def advance(self, to: datetime) -> datetime:
        """Move the clock; every effect on the way happens in the order of its instant."""
        self.clock.see(to)
        for wallet in list(self.wallets.values()):
            self._settle(wallet)
        return self.clock.now()

    async def balance(self, member: int) -> Balance:
        """The member's balances now."""
        wallet = self.wallets.get(member)
        return wallet.balance() if wallet else Balance()

    async def drive(self) -> None:
        """Take every open transit to its end, and what sets off meanwhile, as the driver does."""
        while waiting := self.transits():
            for transit in waiting:
                arrival = await self.submit(Arrive.of(transit))
                refusal = arrival.refused.code if arrival.refused else ""
                end = await self.submit(Conclude.of(transit, refusal=refusal))
                assert end.refused is None, "a way that is open can be ended"
                assert transit not in self.transits(), "a way has one end"
                assert not refusal or transit.kind == "transfer", "a merge is not refused"

    def wallet(self, member: int) -> Wallet:
        """The member's wallet, a new one for who never did anything."""
        if member not in self.wallets:
            self.wallets[member] = wallet = new_wallet(member)
            wallet.arms_at_release = not self.has_notices
            wallet.purchases = Purchases({}, {})
        return self.wallets[member]

    def transits(self) -> list[Transit]:
        """Those that are open, in the order in which they set out."""
        found = (each for wallet in self.wallets.values() for each in wallet.transits.values())
        return sorted(found, key=lambda each: each.id)

    def situation(self, wallet: Wallet) -> Situation:
        """That of the wallet's next operation."""
        bucket = bucket_of(wallet.member)
        return Situation(compose(bucket, self._sequences[bucket] + 1), self.clock.now(), self.zone)

    def _settle(self, wallet: Wallet) -> None:
        before = None
        while (journal := next_due(wallet, self.situation(wallet))) is not None:
            assert journal != before, "nothing is due twice"
            before = journal
            self._post(wallet, journal)
            self._follow(wallet)

    def _follow(self, wallet: Wallet) -> None:
        if wallet.merged_into:
            while (journal := follow(wallet, self.situation(wallet))) is not None:
                assert journal.lines, "nothing is sent for nothing"
                self._post(wallet, journal)

    def _post(self, wallet: Wallet, journal: Journal, command: Command | None = None) -> Outcome:
        operation = self._next_operation(wallet)
        wallet.apply(journal, operation)
        self.journals.append((wallet.member, journal))
        if journal.opens is not None:
            self._hold_members[operation] = wallet.member
        if journal.sends is not None:
            wallet.transits[operation] = journal.sends
        for line in journal.lines:
            operation_of_flow = FLOW_OF.get((line.debit, line.credit))
            if operation_of_flow is not None:
                self.flows[operation_of_flow, line.issuer, line.redeemer] += line.points
        check(wallet)
        self._move_stock(wallet, journal)
        outcome = Outcome(
            operation=operation,
            kind=journal.kind,
            recorded_at=self.clock.now(),
            balance=wallet.balance(),
            points=journal.points,
            hold=journal.hold or None,
            hold_left=journal.hold_left,
            slices=_slices(journal),
            returned=journal.undoes.returned if journal.undoes else None,
        )
        if command is not None:
            self._remember(wallet, command, outcome, journal)
        recovery = recover(wallet, journal) if wallet.dues else None
        if recovery is not None:
            self._post(wallet, recovery)
        return outcome

    def _move_stock(self, wallet: Wallet, journal: Journal) -> None:
        """What a bucket's stock would be, from lines alone, is what the wallet's lots and slices are."""
        stock = self._stock[wallet.member]
        for line in (*journal.lines, *journal.restocks):
            if line.expired_at is not None:
                stock[_cell(line, line.expired_at)] -= line.points
                stock[_cell(line, line.expires_at)] += line.points
            sign = STOCK_SIGN.get(FLOW_OF.get((line.debit, line.credit), ""), 0)
            stock[_cell(line, line.expires_at)] += sign * line.points
        outstanding: Counter[Cell] = Counter()
        for lot in wallet.lots.values():
            outstanding[_cell(lot, lot.expires_at)] += lot.available
        for hold in wallet.holds.values():
            for part in hold.slices:
                outstanding[_cell(part, part.expires_at)] += part.left
        assert stock == outstanding

    def _refuse(self, wallet: Wallet, command: Command, refusal: Refusal) -> Outcome:
        """A final refusal is an operation too; one that may pass is none."""
        outcome = Outcome(
            operation=0 if refusal.retryable else self._next_operation(wallet),
            kind=kind_of(command),
            recorded_at=self.clock.now(),
            balance=wallet.balance(),
            refused=Refused.of(refusal),
        )
        if outcome.operation:
            self._remember(wallet, command, outcome)
        return outcome

    def _remember(
        self, wallet: Wallet, command: Command, outcome: Outcome, journal: Journal | None = None
    ) -> None:
        """Keep the operation as a return would find it again."""
        assert wallet.purchases is not None
        undoes = journal.undoes if journal else None
        period = undoes.origin_period if undoes else command.occurred_at.month
        if outcome.refused is None:
            wallet.purchases.note(command, outcome, period)
        if (
            outcome.refused is not None or outcome.kind not in PURCHASED
        ):  # a batch does not note it of itself, but a later one finds it in the database
            wallet.purchases.originals[outcome.operation] = msgspec.structs.replace(
                Original.posted(command, outcome, period), is_refused=outcome.refused is not None
            )

    def _next_operation(self, wallet: Wallet) -> int:
        operation = self.situation(wallet).operation
        self._sequences[bucket_of(wallet.member)] += 1
        return operation


def _cell(of: Line | Lot | Slice, expires_at: datetime) -> Cell:
    return of.issuer, of.obligor, of.tariff, of.earned_at, expires_at


def _slices(journal: Journal) -> tuple[SliceTaken, ...]:
    if journal.opens is not None:
        return journal.opens.slices
    return tuple(
        SliceTaken(
            lot=line.lot, issuer=line.issuer, obligor=line.obligor, tariff=line.tariff, points=line.points
        )
        for line in journal.lines
        if line.credit == REDEEMED
    )


def check(wallet: Wallet) -> None:
    """What every wallet promises after every journal."""
    lots = wallet.lots.values()
    assert wallet.available == sum(lot.available for lot in lots) >= 0
    assert wallet.pending == sum(lot.pending for lot in lots) >= 0
    assert wallet.held == sum(hold.left for hold in wallet.holds.values() if hold.is_open) >= 0
    for hold in wallet.holds.values():
        assert hold.is_open or hold.left == 0
        for part in hold.slices:
            assert part.left >= 0
            assert min(part.captured, part.released) >= 0
    assert wallet.clawback_due == sum(due.points_left for due in wallet.dues.values()) >= 0
    assert sum(wallet.sums) == 0


def submit(ledger: MemoryLedger, *commands: Command) -> list[Outcome]:
    """What came of commands posted one after another."""
    return asyncio.run(ledger.submit_many(commands))


def a_ledger(*commands: Command, has_notices: bool = False, zone: ZoneInfo = UTC_ZONE) -> MemoryLedger:
    """A ledger at START in which all of `commands` were accepted."""
    ledger = MemoryLedger(START, has_notices=has_notices, zone=zone)
    for command in commands:
        accepted(ledger, command)
    return ledger


def accepted(ledger: MemoryLedger, command: Command) -> Outcome:
    """The outcome of a command that must be accepted."""
    (outcome,) = submit(ledger, command)
    assert outcome.refused is None, outcome.refused
    return outcome


def refused(ledger: MemoryLedger, command: Command) -> Refused:
    """The refusal of a command that must be refused, and moves nothing."""
    before = len(ledger.journals)
    (outcome,) = submit(ledger, command)
    assert outcome.refused is not None, outcome
    assert len(ledger.journals) == before
    return outcome.refused


def go_to(ledger: MemoryLedger, days: float) -> None:
    """Move the clock to so many days after START."""
    asyncio.run(ledger.advance(START + days * DAY))


def drive(ledger: MemoryLedger) -> None:
    """Take every open transit to its end."""
    asyncio.run(ledger.drive())


def last(ledger: MemoryLedger) -> Journal:
    """The journal posted last."""
    return ledger.journals[-1][1]


def undone(ledger: MemoryLedger) -> Undoing:
    """What the return or reversal among the last journals undid."""
    return next(journal.undoes for _, journal in reversed(ledger.journals) if journal.undoes is not None)


def figures(outcome: Outcome) -> tuple[int, int, int, int]:
    """Restored, cancelled while pending, taken, owed."""
    assert outcome.returned is not None
    back = outcome.returned
    return back.restored, back.cancelled, back.taken, back.due


def lots_of(ledger: MemoryLedger, member: int = MEMBER) -> list[Lot]:
    """The lots of a member as they were made, empty ones too."""
    return sorted(ledger.wallets[member].lots.values(), key=lambda lot: lot.id)


def part_of(lot: Lot, account: int, points: int, **given: Any) -> Part:
    """Points of `lot` on their way, with all that the lot is."""
    part = Part(
        account=account,
        lot=lot.id,
        issuer=lot.issuer,
        obligor=lot.obligor,
        tariff=lot.tariff,
        points=points,
        earned_at=lot.earned_at,
        expires_at=lot.expires_at,
        armed_at=lot.armed_at,
        origin=lot.parent or lot.id,
    )
    return msgspec.structs.replace(part, **given)


def line_of(lot: Lot, debit: int, credit: int, points: int, **given: int | datetime) -> Line:
    """The whole line that moves points of `lot`, pinned to all that the lot is but for what is `given`."""
    line = Line(
        debit,
        credit,
        points,
        lot.issuer,
        lot.obligor,
        lot.tariff,
        lot.id,
        lot.earned_at,
        lot.expires_at,
    )
    return msgspec.structs.replace(line, **given)
