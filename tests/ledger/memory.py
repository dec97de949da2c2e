"""A ledger in memory: the deciders and the wallet as they are, and nothing of lanes, rows or hashes.

It posts one command at a time. What it does with a command is what a batch does: what is due comes
first, each as an operation of its own, then the command is decided, and only a journal's lines
change a wallet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from ledger import Balance, Command, Outcome
from ledger.accounts import FLOW_OF
from ledger.commands import Refused
from ledger.decide import Situation, decide, kind_of, next_due
from ledger.journal import Journal
from ledger.kernel.clock import DrivenClock
from ledger.kernel.ids import compose
from ledger.kernel.refusals import Refusal
from ledger.refusals import HoldNotFound
from ledger.wallet import Wallet, new_wallet

UTC_ZONE = ZoneInfo("UTC")


class MemoryLedger:
    """What `Ledger` offers to a test of deciding, with the journals kept."""

    def __init__(self, at: datetime) -> None:
        self.clock = DrivenClock(at)
        self.wallets: dict[int, Wallet] = {}
        self.flows: dict[tuple[str, int, int], int] = defaultdict(int)
        self.journals: list[tuple[int, Journal]] = []
        self._sequences: dict[int, int] = defaultdict(int)
        self._hold_members: dict[int, int] = {}

    async def submit(self, command: Command) -> Outcome:
        """Decide one command and take its effect."""
        member = command.member or self._hold_members.get(getattr(command, "hold", 0), 0)
        if not member:
            return self._outcome(command, Balance(), refused=Refused.of(HoldNotFound()))
        wallet = self.wallets.setdefault(member, new_wallet(member))
        self._settle(wallet)
        situation = self._situation(wallet)
        try:
            journal = decide(wallet, command, situation)
        except Refusal as refusal:
            return self._outcome(command, wallet.balance(), refused=Refused.of(refusal))
        self._post(wallet, journal, situation.operation)
        return self._outcome(command, wallet.balance(), journal=journal)

    async def submit_many(self, commands: Sequence[Command]) -> list[Outcome]:
        """One after another."""
        return [await self.submit(command) for command in commands]

    async def advance(self, to: datetime) -> datetime:
        """Move the clock; every effect on the way happens in the order of its instant."""
        self.clock.see(to)
        for wallet in self.wallets.values():
            self._settle(wallet)
        return self.clock.now()

    async def balance(self, member: int) -> Balance:
        """The member's balances now."""
        wallet = self.wallets.get(member)
        return wallet.balance() if wallet else Balance()

    def _settle(self, wallet: Wallet) -> None:
        while (journal := next_due(wallet, situation := self._situation(wallet))) is not None:
            self._post(wallet, journal, situation.operation)

    def _situation(self, wallet: Wallet) -> Situation:
        bucket = wallet.member >> 56
        return Situation(compose(bucket, self._sequences[bucket] + 1), self.clock.now(), UTC_ZONE)

    def _post(self, wallet: Wallet, journal: Journal, operation: int) -> None:
        self._sequences[wallet.member >> 56] += 1
        wallet.apply(journal, operation)
        self.journals.append((wallet.member, journal))
        if journal.opens is not None:
            self._hold_members[operation] = wallet.member
        for line in journal.lines:
            operation_of_flow = FLOW_OF.get((line.debit, line.credit))
            if operation_of_flow is not None:
                self.flows[operation_of_flow, line.issuer, line.redeemer] += line.points
        check(wallet)

    def _outcome(
        self,
        command: Command,
        balance: Balance,
        *,
        journal: Journal | None = None,
        refused: Refused | None = None,
    ) -> Outcome:
        return Outcome(
            operation=1,
            kind=journal.kind if journal else kind_of(command),
            recorded_at=self.clock.now(),
            balance=balance,
            points=journal.points if journal else 0,
            hold=(journal.hold or None) if journal else None,
            hold_left=journal.hold_left if journal else 0,
            refused=refused,
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
    assert sum(wallet.sums) == 0
