"""What a batch reads before it decides: keys, wallets, and of lots and holds no more than it needs.

An earn needs balances alone. A wallet on which something has fallen due needs what is due, and
when the rest will be. Captures need all lots, a burn those that it takes. The first flight locks the heads
and brings all that the commands name; another goes only for what was found to be needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from . import counter_store, escrow, lookback, store
from .accounts import AVAILABLE, CLAWBACK_DUE, HELD, PENDING, POINTS_KINDS
from .allowances import Allowance, Place, needs_of
from .binary import instant, moment, point_in_time
from .changing import lots_of_obligor, named_lots
from .commands import Command, Conclude, Novate
from .counters import Key, make_sense, unpack
from .decide import NEEDS_WHOLE_WALLET
from .dues import Due
from .foreseen import Foreseen
from .kernel.packing import bigint, bigints, instants, smallints
from .kernel.wire import Wire
from .keys import Keys, claim_of
from .lots import NONE_LEFT, Turn
from .purchases import Purchases
from .soonest import Appetite, burned, covering, in_order, soonest, turn
from .store import Head, Stored
from .transit_saving import load_transits
from .transits import Transit
from .wallet import Wallet, new_wallet

Row = tuple[Any, ...]


class Loaded(msgspec.Struct):
    """What the database says about the commands of a batch, before any is decided.

    `driven_at` is the row of the driven clock, `server_at` what PostgreSQL's own clock said. `keys` gives for
    a claim the operation that made it and when, in microseconds. `whole` are the members of whom all lots
    with points are read, `burning` those of whom the first few are, and the points that they burn. Of what
    was not loaded of a member, `rest_due_at` says when the first falls due, never too late, and `unread_from`
    the turn before which no lot has points. `moved` are the wallets that stand already as foreseen.
    """

    heads: dict[int, Head]
    driven_at: datetime
    server_at: datetime
    keys: dict[bytes, tuple[int, int]]
    balances: dict[int, Row]
    lots: dict[int, list[Row]]
    hold_members: dict[int, int]
    whole: set[int]
    burning: Mapping[int, int] = {}
    stored: dict[int, Stored] = {}
    rest_due_at: dict[int, datetime | None] = {}
    unread_from: dict[int, Turn] = {}
    moved: dict[int, Row] = {}
    holds: dict[int, list[Row]] = {}
    slices: dict[int, list[Row]] = {}
    transits: dict[int, Transit] = {}
    dues: dict[int, list[Row]] = {}
    purchases: dict[int, Purchases] = {}
    counts: dict[int, dict[Key, bytes]] = {}
    escrow: dict[Place, Allowance] = {}

    def latest(self, at: datetime) -> datetime:
        """The instant at which everything is decided: never before what a bucket has recorded."""
        return max(at, *(head.recorded_at for head in self.heads.values()))

    def member_of(self, command: Command) -> int:
        """Whose wallet a command is about; 0 if it names a hold that does not exist."""
        return command.member or self.hold_members.get(getattr(command, "hold", 0), 0)

    def wallet(self, member: int) -> Wallet:
        """The member's wallet as it was loaded: a fresh value each time."""
        row = self.balances.get(member)
        if row is None:
            return new_wallet(member)
        _, pending, available, held, due, due_at, is_frozen, merged_into, expires_at, first_lot, place = row
        sums = [0] * POINTS_KINDS
        sums[PENDING], sums[AVAILABLE], sums[HELD], sums[CLAWBACK_DUE] = pending, available, held, -due
        next_due_at = moment(due_at)
        wallet = Wallet(
            member,
            sums,
            next_due_at=next_due_at,
            rest_due_at=self.rest_due_at.get(member, next_due_at),
            is_frozen=is_frozen,
            merged_into=merged_into,
            unread_from=self.unread_from.get(member, (expires_at, first_lot)),
            place=place,
            lots={row[store.LOT_ID]: store.lot(row) for row in self.lots.get(member, ())},
        )
        if self.holds or self.transits or self.dues or self.purchases or self.counts:
            self._add_rare(wallet)
        return wallet

    def _add_rare(self, wallet: Wallet) -> None:
        """What few wallets have, and most batches nothing of."""
        member = wallet.member
        wallet.holds = {
            row[0]: store.hold(row, self.slices.get(row[0], ())) for row in self.holds.get(member, ())
        }
        wallet.transits = {id_: each for id_, each in self.transits.items() if each.member == member}
        wallet.dues = {row[1]: Due(*row[1:]) for row in self.dues.get(member, ())}
        wallet.counts = {key: unpack(cells) for key, cells in self.counts.get(member, {}).items()}
        if member in self.purchases:
            wallet.purchases = self.purchases[member].copy()


