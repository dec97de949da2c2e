"""Travelling: points leave one wallet for another, come in there, or come back to where they were."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ledger.accounts import AVAILABLE, CLAWBACK_DUE, IN_TRANSIT, PENDING
from ledger.commands import Arrive, Conclude, Merge, Transfer
from ledger.journal import Journal, Line
from ledger.kernel.refusals import InvalidInput
from ledger.lots import Lot
from ledger.refusals import AheadOfClock, MemberMerged, TransferNotFound, TransferToSelf
from ledger.transits import Conclusion, Kind, Part, Transit
from ledger.wallet import Wallet, lot_id

from .burning import choose
from .giving_back import GRACE_DAYS, end_of_day, has_lapsed
from .novating import relieve
from .situation import Situation
from .taking_on import take_on


def transfer(wallet: Wallet, command: Transfer, situation: Situation) -> Journal:
    """Send points off: available → in transit, the soonest to expire first."""
    if command.points <= 0:
        raise InvalidInput("more than 0 points are transferred", field=("points",))
    if command.to_member == wallet.member:
        raise TransferToSelf
    taken = choose(wallet, command.points)
    parts = tuple(_part(AVAILABLE, lot, points) for lot, points in taken)
    return Journal(
        kind="transfer",
        points=command.points,
        lines=_out(parts, situation),
        reference=situation.operation,
        sends=_transit("transfer", wallet, command.to_member, parts, situation),
    )


def merge(wallet: Wallet, command: Merge, _situation: Situation) -> Journal:
    """Name the survivor; what the wallet has sets off right after, by `follow`."""
    if command.survivor == wallet.member:
        raise InvalidInput("a member is merged into somebody else", field=("survivor",))
    if wallet.merged_into:
        raise MemberMerged
    return Journal(kind="merge", points=0, merges_into=command.survivor)


def follow(wallet: Wallet, situation: Situation) -> Journal | None:
    """Send what a merged wallet has after its owner, then each of its debts; None if there is nothing."""
    lots = sorted(wallet.lots.values(), key=lambda lot: lot.id)
    parts = tuple(
        _part(account, lot, points)
        for lot in lots
        for account, points in ((PENDING, lot.pending), (AVAILABLE, lot.available))
        if points
    )
    if not parts:
        return _send_due(wallet, situation)
    return Journal(
        kind="merge_out",
        points=sum(part.points for part in parts),
        lines=_out(parts, situation),
        occurred_at=situation.at,
        reference=situation.operation,
        sends=_transit("merge", wallet, wallet.merged_into, parts, situation),
    )


def _send_due(wallet: Wallet, situation: Situation) -> Journal | None:
    """Send the oldest debt: in transit → clawback_due, so that the survivor owes it."""
    owed = sorted((due for due in wallet.dues.values() if due.points_left), key=lambda due: due.operation)
    if not owed:
        return None
    due = owed[0]
    part = Part(
        account=CLAWBACK_DUE,
        lot=due.original,
        issuer=due.issuer,
        obligor=due.obligor,
        tariff=due.tariff,
        points=due.points_left,
        earned_at=situation.at,
        expires_at=situation.at,
    )
    return Journal(
        kind="merge_out",
        points=0,
        lines=(_line(IN_TRANSIT, CLAWBACK_DUE, part, 0, part.expires_at, situation.operation),),
        occurred_at=situation.at,
        reference=situation.operation,
        sends=_transit("merge", wallet, wallet.merged_into, (part,), situation),
        recovers=((due.operation, due.points_left),),
    )


def arrive(wallet: Wallet, command: Arrive, situation: Situation) -> Journal:
    """Take points in: in transit → the account they left, in lots that inherit everything.

    A debt that comes in takes back what is there of those points, as it would have at home.
    """
    if situation.at < command.occurred_at:
        raise AheadOfClock
    if command.parts[0].account == CLAWBACK_DUE:
        return take_on(wallet, command, situation)
    lines, lots = _into_children(command.parts, command.transfer, situation)
    return Journal(
        kind=f"{command.sort}_in",
        points=sum(line.points for line in lines),
        lines=lines,
        new_lots=lots,
        reference=command.transfer,
    )


def conclude(wallet: Wallet, command: Conclude, situation: Situation) -> Journal:
    """Note that the points arrived; or take them back, into the very lots that they came from.

    A lot whose time has passed meanwhile gives a child with grace instead.
    """
    transit = wallet.transits.get(command.transfer)
    if transit is None or transit.member != wallet.member or transit.state != "open":
        raise TransferNotFound
    if not command.refusal:
        return Journal(
            kind=f"{transit.kind}_done",
            points=0,
            reference=transit.id,
            concludes=Conclusion(transit.id, "arrived"),
        )
    lines: list[Line] = []
    lapsed: list[Part] = []
    for part in transit.parts:
        lot = wallet.lots[part.lot]
        if has_lapsed(lot, lot.expires_at, situation.at):
            lapsed.append(part)
        else:
            lines.append(_line(IN_TRANSIT, AVAILABLE, part, lot.id, lot.expires_at, transit.id))
            lines += relieve(lot, part.obligor, part.points, situation)
    back, children = _into_children(lapsed, transit.id, situation)
    return Journal(
        kind="transfer_back",
        points=transit.points,
        lines=(*lines, *back),
        new_lots=children,
        reference=transit.id,
        concludes=Conclusion(transit.id, "returned", command.refusal),
    )


def _transit(
    kind: Kind, wallet: Wallet, to_member: int, parts: tuple[Part, ...], situation: Situation
) -> Transit:
    return Transit(situation.operation, kind, wallet.member, to_member, situation.at, parts)


def _part(account: int, lot: Lot, points: int) -> Part:
    return Part(
        account=account,
        lot=lot.id,
        issuer=lot.issuer,
        obligor=lot.obligor,
        tariff=lot.tariff,
        points=points,
        earned_at=lot.earned_at,
        expires_at=lot.expires_at,
        available_at=lot.available_at if account == PENDING else None,
        armed_at=lot.armed_at,
        origin=lot.parent or lot.id,
    )


def _out(parts: Iterable[Part], situation: Situation) -> tuple[Line, ...]:
    return tuple(
        _line(part.account, IN_TRANSIT, part, part.lot, part.expires_at, situation.operation)
        for part in parts
    )


def _into_children(
    parts: Iterable[Part], transfer: int, situation: Situation
) -> tuple[tuple[Line, ...], tuple[Lot, ...]]:
    lines: list[Line] = []
    lots: list[Lot] = []
    for part in parts:
        lot = _child(part, lot_id(situation.operation, len(lots)), situation)
        lines.append(_line(IN_TRANSIT, part.account, part, lot.id, lot.expires_at, transfer))
        lots.append(lot)
    return tuple(lines), tuple(lots)


def _child(part: Part, id_: int, situation: Situation) -> Lot:
    """The lot that the points come to, with grace if their time has passed on the way."""
    lot = Lot(
        id_,
        part.issuer,
        part.obligor,
        part.tariff,
        part.earned_at,
        part.expires_at,
        part.points,
        available_at=part.available_at,
        armed_at=part.armed_at,
        parent=part.origin or part.lot,
    )
    if part.account == AVAILABLE and has_lapsed(lot, part.expires_at, situation.at):
        lot.expires_at = end_of_day(situation.at, situation.zone, after_days=GRACE_DAYS)
    return lot


def _line(debit: int, credit: int, part: Part, lot: int, expires_at: datetime, transfer: int) -> Line:
    return Line(
        debit,
        credit,
        part.points,
        part.issuer,
        part.obligor,
        part.tariff,
        lot,
        part.earned_at,
        expires_at,
        counterpart=transfer,
    )
