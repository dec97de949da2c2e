"""Restoring burned points: redeemed → available, the last lot that was taken first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

import msgspec

from ledger.accounts import AVAILABLE, REDEEMED
from ledger.journal import Line, of_lot
from ledger.lots import Lot
from ledger.outcomes import LotBack
from ledger.wallet import Wallet, lot_id

from .giving_back import GRACE_DAYS, child_of, end_of_day, has_lapsed
from .situation import Situation


class Redemption(msgspec.Struct, frozen=True):
    """Points redeemed at `redeemer` under `terms`, and how many of them are to be restored.

    `slices` are (lot, points) as they were taken; `restored` came back before, so they are
    skipped from the end.
    """

    redeemer: int
    terms: int
    slices: Sequence[tuple[int, int]]
    restored: int
    points: int


class Restored(msgspec.Struct, frozen=True):
    """The lines that give points back, and the child lots that some of them go to."""

    lines: tuple[Line, ...] = ()
    children: tuple[Lot, ...] = ()

    @property
    def lots(self) -> tuple[LotBack, ...]:
        """Where the points are now."""
        return tuple(
            LotBack(lot=line.lot, points=line.points, expires_at=line.expires_at) for line in self.lines
        )

    def by_lot(self) -> dict[int, int]:
        """Points restored by lot."""
        total: dict[int, int] = {}
        for line in self.lines:
            total[line.lot] = total.get(line.lot, 0) + line.points
        return total


def restore(
    wallet: Wallet, redemptions: Iterable[Redemption], situation: Situation, *, first_child: int = 0
) -> Restored:
    """Points go back to the very lot they came from, with its expiry.

    Where that lot's time has passed, and even if it was emptied, they go to a child of it that
    lives until the end of the day after the grace. Obligor and tariff are the lot's own, as they
    are today; redeemer and terms those of the redemption, so that settlement undoes it cell by cell.
    """
    lines: list[Line] = []
    children: list[Lot] = []
    ordinals = count(first_child)
    for redemption in redemptions:
        for id_, points in newest_first(redemption.slices, redemption.restored, redemption.points):
            lot = wallet.lots[id_]
            if has_lapsed(lot, lot.expires_at, situation.at):
                expires_at = end_of_day(situation.at, situation.zone, after_days=GRACE_DAYS)
                lot = child_of(lot, lot_id(situation.operation, next(ordinals)), expires_at, points)
                children.append(lot)
            lines.append(
                of_lot(
                    REDEEMED,
                    AVAILABLE,
                    lot,
                    points,
                    redeemer=redemption.redeemer,
                    terms=redemption.terms,
                )
            )
    return Restored(tuple(lines), tuple(children))


def newest_first(slices: Sequence[tuple[int, int]], skip: int, points: int) -> list[tuple[int, int]]:
    """(lot, points) of `slices` from the end, after the last `skip` points, `points` in all."""
    taken: list[tuple[int, int]] = []
    for lot, size in reversed(slices):
        passed = min(skip, size)
        skip -= passed
        part = min(points, size - passed)
        points -= part
        if part:
            taken.append((lot, part))
    if points:
        raise ValueError("more points are to be restored than were redeemed")
    return taken