class Misjudged(Exception):
    """A batch took for granted what is not so: it is to be decided again, looking first."""


async def lock(
    wire: Wire,
    commands: Sequence[Command],
    asked: Iterable[bytes],
    foreseen: Mapping[int, Foreseen],
    at: datetime,
    appetite: Appetite,
) -> Loaded:
    """Begin a transaction, lock the heads of `commands`, and read all that they name.

    Of claims, those `asked` for are looked up. Wallets of members `foreseen` are moved on the way,
    those that can be at `at`. Of burns the first lots are read, as many as the lane has `appetite` for.
    """
    asked = sorted(asked)
    burning = burned(commands)
    members = {command.member for command in commands if command.member} - foreseen.keys() - burning.keys()
    whole = {command.member for command in commands if command.member and type(command) in NEEDS_WHOLE_WALLET}
    whole -= burning.keys()
    holds = {hold for command in commands if (hold := getattr(command, "hold", 0))}
    flight = wire.flight()
    flight.run(store.BEGIN)
    heads = flight.run(store.LOCK_HEADS, smallints(sorted({command.bucket for command in commands})))
    known = flight.run(store.KEYS, *store.of_keys(asked)) if asked else None
    moved = flight.run(store.MOVE_WALLETS, *_gains(foreseen), bigint(instant(at))) if foreseen else None
    balances = flight.run(store.WALLETS, *store.of_members(sorted(members))) if members else None
    lots = flight.run(store.LOTS, *store.of_members(sorted(whole))) if whole else None
    most = bigint(appetite.lots)
    first = flight.run(store.FIRST_LOTS, *store.of_members(sorted(burning)), most) if burning else None
    hold_members = flight.run(store.HOLD_MEMBERS, *store.of_members(sorted(holds))) if holds else None
    results = await flight.land()

    def rows(index: int | None) -> list[Row]:
        return [] if index is None else results[index]

    loaded = Loaded(
        heads={row[0]: store.head(row) for row in rows(heads)},
        driven_at=point_in_time(rows(heads)[0][8]),
        server_at=point_in_time(rows(heads)[-1][9]),
        keys={claim_of(row[0], row[1]): (row[2], row[3]) for row in rows(known)},
        balances={row[0]: row for row in rows(balances)},
        lots=_by_first(rows(lots)),
        hold_members={row[0]: row[1] for row in rows(hold_members)},
        whole=whole,
        burning=burning,
        moved={row[0]: row for row in rows(moved)},
    )
    for row in rows(first):
        loaded.balances[row[0]] = row[: store.WALLET_WIDTH]
        if row[store.WALLET_WIDTH]:
            loaded.lots.setdefault(row[0], []).append((row[0], *row[store.WALLET_WIDTH :]))
    for member, row in loaded.moved.items():
        gain = foreseen[member]
        loaded.balances[member] = store.wallet_before(row, gain.pending, gain.available)
    if len(loaded.moved) < len(foreseen):
        await _load_unmoved(wire, loaded, foreseen.keys() - loaded.moved.keys())
    return loaded


def _gains(foreseen: Mapping[int, Foreseen]) -> store.Params:
    return (
        *store.of_members([*foreseen]),
        bigints([gain.pending for gain in foreseen.values()]),
        bigints([gain.available for gain in foreseen.values()]),
        instants([gain.due_at for gain in foreseen.values()]),
        instants([gain.lots_from for gain in foreseen.values()]),
    )


async def _load_unmoved(wire: Wire, loaded: Loaded, members: Iterable[int]) -> None:
    """Wallets that could not be moved unseen: those not there yet, and those with more to them."""
    flight = wire.flight()
    flight.run(store.WALLETS, *store.of_members(sorted(members)))
    (rows,) = await flight.land()
    loaded.balances.update({row[0]: row for row in rows})


async def is_any_known(wire: Wire, asked: Iterable[bytes]) -> bool:
    """Whether one of these claims was made before. The heads are locked."""
    flight = wire.flight()
    flight.run(store.KEYS, *store.of_keys(sorted(asked)))
    (known,) = await flight.land()
    return bool(known)


