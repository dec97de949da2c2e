"""A draft: the commands of a batch decided in memory, one after the other, before anything is written.

What one command does to one wallet is `ledger.decide`'s to say. Here is what stands around that: which
answers are repeats, what falls due first, which keys and receipts are taken, and what all of it comes
to for the blocks and the rows of state. Nothing here waits, and nothing is asked of the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from .allowances import Allowance, Place
from .binary import instant, key_rows
from .block import Block, salts
from .commands import Command, PassFence, PostMoney, Refused, Settle
from .counters import Key
from .decide import Situation, decide, follow, follows_survivor, kind_of, next_due, recover
from .dues import Due
from .fence import Calendar
from .holds import Hold
from .journal import Journal
from .kernel.refusals import Refusal
from .keys import Keys
from .loading import Loaded
from .lots import Lot
from .outcomes import Balance, Outcome, read_outcome
from .refusals import BucketFenced, DuplicateReceipt, HoldNotFound, IdempotencyConflict, MemberTokenUsed
from .returned import Mark
from .transits import Conclusion, Transit
from .wallet import Wallet, new_wallet


class Fault(msgspec.Struct, frozen=True):
    """A command that failed by our own mistake: nothing of it was posted."""

    error: Exception


class Moved(msgspec.Struct, frozen=True):
    """The member was merged into another, whom the command means: nothing was posted here."""

    survivor: int


Answer = Outcome | Fault | Moved


class Draft:
    """The batch as decided so far: what to answer and what to write.

    `claimed` gives for a claim the operation that owns it and its instant, as `Loaded.keys` does; `outcomes`
    gives for an operation its outcome and the digest of its command. Rows go with their member where they do
    not name it.
    """

    def __init__(self, loaded: Loaded, at: datetime, calendar: Calendar, commands: int) -> None:
        self.loaded = loaded
        drawn = salts(commands)
        self.blocks = {bucket: Block(head, at, calendar, drawn) for bucket, head in loaded.heads.items()}
        self.calendar = calendar
        self.wallets: dict[int, Wallet] = {}
        self.changed: set[int] = set()
        self.claimed: dict[bytes, tuple[int, int]] = {}
        self.key_rows: list[bytes] = []
        self.outcomes: dict[int, tuple[Outcome, bytes]] = {}
        self.new_lots: dict[int, tuple[int, Lot]] = {}
        self.changed_lots: dict[int, tuple[int, Lot]] = {}
        self.new_holds: dict[int, Hold] = {}
        self.changed_holds: dict[int, Hold] = {}
        self.reset_lots: dict[int, tuple[int, Lot]] = {}
        self.reset_holds: dict[int, Hold] = {}
        self.merged: list[Wallet] = []
        self.sent: list[Transit] = []
        self.concluded: list[Conclusion] = []
        self.changed_dues: dict[int, tuple[int, Due]] = {}
        self.marks: dict[tuple[int, int], Mark] = {}
        self.escrow = {place: msgspec.structs.replace(own) for place, own in loaded.escrow.items()}
        self.spent: dict[Place, Allowance] = {}
        self.counted: set[tuple[int, Key]] = set()
        self.frozen: set[int] = set()
        self.answers: list[Answer] = []

    def wallet(self, member: int) -> Wallet:
        """The member's wallet as the batch has brought it so far."""
        wallet = self.wallets.get(member)
        if wallet is None:
            wallet = self.wallets[member] = self.loaded.wallet(member)
            wallet.arms_at_release = self.calendar.notice_days is None
            if member in self.loaded.rest_due_at and wallet.look_ahead() and self._may_write(member):
                self.changed.add(member)
        return wallet

    def _may_write(self, member: int) -> bool:
        """Whether the member's bucket is this batch's and may be written."""
        block = self.blocks.get(member >> 56)
        return block is not None and not block.head.is_fenced

    def post(
        self, wallet: Wallet, kind: str, command: Command | None, journal: Journal, occurred_at: datetime
    ) -> Outcome:
        """Apply a journal to its wallet and add the operation to its bucket's block."""
        block = self.blocks[wallet.member >> 56]
        operation = block.next_operation
        wallet.apply(journal, operation)
        if wallet.is_new or journal.lines or journal.changes:
            self.changed.add(wallet.member)
        self._note(wallet, journal, operation)
        outcome = block.post(
            kind=kind,
            member=wallet.member,
            balance=wallet.balance(),
            command=command,
            journal=journal,
            refused=None,
            occurred_at=occurred_at,
        )
        if wallet.purchases is not None and command is not None:
            wallet.purchases.note(command, outcome, block.origin_of(journal, occurred_at))
        if wallet.dues:
            self._recover(wallet, journal, occurred_at)
        return outcome

    def _recover(self, wallet: Wallet, journal: Journal, occurred_at: datetime) -> None:
        """Let what became available pay what the member owes, as an operation of its own."""
        recovery = recover(wallet, journal)
        if recovery is not None:
            self.post(wallet, recovery.kind, None, recovery, recovery.occurred_at or occurred_at)

    def _note(self, wallet: Wallet, journal: Journal, operation: int) -> None:
        """Remember which lots and holds are new and which have changed."""
        for lot in journal.new_lots:
            self.new_lots[lot.id] = (wallet.member, lot)
        for line in journal.lines:
            if line.lot and line.lot not in self.new_lots and not (line.hold and line.redeemer):
                self.changed_lots[line.lot] = (wallet.member, wallet.lots[line.lot])
        if journal.opens is not None:
            self.new_holds[operation] = wallet.holds[operation]
        elif journal.hold and journal.hold not in self.new_holds:
            self.changed_holds[journal.hold] = wallet.holds[journal.hold]
        if journal.undoes is not None:
            self.marks.update(((mark.operation, mark.line), mark) for mark in journal.undoes.marks)
            if journal.undoes.due is not None:
                self.changed_dues[operation] = (wallet.member, wallet.dues[operation])
        if journal.owes is not None:
            self.changed_dues[operation] = (wallet.member, wallet.dues[operation])
        for due, _ in journal.recovers:
            self.changed_dues[due] = (wallet.member, wallet.dues[due])
        if journal.changes:
            self._note_changes(wallet, journal)
        if journal.merges_into:
            self.merged.append(wallet)
        if journal.sends is not None:
            self.sent.append(journal.sends)
        if journal.concludes is not None:
            self.concluded.append(journal.concludes)
        if journal.counted:
            self._note_counted(wallet, journal)
        if journal.freezes is not None:
            self.frozen.add(wallet.member)

    def _note_changes(self, wallet: Wallet, journal: Journal) -> None:
        """Remember which lots have another obligor or expiry, and which holds have pinned of them."""
        changed = {change.lot for change in journal.changes}
        for lot in changed - self.new_lots.keys():
            self.reset_lots[lot] = (wallet.member, wallet.lots[lot])
        for hold in wallet.holds.values():
            if hold.id not in self.new_holds and any(part.lot in changed for part in hold.slices):
                self.reset_holds[hold.id] = hold

    def _note_counted(self, wallet: Wallet, journal: Journal) -> None:
        """Spend what was drawn of escrows; remember which counters of the wallet have moved."""
        for counted in journal.counted:
            if counted.is_shared:
                place = (wallet.member >> 56, counted.name, counted.window)
                self.spent[place] = self.escrow[place]
                self.escrow[place].used += counted.increment
            elif (counted.name, counted.window) in wallet.counts:
                self.counted.add((wallet.member, (counted.name, counted.window)))


