"""A batch: commands of one lane decided together and committed together.

Lock the heads, load what the commands touch, decide in memory command by command, write,
commit. A refusal is an answer like any other and never aborts the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from . import lookback, saving, store
from .allowances import Allowance, Place
from .binary import instant, key_rows
from .block import Block, salts
from .commands import Command, PassFence, PostMoney, Refused, Settle
from .counters import Key
from .decide import Situation, decide, follow, follows_survivor, kind_of, next_due, recover
from .dues import Due
from .escrow import Pools
from .fence import Calendar
from .foreseen import foresee
from .holds import Hold
from .journal import Journal
from .kernel.clock import MOST_AHEAD
from .kernel.packing import integer
from .kernel.refusals import Refusal
from .kernel.wire import Flight, ServerRefused, Wire
from .keys import Keys
from .loading import Loaded, Misjudged, is_any_known, load, load_counted, lock
from .lots import Lot
from .outcomes import Balance, Outcome
from .refusals import BucketFenced, DuplicateReceipt, HoldNotFound, IdempotencyConflict, MemberTokenUsed
from .returned import Mark
from .soonest import Appetite
from .transits import Conclusion, Transit
from .wallet import Wallet, new_wallet

_FIRST_DAY: Final = date(2000, 1, 1)
"""PostgreSQL counts the days of a date from here."""

_decode_outcome: Final = msgspec.msgpack.Decoder(Outcome).decode


class Fault(msgspec.Struct, frozen=True):
    """A command that failed by our own mistake: nothing of it was posted."""

    error: Exception


class StateLost(Exception):
    """A row of state that must be there is not: nothing is written on such ground."""


class Moved(msgspec.Struct, frozen=True):
    """The member was merged into another, whom the command means: nothing was posted here."""

    survivor: int


class CalendarOutrun(Exception):
    """Programme time has left the calendar that this process knows."""


Answer = Outcome | Fault | Moved


async def run(
    wire: Wire,
    commands: Sequence[Command],
    *,
    calendar: Calendar,
    calendar_is_fresh: bool,
    months: set[date],
    now: Callable[[], datetime],
    clock_is_driven: bool,
    is_careful: bool,
    pools: Pools,
    appetite: Appetite,
) -> list[Answer]:
    """Post `commands` in one transaction and give their answers, in order.

    `months` are those whose partitions are known to exist; more may be added. Most commands are
    new, and then their keys are inserted unseen: the primary key is the judge, under the heads'
    locks. Most earns go through, and their wallets are moved as they are read. A batch that
    `is_careful` looks first, and can answer repeats.

    Raises `Misjudged` when a batch that is not careful ought to have been, `CalendarOutrun` when
    time has left the calendar given, unless it has just been read, `StateLost` when a row of
    state is missing, and `allowances.Short` when escrow of other buckets is to be called back first.
    """
    keys = [Keys.of(command) if command.key else None for command in commands]
    try:
        if is_careful:
            loaded = await lock(wire, commands, _asked(keys), {}, now(), appetite)
        else:
            foreseen = foresee(commands, now(), arms_at_release=calendar.notice_days is None)
            loaded = await lock(wire, commands, (), foreseen, now(), appetite)
        at = loaded.driven_at if clock_is_driven else min(now(), loaded.server_at + MOST_AHEAD)
        latest = loaded.latest(at)
        if not calendar_is_fresh and not calendar.reaches(latest):
            raise CalendarOutrun
        made = await _make_partitions(wire, latest, months)
        await load(wire, loaded, commands, keys, at, appetite)
        await load_counted(wire, loaded, commands, keys, at=at, zone=calendar.zone, pools=pools)
        decided = _decide_all(loaded, commands, keys, at, calendar)
        if not is_careful:
            _check_foreseen(decided)
            await _look_for_unseen(wire, decided, keys)
        await _write(wire, decided)
    except BaseException as error:
        await _roll_back(wire)
        meaning = _meaning(error, is_careful=is_careful)
        if meaning is None:
            raise
        raise meaning from error
    months |= made
    return decided.answers


def _asked(keys: Sequence[Keys | None]) -> set[bytes]:
    """Everything that the commands claim."""
    return {claim for own in keys if own is not None for claim in own.all}


def _check_foreseen(decided: _Decided) -> None:
    """Raise `Misjudged` unless the wallets that were moved ahead are decided to be where they stand."""
    for member, row in decided.loaded.moved.items():
        wallet = decided.wallets.get(member)
        if wallet is None or wallet.stands() != (*row[1:4], 0, row[4]):
            raise Misjudged


async def _look_for_unseen(wire: Wire, decided: _Decided, keys: Sequence[Keys | None]) -> None:
    """Raise `Misjudged` if something claimed before is not inserted: no key would object."""
    if len(decided.claimed) == sum([len(own.all) for own in keys if own is not None]):
        return
    unseen = _asked(keys) - decided.claimed.keys()
    if unseen and await is_any_known(wire, unseen):
        raise Misjudged


def _meaning(error: BaseException, *, is_careful: bool) -> Exception | None:
    """What an error of the server says about the batch, if it says anything.

    A key that a careful batch did not find and yet is there would be our own fault, not a repeat.
    """
    if isinstance(error, ServerRefused):
        if error.constraint == saving.KEYS_ARE_UNIQUE and not is_careful:
            return Misjudged()
        if error.code == store.DIVISION_BY_ZERO:
            return StateLost("a row of state that must be there is not")
    return None


async def _roll_back(wire: Wire) -> None:
    """Leave the connection as it was found, if it is still there."""
    if not wire.is_lost:
        if wire.departed is not None:
            await _abandon(wire, wire.departed)
        flight = wire.flight()
        flight.run(store.ROLLBACK)
        await flight.land()


async def _abandon(wire: Wire, departed: Flight) -> None:
    """Let a flight land that will not be whole, so that what it has written can be rolled back."""
    try:
        await departed.land()
    except ServerRefused:
        pass
    except BaseException:
        wire.close()  # or the next batch would commit what is left of this one
        raise


async def _make_partitions(wire: Wire, at: datetime, known: set[date]) -> set[date]:
    """See to it that history of this month and of the next has a place. Gives the months made.

    Before anything is read or written, so that nobody waits for a lock that we hold.
    """
    this = at.date().replace(day=1)
    missing = {this, (this + timedelta(days=32)).replace(day=1)} - known
    if missing:
        flight = wire.flight()
        for month in sorted(missing):
            flight.run(store.MAKE_PARTITIONS, integer((month - _FIRST_DAY).days))
        await flight.land()
    return missing


class _Decided:
    """The batch as decided: what to answer and what to write."""

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


def _decide_all(
    loaded: Loaded,
    commands: Sequence[Command],
    keys: Sequence[Keys | None],
    at: datetime,
    calendar: Calendar,
) -> _Decided:
    """Decide every command in turn; one that faults is left out and the rest decided again."""
    faults: dict[int, Fault] = {}
    while True:
        decided = _Decided(loaded, at, calendar, len(commands))
        for index, (command, own) in enumerate(zip(commands, keys, strict=True)):
            if index in faults:
                decided.answers.append(faults[index])
                continue
            try:
                decided.answers.append(_decide_one(decided, command, own))
            except Exception as error:  # noqa: BLE001 - a fault of one command must not be everybody's
                # Its half-made changes are in the wallets, so the whole batch starts over.
                faults[index] = Fault(error)
                break
        else:
            return decided


def _decide_one(decided: _Decided, command: Command, keys: Keys | None) -> Outcome | Moved:
    bucket = command.bucket
    block = decided.blocks[bucket]
    head = block.head
    if keys is not None:
        repeat = _repeat(decided, command, keys)
        if repeat is not None:
            return repeat
    if head.is_fenced:
        return _not_stored(decided, command, BucketFenced())
    if isinstance(command, PassFence):
        return Outcome(operation=0, kind="pass_fence", recorded_at=block.at, balance=Balance())
    if isinstance(command, PostMoney) and keys is not None:
        return _claim(decided, command, keys, _post_money(decided, command))
    member = decided.loaded.member_of(command)
    if not member or member >> 56 != bucket:
        return _not_stored(decided, command, HoldNotFound())
    wallet = decided.wallet(member)
    if wallet.merged_into and keys is not None and _is_survivors(decided, command, keys):
        return Moved(wallet.merged_into)
    _apply_due(decided, wallet)
    if isinstance(command, Settle) or keys is None:
        return Outcome(operation=0, kind="settle", recorded_at=block.at, balance=wallet.balance())
    if command.refused is not None and command.refused.retryable:
        return _unstored(decided, command, wallet, command.refused)
    try:
        outcome = _post_command(decided, wallet, command, keys)
    except Refusal as refusal:
        if refusal.retryable:
            return _unstored(decided, command, wallet, Refused.of(refusal))
        outcome = _post_refusal(decided, wallet, command, Refused.of(refusal))
    _send_after_survivor(decided, wallet)
    return _claim(decided, command, keys, outcome)


def _is_survivors(decided: _Decided, command: Command, keys: Keys) -> bool:
    """Whether a merged member's command is for the survivor: what was claimed here stays here."""
    if not follows_survivor(command):
        return False
    return not any(_is_taken(decided, claim) for claim in (keys.receipt, keys.token))


