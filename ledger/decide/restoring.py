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
from .novating import relieve
from .situation import Situation


class Redemption(msgspec.Struct, frozen=True):
    """Points redeemed at `redeemer` under `terms`, and how many of them are to be restored.

    `slices` are (lot, points, obligor that paid) as they were taken; `restored` came back before, so they
    are skipped from the end.
    """

    redeemer: int
    terms: int
    slices: Sequence[tuple[int, int, int]]
    restored: int
    points: int


class Restored(msgspec.Struct, frozen=True):
    """The lines that give points back, the child lots that some go to, and lines `relieving` who had paid."""

    lines: tuple[Line, ...] = ()
    children: tuple[Lot, ...] = ()
    relieving: tuple[Line, ...] = ()

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
    lives until the end of the day after the grace. Obligor, redeemer and terms are those of the redemption,
    so that settlement undoes it cell by cell, its fee included; if the lot is another obligor's by now,
    that one relieves the first.
    """
    lines: list[Line] = []
    relieving: list[Line] = []
    children: list[Lot] = []
    ordinals = count(first_child)
    for redemption in redemptions:
        for id_, points, obligor in newest_first(redemption.slices, redemption.restored, redemption.points):
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
                    obligor=obligor,
                    redeemer=redemption.redeemer,
                    terms=redemption.terms,
                )
            )
            relieving += relieve(lot, obligor, points, situation)
    return Restored(tuple(lines), tuple(children), tuple(relieving))


def newest_first(
    slices: Sequence[tuple[int, int, int]], skip: int, points: int
) -> list[tuple[int, int, int]]:
    """(lot, points, obligor) of `slices` from the end, after the last `skip` points, `points` in all."""
    taken: list[tuple[int, int, int]] = []
    for lot, size, obligor in reversed(slices):
        passed = min(skip, size)
        skip -= passed
        part = min(points, size - passed)
        points -= part
        if part:
            taken.append((lot, part, obligor))
    if points:
        raise ValueError("more points are to be restored than were redeemed")
    return taken