def decide_all(
    loaded: Loaded,
    commands: Sequence[Command],
    keys: Sequence[Keys | None],
    at: datetime,
    calendar: Calendar,
) -> Draft:
    """Decide every command in turn; one that faults is left out and the rest decided again."""
    faults: dict[int, Fault] = {}
    while True:
        draft = Draft(loaded, at, calendar, len(commands))
        for index, (command, own) in enumerate(zip(commands, keys, strict=True)):
            if index in faults:
                draft.answers.append(faults[index])
                continue
            try:
                draft.answers.append(_decide_one(draft, command, own))
            except Exception as error:  # noqa: BLE001 - a fault of one command must not be everybody's
                # Its half-made changes are in the wallets, so the whole batch starts over.
                faults[index] = Fault(error)
                break
        else:
            return draft


def _decide_one(draft: Draft, command: Command, keys: Keys | None) -> Outcome | Moved:
    """The answer to a command, with what it comes to added to the draft."""
    bucket = command.bucket
    block = draft.blocks[bucket]
    head = block.head
    if keys is not None:
        repeat = _repeat(draft, command, keys)
        if repeat is not None:
            return repeat
    if head.is_fenced:
        return _not_stored(draft, command, BucketFenced())
    if isinstance(command, PassFence):
        return Outcome(operation=0, kind="pass_fence", recorded_at=block.at, balance=Balance())
    if isinstance(command, PostMoney) and keys is not None:
        return _claim(draft, command, keys, _post_money(draft, command))
    member = draft.loaded.member_of(command)
    if not member or member >> 56 != bucket:
        return _not_stored(draft, command, HoldNotFound())
    wallet = draft.wallet(member)
    if wallet.merged_into and keys is not None and _is_survivors(draft, command, keys):
        return Moved(wallet.merged_into)
    _apply_due(draft, wallet)
    if isinstance(command, Settle) or keys is None:
        return Outcome(operation=0, kind="settle", recorded_at=block.at, balance=wallet.balance())
    if command.refused is not None and command.refused.retryable:
        return _unstored(draft, command, wallet, command.refused)
    try:
        outcome = _post_command(draft, wallet, command, keys)
    except Refusal as refusal:
        if refusal.retryable:
            return _unstored(draft, command, wallet, Refused.of(refusal))
        outcome = _post_refusal(draft, wallet, command, Refused.of(refusal))
    _send_after_survivor(draft, wallet)
    return _claim(draft, command, keys, outcome)