async def load(
    wire: Wire,
    loaded: Loaded,
    commands: Sequence[Command],
    keys: Sequence[Keys | None],
    at: datetime,
    appetite: Appetite,
) -> None:
    """Bring what the first look showed to be needed at `at`. The heads are locked."""
    latest = loaded.latest(at)
    await _load_rest_of_holds(wire, loaded)
    if loaded.burning:
        await _load_rest_of_lots(wire, loaded, appetite, instant(latest))
    whole = loaded.whole & loaded.balances.keys()
    due = [member for member in _due(loaded, instant(latest)) if member not in whole]
    repeats = (
        [place for own in keys if own is not None and (place := loaded.keys.get(own.own))]
        if loaded.keys
        else []
    )
    if due or repeats:
        whole |= await _load_due(wire, loaded, due, repeats, latest)
    loaded.rest_due_at.update(dict.fromkeys(whole))
    loaded.unread_from.update(dict.fromkeys(whole, NONE_LEFT))
    backward = lookback.backward(commands)
    if backward:
        found = await lookback.load(wire, backward)
        loaded.purchases.update(found.of_member)
        loaded.hold_members.update(found.holds)
    await _load_holds(wire, loaded, whole)
    await _load_rare(wire, loaded, commands)
    if backward:
        await _load_emptied(wire, loaded, found.lots)
    _leave_lots(loaded, instant(latest))
    debtors = [member for member, row in loaded.balances.items() if row[store.OWED]]
    if debtors:
        await _load_dues(wire, loaded, debtors)


async def load_counted(
    wire: Wire,
    loaded: Loaded,
    commands: Sequence[Command],
    keys: Sequence[Keys | None],
    *,
    at: datetime,
    zone: ZoneInfo,
    pools: escrow.Pools,
) -> None:
    """What the counters of `commands` stand at; asks nothing when none carries any.

    Raises `allowances.Short` unless the escrows hold what the new ones among them would spend.
    """
    counting = [command for command in commands if command.counters]
    if not counting:
        return
    members = {loaded.member_of(command) for command in counting} - {0}
    loaded.counts.update(await counter_store.load(wire, members))
    times = {bucket: max(at, head.recorded_at) for bucket, head in loaded.heads.items()}
    fresh = {
        own.own: command
        for command, own in zip(commands, keys, strict=True)
        if own is not None
        and command.refused is None
        and own.own not in loaded.keys
        and not loaded.heads[command.bucket].is_fenced
        and make_sense(command.counters, times[command.bucket], zone)
    }
    needs = needs_of(fresh.values(), times, zone)
    if needs:
        loaded.escrow.update(await escrow.draw(wire, needs, pools))


async def _load_rest_of_holds(wire: Wire, loaded: Loaded) -> None:
    """Wallets and lots of the members that were named by their holds alone."""
    members = sorted(set(loaded.hold_members.values()) - loaded.whole)
    if not loaded.moved.keys().isdisjoint(members):
        raise Misjudged  # such a wallet does more than earn, and was moved before that was known
    if members:
        loaded.whole.update(members)
        flight = wire.flight()
        flight.run(store.WALLETS, *store.of_members(members))
        flight.run(store.LOTS, *store.of_members(members))
        balances, lots = await flight.land()
        loaded.balances.update({row[0]: row for row in balances})
        loaded.lots.update(_by_first(lots))


async def _load_rest_of_lots(wire: Wire, loaded: Loaded, appetite: Appetite, latest: int) -> None:
    """All lots of those whose burns may come to more than the first few."""
    most, needed, short = appetite.lots, 0, []
    for member, points in loaded.burning.items():
        row, lots = loaded.balances.get(member), in_order(loaded.lots.get(member, ()))
        if row is None or member in loaded.whole:
            continue
        count = covering(lots, points)
        needed = max(needed, count or 0)
        if len(lots) < most:
            loaded.whole.add(member)  # there are no more
        elif count is None or _may_need_any(row, latest):
            short.append(member)
        else:
            loaded.lots[member] = lots[:count]
            loaded.rest_due_at[member] = moment(row[store.DUE_AT])
            loaded.unread_from[member] = turn(lots[min(count, most - 1)])
    if short:
        loaded.whole.update(short)
        flight = wire.flight()
        flight.run(store.LOTS, *store.of_members(sorted(short)))
        loaded.lots.update(_by_first((await flight.land())[0]))
        found = (covering(in_order(loaded.lots[member]), loaded.burning[member]) for member in short)
        needed = max(needed, *(count or 0 for count in found))
    appetite.note(needed)


def _may_need_any(row: Row, latest: int) -> bool:
    """True of a wallet that owes or on which something has fallen due: any lot may be asked for."""
    return bool(row[store.OWED]) or row[store.DUE_AT] <= latest


def _leave_lots(loaded: Loaded, latest: int) -> None:
    """Leave the lots that burns will not come to, of members of whom all were read.

    What falls due, a capture or a return may ask for any lot, and a debt is paid from any.
    """
    named = set(loaded.hold_members.values())
    for member, points in loaded.burning.items():
        lots = loaded.lots.get(member, ())
        if (
            len(lots) < 2
            or member not in loaded.whole
            or member in named
            or _may_need_any(loaded.balances[member], latest)
        ):
            continue
        loaded.lots[member], rest = soonest(lots, points)
        loaded.rest_due_at[member], loaded.unread_from[member] = moment(rest.due_at), rest.lots_from


