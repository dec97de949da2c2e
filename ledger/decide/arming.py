"""Arming: a member was told, so lots may expire from now on, though never sooner than promised."""

from __future__ import annotations

from datetime import datetime

from ledger.accounts import AVAILABLE
from ledger.commands import ArmExpiry
from ledger.journal import Journal, Line, LotChange
from ledger.lots import Lot
from ledger.wallet import Wallet

from .giving_back import end_of_day
from .situation import Situation


def arm_expiry(wallet: Wallet, command: ArmExpiry, situation: Situation) -> Journal:
    """Arm the unarmed lots that were named, or that expire by `until`; `points` are theirs.

    Stock follows a lot, and what is held of it, from one month of expiry to the other. Lots that
    are armed already, or empty, stay as they are; where a release arms, that is what arms.
    """
    notice_ends_at = end_of_day(situation.at, situation.zone, after_days=command.notice_days)
    held = wallet.held_by_lot()
    changes: list[LotChange] = []
    restocks: list[Line] = []
    points = 0
    for lot in sorted(wallet.lots.values(), key=lambda lot: lot.id):
        owed = lot.available + held.get(lot.id, 0)
        if wallet.arms_at_release or not _is_told(lot, command) or not owed + lot.pending:
            continue
        expires_at = max(lot.expires_at, notice_ends_at)
        changes.append(LotChange(lot.id, lot.obligor, expires_at, situation.at))
        points += owed + lot.pending
        if owed and expires_at != lot.expires_at:
            restocks.append(_restock(lot, owed, expires_at))
    return Journal(kind="arm_expiry", points=points, changes=tuple(changes), restocks=tuple(restocks))


def _is_told(lot: Lot, command: ArmExpiry) -> bool:
    is_named = not command.lots or lot.id in command.lots
    return lot.armed_at is None and is_named and lot.expires_at <= command.until


def _restock(lot: Lot, points: int, expires_at: datetime) -> Line:
    """A line that is not posted: no points change hands, only the month in which they will expire."""
    return Line(
        AVAILABLE,
        AVAILABLE,
        points,
        lot.issuer,
        lot.obligor,
        lot.tariff,
        lot.id,
        lot.earned_at,
        expires_at,
        expired_at=lot.expires_at,
    )
