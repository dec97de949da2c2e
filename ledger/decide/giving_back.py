"""Giving held points back to their lots: what a void, a lapse and a final capture have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from ledger.accounts import AVAILABLE, HELD
from ledger.holds import Hold, Slice
from ledger.journal import Line
from ledger.lots import Lot
from ledger.wallet import Wallet, lot_id

from .situation import Situation

GRACE_DAYS: Final = 14
"""How long points may still be spent that came back after their lot had expired."""


def give_back(
    wallet: Wallet, hold: Hold, parts: Sequence[tuple[Slice, int]], situation: Situation
) -> tuple[tuple[Line, ...], tuple[Lot, ...]]:
    """The lines held → available for `parts`, and the child lots that some of them go to.

    Points go back to the very lot they came from. Where that lot's time has passed, they go
    to a child of it that expires at the end of the day after the grace.
    """
    lines: list[Line] = []
    children: list[Lot] = []
    for part, points in parts:
        lot_to, expires_at, expired_at = part.lot, part.expires_at, None
        if has_lapsed(wallet.lots[part.lot], expires_at, situation.at):
            lot_to = lot_id(situation.operation, len(children))
            expired_at = part.expires_at
            expires_at = end_of_day(situation.at, situation.zone, after_days=GRACE_DAYS)
            children.append(child_of(wallet.lots[part.lot], lot_to, expires_at, points))
        lines.append(
            Line(
                HELD,
                AVAILABLE,
                points,
                part.issuer,
                part.obligor,
                part.tariff,
                lot_to,
                part.earned_at,
                expires_at,
                hold=hold.id,
                slice_no=part.ordinal,
                expired_at=expired_at,
            )
        )
    return tuple(lines), tuple(children)


def has_lapsed(lot: Lot, expires_at: datetime, at: datetime) -> bool:
    """Whether points of `lot` that were to expire at `expires_at` have: an unarmed lot never does."""
    return expires_at <= at and lot.armed_at is not None


def end_of_day(at: datetime, zone: ZoneInfo, *, after_days: int = 0) -> datetime:
    """The end of the local day `after_days` after that which holds `at`, whatever the clocks do meanwhile."""
    day_after = at.astimezone(zone).date() + timedelta(days=after_days + 1)
    return datetime.combine(day_after, time.min, zone).astimezone(at.tzinfo)


def child_of(parent: Lot, id_: int, expires_at: datetime, points: int) -> Lot:
    """A lot for points of `parent` that came back too late: all is inherited but the expiry."""
    return Lot(
        id_,
        parent.issuer,
        parent.obligor,
        parent.tariff,
        parent.earned_at,
        expires_at,
        points,
        armed_at=parent.armed_at,
        parent=parent.parent or parent.id,
    )
