"""A batch: commands of one lane decided together and committed together, in one transaction.

Lock the heads, load what the commands touch, decide in memory command by command (`ledger.draft`), write,
commit. A refusal is an answer like any other and never aborts the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from . import lookback, saving, store
from .block import Block
from .commands import Command
from .draft import Answer, Draft, decide_all
from .escrow import Pools
from .fence import Calendar
from .foreseen import foresee
from .kernel.clock import MOST_AHEAD
from .kernel.packing import integer
from .kernel.wire import Flight, ServerRefused, Wire
from .keys import Keys
from .loading import Misjudged, is_any_known, load, load_counted, lock
from .soonest import Appetite

_FIRST_DAY: Final = date(2000, 1, 1)
"""PostgreSQL counts the days of a date from here."""


class StateLost(Exception):
    """A row of state that must be there is not: nothing is written on such ground."""


class CalendarOutrun(Exception):
    """Programme time has left the calendar that this process knows."""


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
        draft = decide_all(loaded, commands, keys, at, calendar)
        if not is_careful:
            _check_foreseen(draft)
            await _look_for_unseen(wire, draft, keys)
        await _write(wire, draft)
    except BaseException as error:
        await _roll_back(wire)
        meaning = _meaning(error, is_careful=is_careful)
        if meaning is None:
            raise
        raise meaning from error
    months |= made
    return draft.answers


def _asked(keys: Sequence[Keys | None]) -> set[bytes]:
    """Everything that the commands claim."""
    return {claim for own in keys if own is not None for claim in own.all}


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


def _check_foreseen(draft: Draft) -> None:
    """Raise `Misjudged` unless the wallets that were moved ahead are decided to be where they stand."""
    for member, row in draft.loaded.moved.items():
        wallet = draft.wallets.get(member)
        if wallet is None or wallet.stands() != (*row[1:4], 0, row[4]):
            raise Misjudged


async def _look_for_unseen(wire: Wire, draft: Draft, keys: Sequence[Keys | None]) -> None:
    """Raise `Misjudged` if something claimed before is not inserted: no key would object."""
    if len(draft.claimed) == sum([len(own.all) for own in keys if own is not None]):
        return
    unseen = _asked(keys) - draft.claimed.keys()
    if unseen and await is_any_known(wire, unseen):
        raise Misjudged


async def _write(wire: Wire, draft: Draft) -> None:
    """Write what was decided and commit, in one flight; with nothing to write, let go of the heads."""
    flight = wire.flight()
    written = [block for block in draft.blocks.values() if block.operations or block.moved_fences]
    if written:
        saving.write_operations(flight, draft.key_rows, written)
        flight.depart()  # PostgreSQL writes them down while the blocks are closed
        for block in written:
            block.close()
    if written or draft.changed:  # when a wallet is due next may be news without any operation
        saving.write_changes(flight, _changes(draft, written))
        lookback.save(flight, draft.changed_dues.values(), draft.marks.values())
    flight.run(store.COMMIT)
    await flight.land()


def _changes(draft: Draft, written: Sequence[Block]) -> saving.Changes:
    return saving.Changes(
        blocks=written,
        wallets=[draft.wallets[member] for member in draft.changed - draft.loaded.moved.keys()],
        new_lots=list(draft.new_lots.values()),
        changed_lots=list(draft.changed_lots.values()),
        new_holds=list(draft.new_holds.values()),
        changed_holds=list(draft.changed_holds.values()),
        reset_lots=list(draft.reset_lots.values()),
        reset_holds=list(draft.reset_holds.values()),
        merged=draft.merged,
        sent=draft.sent,
        concluded=draft.concluded,
        counts=[(member, key, draft.wallets[member].counts[key]) for member, key in sorted(draft.counted)],
        spent=draft.spent,
        frozen=[draft.wallets[member] for member in sorted(draft.frozen)],
    )


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