def _send_after_survivor(decided: _Decided, wallet: Wallet) -> None:
    """What has come to a merged wallet, or is owed by it, goes to its survivor: operations of their own."""
    if not wallet.merged_into:
        return
    block = decided.blocks[wallet.member >> 56]
    while (
        journal := follow(wallet, Situation(block.next_operation, block.at, decided.calendar.zone))
    ) is not None:
        decided.post(wallet, journal.kind, None, journal, block.at)


def _claim(decided: _Decided, command: Command, keys: Keys, outcome: Outcome) -> Outcome:
    """Let the operation own its key, and its receipt and member token if it was accepted."""
    place = (outcome.operation, instant(outcome.recorded_at))
    claims = keys.all if outcome.refused is None else (keys.own,)
    for claim in claims:
        decided.claimed[claim] = place
    decided.key_rows += key_rows(claims, *place)
    decided.outcomes[outcome.operation] = (outcome, command.digest)
    msgspec.structs.force_setattr(outcome, "detail", command.detail)
    return outcome


def _post_money(decided: _Decided, command: PostMoney) -> Outcome:
    return decided.blocks[command.bucket].post(
        kind=kind_of(command),
        member=0,
        balance=Balance(),
        command=command,
        journal=None,
        refused=None,
        occurred_at=command.occurred_at,
    )


