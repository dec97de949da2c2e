"""What a batch reads before it decides: keys, wallets, and of lots and holds no more than it needs.

An earn needs balances alone. A wallet on which something has fallen due needs what is due, and
when the rest will be. Only burns and holds need a wallet whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from . import store
from .accounts import AVAILABLE, CLAWBACK_DUE, HELD, PENDING, POINTS_KINDS
from .block import Head
from .commands import Command
from .decide import NEEDS_WHOLE_WALLET
from .holds import Hold, Slice
from .keys import Keys
from .lots import Lot
from .wallet import Wallet, new_wallet

Row = tuple[Any, ...]


class Loaded(msgspec.Struct, frozen=True):
    """What the database says about the commands of a batch, before any is decided.

    `rest_due_at` says of each member when the first of what was not loaded falls due.
    """

    heads: dict[int, Head]
    keys: dict[tuple[int, bytes], tuple[int, datetime]]
    stored: dict[int, store.Stored]
    balances: dict[int, Row]
    hold_members: dict[int, int]
    rest_due_at: dict[int, datetime | None]
    lots: dict[int, list[Row]]
    holds: dict[int, list[Row]]
    slices: dict[int, list[Row]]

    def member_of(self, command: Command) -> int:
        """Whose wallet a command is about; 0 if it names a hold that does not exist."""
        return command.member or self.hold_members.get(getattr(command, "hold", 0), 0)

    def wallet(self, member: int) -> Wallet:
        """The member's wallet as it was loaded: a fresh value each time."""
        row = self.balances.get(member)
        if row is None:
            return new_wallet(member)
        sums = [0] * POINTS_KINDS
        sums[PENDING], sums[AVAILABLE], sums[HELD], sums[CLAWBACK_DUE] = row[1], row[2], row[3], -row[4]
        return Wallet(
            member,
            sums,
            next_due_at=row[5],
            rest_due_at=self.rest_due_at.get(member, row[5]),
            is_frozen=row[6],
            lots={lot[1]: Lot(*lot[1:]) for lot in self.lots.get(member, ())},
            holds={hold[0]: _hold(hold, self.slices.get(hold[0], ())) for hold in self.holds.get(member, ())},
        )


async def load(
    connection: store.Connection,
    heads: Sequence[Head],
    commands: Sequence[Command],
    keys: Sequence[Keys | None],
    at: datetime,
) -> Loaded:
    """Everything that deciding `commands` at `at` may look at. The heads are locked."""
    known, stored = await _known(connection, commands, keys)
    named_holds = sorted({hold for command in commands if (hold := getattr(command, "hold", 0))})
    hold_members = await store.hold_members(connection, named_holds) if named_holds else {}
    loaded = Loaded(
        heads={head.bucket: head for head in heads},
        keys=known,
        stored=stored,
        balances={},
        hold_members=hold_members,
        rest_due_at={},
        lots={},
        holds={},
        slices={},
    )
    members = sorted({command.member for command in commands if command.member} | set(hold_members.values()))
    loaded.balances.update(await store.balances(connection, members))
    whole = {loaded.member_of(command) for command in commands if type(command) in NEEDS_WHOLE_WALLET}
    await _load_lots(connection, loaded, whole & loaded.balances.keys(), named_holds, at)
    return loaded


async def _known(
    connection: store.Connection, commands: Sequence[Command], keys: Sequence[Keys | None]
) -> tuple[dict[tuple[int, bytes], tuple[int, datetime]], dict[int, store.Stored]]:
    """Which fingerprints were claimed before, and the operations that repeats will be answered with."""
    asked = []
    own = []
    for command, claims in zip(commands, keys, strict=True):
        if claims is not None:
            bucket = command.bucket
            own.append((bucket, claims.own))
            asked += [(bucket, claim) for claim in (claims.own, claims.receipt, claims.token) if claim]
    known = await store.known_keys(connection, sorted(set(asked)))
    return known, await store.stored(connection, {known[place] for place in own if place in known})


async def _load_lots(
    connection: store.Connection, loaded: Loaded, whole: set[int], named_holds: Sequence[int], at: datetime
) -> None:
    """Lots, holds and slices of the wallets that are needed whole, and what is due on the others."""
    latest = max(at, *(head.recorded_at for head in loaded.heads.values()))
    due = {m for m, row in loaded.balances.items() if row[5] is not None and row[5] <= latest} - whole
    if due:
        for member, lots_at, hold_at in await store.rest_due(connection, sorted(due), latest):
            if hold_at is not None and hold_at <= latest:
                whole.add(member)  # a lapse gives points back to lots that may not be due
            else:
                loaded.rest_due_at[member] = min(filter(None, (lots_at, hold_at)), default=None)
        if due - whole:
            loaded.lots.update(await store.due_lots(connection, sorted(due - whole), latest))
    if whole:
        loaded.rest_due_at.update(dict.fromkeys(whole))
        lots, holds, slices = await store.whole(connection, sorted(whole), named_holds)
        loaded.lots.update(lots)
        loaded.holds.update(holds)
        loaded.slices.update(slices)


def _hold(row: Row, slices: Sequence[Row]) -> Hold:
    id_, member, partner, outlet, terms, expires_at, is_open, has_lapsed = row
    parts = [Slice(*part[1:]) for part in slices]
    return Hold(id_, member, partner, outlet, terms, expires_at, is_open, has_lapsed, parts)
