"""Opening: points that a member brings along from another programme, with their own dates."""

from __future__ import annotations

from ledger.accounts import AVAILABLE, OPENING, PENDING
from ledger.commands import Open, OpeningLot
from ledger.journal import Journal, of_lot
from ledger.kernel.refusals import InvalidInput
from ledger.kernel.values import MAX_POINTS
from ledger.lots import Lot
from ledger.wallet import Wallet, lot_id

from .situation import Situation

MAX_LOTS = 1_000
"""A journal numbers its lines in 16 bits, and nobody has that many lots."""


def open_balance(_wallet: Wallet, command: Open, situation: Situation) -> Journal:
    """Make every lot, pending or available, earned and expiring when it was. All of them or none.

    A release that is past is not waited for. Raises `InvalidInput` for a lot that has expired.
    """
    if not 0 < len(command.lots) <= MAX_LOTS:
        raise InvalidInput(f"an opening balance has 1 to {MAX_LOTS} lots", field=("lots",))
    made = [_lot(number, given, situation) for number, given in enumerate(command.lots)]
    points = sum(lot.earned for lot in made)
    if points > MAX_POINTS:
        raise InvalidInput(f"a member brings at most {MAX_POINTS} points", field=("lots",))
    return Journal(
        kind="opening",
        points=points,
        lines=tuple(
            of_lot(OPENING, AVAILABLE if lot.available_at is None else PENDING, lot, lot.earned)
            for lot in made
        ),
        new_lots=tuple(made),
    )


def _lot(number: int, given: OpeningLot, situation: Situation) -> Lot:
    if given.points <= 0:
        raise InvalidInput("points must be more than 0", field=("lots", str(number), "points"))
    if given.expires_at <= situation.at:
        raise InvalidInput("these points have expired", field=("lots", str(number), "expires"))
    is_due = given.available_at is None or given.available_at <= situation.at
    return Lot(
        lot_id(situation.operation, number),
        given.issuer,
        given.obligor,
        given.tariff,
        given.earned_at,
        given.expires_at,
        given.points,
        available_at=None if is_due else given.available_at,
    )