def _post_command(decided: _Decided, wallet: Wallet, command: Command, keys: Keys) -> Outcome:
    if command.refused is not None:
        return _post_refusal(decided, wallet, command, command.refused)
    if keys.receipt and _is_taken(decided, keys.receipt):
        raise DuplicateReceipt(getattr(command, "receipt").number)  # noqa: B009
    if keys.token and _is_taken(decided, keys.token):
        raise MemberTokenUsed
    block = decided.blocks[command.bucket]
    situation = Situation(block.next_operation, block.at, decided.calendar.zone, decided.escrow)
    journal = decide(wallet, command, situation)
    return decided.post(wallet, journal.kind, command, journal, command.occurred_at)


def _post_refusal(decided: _Decided, wallet: Wallet, command: Command, refused: Refused) -> Outcome:
    """Store a final refusal under its key: a repeat gets the same no."""
    return decided.blocks[command.bucket].post(
        kind=kind_of(command),
        member=wallet.member,
        balance=wallet.balance(),
        command=command,
        journal=None,
        refused=refused,
        occurred_at=command.occurred_at,
    )


def _apply_due(decided: _Decided, wallet: Wallet) -> None:
    """Release, lapse and expire what is due, each as an operation of its own."""
    block = decided.blocks[wallet.member >> 56]
    while wallet.next_due_at is not None and wallet.next_due_at <= block.at:
        situation = Situation(block.next_operation, block.at, decided.calendar.zone)
        journal = next_due(wallet, situation)
        if journal is None:
            return
        decided.post(wallet, journal.kind, None, journal, journal.occurred_at or block.at)
        _send_after_survivor(decided, wallet)


def _repeat(decided: _Decided, command: Command, keys: Keys) -> Outcome | None:
    """The first answer to this key, if there was one: in this batch or long ago."""
    place = decided.claimed.get(keys.own) or decided.loaded.keys.get(keys.own)
    if place is None:
        return None
    fresh = decided.outcomes.get(place[0])
    if fresh is not None:
        outcome, digest = fresh
    else:
        found = decided.loaded.stored[place[0]]
        outcome, digest = (
            msgspec.structs.replace(_decode_outcome(found.outcome), detail=found.detail),
            found.digest,
        )
    if digest != command.digest:
        return _not_stored(decided, command, IdempotencyConflict())
    return msgspec.structs.replace(outcome, replayed=True)


def _is_taken(decided: _Decided, claim: bytes) -> bool:
    return claim in decided.claimed or claim in decided.loaded.keys


def _not_stored(decided: _Decided, command: Command, refusal: Refusal) -> Outcome:
    member = decided.loaded.member_of(command)
    wallet = decided.wallet(member) if member else new_wallet(0)
    return _unstored(decided, command, wallet, Refused.of(refusal))


def _unstored(decided: _Decided, command: Command, wallet: Wallet, refused: Refused) -> Outcome:
    return Outcome(
        operation=0,
        kind=kind_of(command),
        recorded_at=decided.blocks[command.bucket].at,
        balance=wallet.balance(),
        refused=refused,
    )


async def _write(wire: Wire, decided: _Decided) -> None:
    """Write what was decided and commit, in one flight; with nothing to write, let go of the heads."""
    flight = wire.flight()
    written = [block for block in decided.blocks.values() if block.operations or block.moved_fences]
    if written:
        saving.write_operations(flight, decided.key_rows, written)
        flight.depart()  # PostgreSQL writes them down while the blocks are closed
        for block in written:
            block.close()
    if written or decided.changed:  # when a wallet is due next may be news without any operation
        saving.write_changes(flight, _changes(decided, written))
        lookback.save(flight, decided.changed_dues.values(), decided.marks.values())
    flight.run(store.COMMIT)
    await flight.land()


def _changes(decided: _Decided, written: Sequence[Block]) -> saving.Changes:
    return saving.Changes(
        blocks=written,
        wallets=[decided.wallets[member] for member in decided.changed - decided.loaded.moved.keys()],
        new_lots=list(decided.new_lots.values()),
        changed_lots=list(decided.changed_lots.values()),
        new_holds=list(decided.new_holds.values()),
        changed_holds=list(decided.changed_holds.values()),
        reset_lots=list(decided.reset_lots.values()),
        reset_holds=list(decided.reset_holds.values()),
        merged=decided.merged,
        sent=decided.sent,
        concluded=decided.concluded,
        counts=[
            (member, key, decided.wallets[member].counts[key]) for member, key in sorted(decided.counted)
        ],
        spent=decided.spent,
        frozen=[decided.wallets[member] for member in sorted(decided.frozen)],
    )