def _due(loaded: Loaded, latest: int) -> list[int]:
    return [member for member, row in loaded.balances.items() if row[store.DUE_AT] <= latest]


async def _load_due(
    wire: Wire, loaded: Loaded, due: list[int], repeats: list[tuple[int, int]], latest: datetime
) -> set[int]:
    """The operations that repeats are answered with, and what is due; members that are needed whole."""
    flight = wire.flight()
    if repeats:
        flight.run(store.STORED, *store.of_places(repeats))
    if due:
        instant_due = bigint(instant(latest))
        flight.run(store.REST_DUE, *store.of_members(due), instant_due)
        flight.run(store.DUE_LOTS, *store.of_members(due), instant_due)
    results = await flight.land()
    if repeats:
        rows: list[Row] = results.pop(0)
        loaded.stored.update(
            {int.from_bytes(row[0]): Stored(int.from_bytes(row[0]), *row[1:]) for row in rows}
        )
    if not due:
        return set()
    rest_due, due_lots = results
    # A lapse gives points back to lots that may not be due.
    lapsing = {member for member, _, hold_at, _ in rest_due if hold_at <= instant(latest)}
    for member, lots_at, hold_at, lots_from in rest_due:
        loaded.rest_due_at[member] = moment(min(lots_at, hold_at))
        loaded.unread_from[member] = (lots_from, 0)
    loaded.lots.update(_by_first(due_lots))
    if lapsing:
        flight = wire.flight()
        flight.run(store.LOTS, *store.of_members(sorted(lapsing)))
        loaded.lots.update(_by_first((await flight.land())[0]))
    return lapsing


async def _load_rare(wire: Wire, loaded: Loaded, commands: Sequence[Command]) -> None:
    """What only a few commands need: transits with the lots they left, and the lots of an obligor."""
    named = sorted({command.transfer for command in commands if isinstance(command, Conclude)})
    if named:
        loaded.transits.update(await load_transits(wire, named))
        left = {(each.member, part.lot) for each in loaded.transits.values() for part in each.parts}
        if left:
            _add_lots(loaded, await named_lots(wire, sorted(left)))
    leaving = {(c.member, c.leaver, c.tariff) for c in commands if isinstance(c, Novate)}
    if leaving:
        _add_lots(loaded, await lots_of_obligor(wire, sorted(leaving)))


def _add_lots(loaded: Loaded, found: Iterable[Row]) -> None:
    known = {(member, row[store.LOT_ID]) for member, lots in loaded.lots.items() for row in lots}
    for row in found:
        member = row[0]
        if (member, row[store.LOT_ID]) not in known:
            loaded.lots.setdefault(member, []).append(row)


async def _load_holds(wire: Wire, loaded: Loaded, whole: set[int]) -> None:
    """Holds with their slices, and the empty lots these came from: of `whole` that hold, and those named."""
    holding = sorted(member for member in whole if loaded.balances[member][store.HELD])
    named = sorted(loaded.hold_members)
    if not holding and not named:
        return
    flight = wire.flight()
    asked = (*store.of_members(holding), *store.of_members(named))
    flight.run(store.HOLDS, *asked)
    flight.run(store.SLICES, *asked)
    holds, slices = await flight.land()
    member_of: dict[int, int] = {}
    for row in holds:
        hold, member, *_ = row
        member_of[hold] = member
        loaded.holds.setdefault(member, []).append(row)
    loaded.slices.update(_by_first(slices))
    pinned = {(member_of[hold], lot) for hold, _, lot, *_ in slices}
    members = set(member_of.values())
    read = {(member, row[store.LOT_ID]) for member in members for row in loaded.lots.get(member, ())}
    await _load_emptied(wire, loaded, sorted(pinned - read))


async def _load_emptied(wire: Wire, loaded: Loaded, lots: Sequence[tuple[int, int]]) -> None:
    """Lots, (member, id), in which nothing is left: a hold may give back to them, or a return fill them."""
    if lots:
        flight = wire.flight()
        flight.run(store.EMPTY_LOTS, *store.of_lots(lots))
        for row in (await flight.land())[0]:
            loaded.lots.setdefault(row[0], []).append(row)


async def _load_dues(wire: Wire, loaded: Loaded, debtors: Sequence[int]) -> None:
    flight = wire.flight()
    flight.run(lookback.DUES, *store.of_members(debtors))
    loaded.dues.update(_by_first((await flight.land())[0]))


def _by_first(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """Rows gathered by their first column."""
    gathered: dict[int, list[Row]] = {}
    for row in rows:
        gathered.setdefault(row[0], []).append(row)
    return gathered