def _repeat(draft: Draft, command: Command, keys: Keys) -> Outcome | None:
    """The first answer to this key, if there was one: in this batch or long ago."""
    owner = draft.claimed.get(keys.own) or draft.loaded.keys.get(keys.own)
    if owner is None:
        return None
    operation, _ = owner
    fresh = draft.outcomes.get(operation)
    if fresh is not None:
        outcome, digest = fresh
    else:
        stored = draft.loaded.stored[operation]
        digest = stored.digest
        outcome = msgspec.structs.replace(read_outcome(operation, stored.outcome), detail=stored.detail)
    if digest != command.digest:
        return _not_stored(draft, command, IdempotencyConflict())
    return msgspec.structs.replace(outcome, replayed=True)


def _post_money(draft: Draft, command: PostMoney) -> Outcome:
    return draft.blocks[command.bucket].post(
        kind=kind_of(command),
        member=0,
        balance=Balance(),
        command=command,
        journal=None,
        refused=None,
        occurred_at=command.occurred_at,
    )


def _is_survivors(draft: Draft, command: Command, keys: Keys) -> bool:
    """Whether a merged member's command is for the survivor: what was claimed here stays here."""
    if not follows_survivor(command):
        return False
    return not any(_is_taken(draft, claim) for claim in (keys.receipt, keys.token))


def _apply_due(draft: Draft, wallet: Wallet) -> None:
    """Release, lapse and expire what is due, each as an operation of its own."""
    block = draft.blocks[wallet.member >> 56]
    while wallet.next_due_at is not None and wallet.next_due_at <= block.at:
        situation = Situation(block.next_operation, block.at, draft.calendar.zone)
        journal = next_due(wallet, situation)
        if journal is None:
            return
        draft.post(wallet, journal.kind, None, journal, journal.occurred_at or block.at)
        _send_after_survivor(draft, wallet)


def _post_command(draft: Draft, wallet: Wallet, command: Command, keys: Keys) -> Outcome:
    if command.refused is not None:
        return _post_refusal(draft, wallet, command, command.refused)
    if keys.receipt and _is_taken(draft, keys.receipt):
        raise DuplicateReceipt(getattr(command, "receipt").number)  # noqa: B009
    if keys.token and _is_taken(draft, keys.token):
        raise MemberTokenUsed
    block = draft.blocks[command.bucket]
    situation = Situation(block.next_operation, block.at, draft.calendar.zone, draft.escrow)
    journal = decide(wallet, command, situation)
    return draft.post(wallet, journal.kind, command, journal, command.occurred_at)


def _post_refusal(draft: Draft, wallet: Wallet, command: Command, refused: Refused) -> Outcome:
    """Store a final refusal under its key: a repeat gets the same no."""
    return draft.blocks[command.bucket].post(
        kind=kind_of(command),
        member=wallet.member,
        balance=wallet.balance(),
        command=command,
        journal=None,
        refused=refused,
        occurred_at=command.occurred_at,
    )


def _send_after_survivor(draft: Draft, wallet: Wallet) -> None:
    """What has come to a merged wallet, or is owed by it, goes to its survivor: operations of their own."""
    if not wallet.merged_into:
        return
    block = draft.blocks[wallet.member >> 56]
    zone = draft.calendar.zone
    while (journal := follow(wallet, Situation(block.next_operation, block.at, zone))) is not None:
        draft.post(wallet, journal.kind, None, journal, block.at)


def _claim(draft: Draft, command: Command, keys: Keys, outcome: Outcome) -> Outcome:
    """Let the operation own its key, and its receipt and member token if it was accepted."""
    owner = (outcome.operation, instant(outcome.recorded_at))
    claims = keys.all if outcome.refused is None else (keys.own,)
    for claim in claims:
        draft.claimed[claim] = owner
    draft.key_rows += key_rows(claims, *owner)
    draft.outcomes[outcome.operation] = (outcome, command.digest)
    msgspec.structs.force_setattr(outcome, "detail", command.detail)
    return outcome


def _is_taken(draft: Draft, claim: bytes) -> bool:
    return claim in draft.claimed or claim in draft.loaded.keys


def _not_stored(draft: Draft, command: Command, refusal: Refusal) -> Outcome:
    member = draft.loaded.member_of(command)
    wallet = draft.wallet(member) if member else new_wallet(0)
    return _unstored(draft, command, wallet, Refused.of(refusal))


def _unstored(draft: Draft, command: Command, wallet: Wallet, refused: Refused) -> Outcome:
    return Outcome(
        operation=0,
        kind=kind_of(command),
        recorded_at=draft.blocks[command.bucket].at,
        balance=wallet.balance(),
        refused=refused,
    )
