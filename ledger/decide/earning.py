"""Earning: points given, pending for the partner's return window or available at once."""

from __future__ import annotations

from ledger.accounts import AVAILABLE, ISSUED, PENDING
from ledger.commands import Earn
from ledger.journal import Journal, Line
from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import MAX_POINTS
from ledger.lots import Lot
from ledger.wallet import Wallet, lot_id

from .situation import Situation


def earn(_wallet: Wallet, command: Earn, situation: Situation) -> Journal:
    """Make one lot. A release that is already past is not waited for. 0 points make nothing."""
    points = command.points
    if not 0 <= points <= MAX_POINTS:
        raise InvalidInput(f"an earn gives 0 to {MAX_POINTS} points", field=("points",))
    if points == 0:
        return Journal(kind="earn", points=0)
    if command.expires_at <= situation.at:
        raise InvalidInput("the points would have expired already", field=("occurredAt",))
    available_at = command.available_at
    if available_at is not None and available_at <= situation.at:
        available_at = None
    lot = lot_id(situation.operation, 0)
    return Journal(
        kind="earn",
        points=points,
        lines=(
            Line(
                ISSUED,
                AVAILABLE if available_at is None else PENDING,
                points,
                command.partner,
                command.obligor,
                command.tariff,
                lot,
                situation.at,
                command.expires_at,
            ),
        ),
        new_lots=(
            Lot(
                lot,
                command.partner,
                command.obligor,
                command.tariff,
                situation.at,
                command.expires_at,
                points,
                available_at=available_at,
            ),
        ),
        available_at=available_at,
        expires_at=command.expires_at,
    )
