"""Money: cells × prices → movements between the accounts of partners and the operator.

A movement is signed and keeps the direction of its kind: a claw-back is a negative issue. So
obligations add up per direction, and only lines turn what is negative round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from ledger import accounts
from ledger.commands import MoneyLine
from ledger.kernel.ids import OPERATOR
from ledger.kernel.rounding import half_even

from .cells import Cell, Holding
from .prices import Prices, Tariff

MEMO: Final = (accounts.MEMO_OUTSTANDING, accounts.MEMO_CLAIM)


class Account(NamedTuple):
    """A money account: its kind in the ledger's chart, and the partner it belongs to (0: operator)."""

    kind: int
    owner: int = OPERATOR


FEE: Final = Account(accounts.INCOME_FEE)
MARGIN: Final = Account(accounts.INCOME_MARGIN)
BREAKAGE: Final = Account(accounts.INCOME_BREAKAGE)
CAMPAIGN: Final = Account(accounts.OPEX_CAMPAIGN)
VAT: Final = Account(accounts.VAT)
TRANSIT: Final = Account(accounts.MONEY_IN_TRANSIT)
BROUGHT: Final = Account(accounts.MONEY_OPENING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Money from one account to another for `points`: to the debit of a partner is what it owes.

    `purpose` is one of issue, margin, campaign, opening, redemption, recovery, adjustment, novation,
    breakage, breakage_share, fee, vat, memo. `operation` and the rest name the cell; they are
    empty and 0 where several cells were added up to be rounded once. `rate` is that of VAT, which names
    no terms, since several may have it.
    """

    purpose: str
    operation: str = ""
    debit: Account
    credit: Account
    micro: int
    points: int
    issuer: int = 0
    obligor: int = 0
    redeemer: int = 0
    tariff: int = 0
    terms: int = 0
    origin_period: int = 0
    rate: Fraction | None = None

    @property
    def price_micro(self) -> int | None:
        """Money per point; None where the money was rounded."""
        return self.micro // self.points if self.operation and self.points else None


def movements(period: int, cells: Sequence[Cell], prices: Prices) -> list[Movement]:
    """What the points of a period move in money, micro-units, in a fixed order.

    Points × tariff is exact; the fee is rounded half-even once per (obligor, redeemer, tariff,
    terms), the breakage share once per (issuer, obligor, tariff), VAT once per partner and rate.
    """
    by_cell = [
        movement
        for cell in sorted(cells)
        if cell.operation in _RULES
        for movement in _RULES[cell.operation](cell, prices.tariffs[cell.tariff])
    ]
    fees = list(_fees(period, cells, prices))
    return [*by_cell, *_breakage(period, cells, prices), *fees, *_vat(period, fees, prices)]


def money_lines(moved: Iterable[Movement]) -> list[MoneyLine]:
    """The movements as lines of a journal: those of no effect left out, negative ones turned round."""
    return [_line(movement) for movement in moved if movement.micro and movement.debit != movement.credit]


def balances(moved: Iterable[Movement]) -> dict[Account, int]:
    """What the movements add to each account: debits − credits, micro-units."""
    total: dict[Account, int] = defaultdict(int)
    for movement in moved:
        total[movement.debit] += movement.micro
        total[movement.credit] -= movement.micro
    return dict(total)


def reserves(holdings: Iterable[Holding], prices: Prices) -> dict[tuple[int, int], int]:
    """What the operator must hold by (obligor, tariff): points outstanding × redemption value."""
    total: dict[tuple[int, int], int] = defaultdict(int)
    for holding in holdings:
        tariff = prices.tariffs[holding.tariff]
        if tariff.is_reserved(holding.obligor):
            total[holding.obligor, holding.tariff] += holding.points * tariff.redemption_value_micro
    return dict(total)


def settle(partner: int) -> Account:
    """The account of what a partner owes (+) or is owed (−)."""
    return Account(accounts.SETTLE, partner)


def reserve(obligor: int) -> Account:
    """The redemption value that the operator keeps for an obligor's points."""
    return Account(accounts.RESERVE, obligor)


def _line(movement: Movement) -> MoneyLine:
    debit, credit = movement.debit, movement.credit
    if movement.micro < 0:
        debit, credit = credit, debit
    return MoneyLine(
        debit=debit.kind,
        debit_owner=debit.owner,
        credit=credit.kind,
        credit_owner=credit.owner,
        micro=abs(movement.micro),
        issuer=movement.issuer,
        obligor=movement.obligor,
        redeemer=movement.redeemer,
        tariff=movement.tariff,
        terms=movement.terms,
        origin_period=movement.origin_period,
    )


def _issued(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """Points became available: the obligor pays for them now, or only will."""
    yield from _at_issue(cell, tariff, cell.points)


def _brought(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """Points came along from another programme: paid for there, so no partner is charged for them here.

    What members may redeem has to be reserved all the same. `BROUGHT` is what the operator has to
    take over with them, and goes down as that money arrives.
    """
    value = tariff.redemption_value_micro
    if tariff.is_reserved(cell.obligor):
        yield _move(cell, "opening", BROUGHT, reserve(cell.obligor), cell.points, value)
    else:
        yield _memo(cell, cell.points, value)


def _clawed_back(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """Points were taken back: who paid for them gets back what was paid."""
    yield from _at_issue(cell, tariff, -cell.points)


def _at_issue(cell: Cell, tariff: Tariff, points: int) -> Iterator[Movement]:
    value = tariff.redemption_value_micro
    margin = tariff.issue_price_micro - value
    if cell.obligor == OPERATOR:
        yield _move(cell, "campaign", CAMPAIGN, reserve(OPERATOR), points, value)
    elif tariff.is_reserved(cell.obligor):
        yield _move(cell, "issue", settle(cell.obligor), reserve(cell.obligor), points, value)
        yield _move(cell, "margin", settle(cell.obligor), MARGIN, points, margin)
    else:
        yield _memo(cell, points, value)


def _burned(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """Points were redeemed, or a redemption was given back."""
    yield from _redeemed(cell, tariff, "redemption", cell.redeemed)


def _recovered(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """A claw-back that was due came in: the creditor gets the redemption value, and pays no fee."""
    yield from _redeemed(cell, tariff, "recovery", cell.points)


def _redeemed(cell: Cell, tariff: Tariff, purpose: str, points: int) -> Iterator[Movement]:
    value = tariff.redemption_value_micro
    payee = CAMPAIGN if cell.redeemer == OPERATOR else settle(cell.redeemer)
    if tariff.is_reserved(cell.obligor):
        yield _move(cell, purpose, reserve(cell.obligor), payee, points, value)
    else:
        yield _move(cell, purpose, settle(cell.obligor), payee, points, value)
        yield _memo(cell, -points, value)


def _adjusted(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """Points were given or taken by hand: their obligor answers for the redemption value, no margin."""
    value, points = tariff.redemption_value_micro, cell.outstanding
    payer = CAMPAIGN if cell.obligor == OPERATOR else settle(cell.obligor)
    if tariff.is_reserved(cell.obligor):
        yield _move(cell, "adjustment", payer, reserve(cell.obligor), points, value)
    else:
        yield _memo(cell, points, value)


def _left(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """An obligor gave up its points, with the reserve if there is one, or paying their value."""
    value = tariff.redemption_value_micro
    if tariff.is_reserved(cell.obligor):
        yield _move(cell, "novation", reserve(cell.obligor), TRANSIT, cell.points, value)
    else:
        yield _move(cell, "novation", settle(cell.obligor), TRANSIT, cell.points, value)
        yield _memo(cell, -cell.points, value)


def _taken_over(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """An obligor took over points, and what they are worth."""
    value = tariff.redemption_value_micro
    if tariff.is_reserved(cell.obligor):
        yield _move(cell, "novation", TRANSIT, reserve(cell.obligor), cell.points, value)
    else:
        yield _move(cell, "novation", TRANSIT, settle(cell.obligor), cell.points, value)
        yield _memo(cell, cell.points, value)


def _lapsed(cell: Cell, tariff: Tariff) -> Iterator[Movement]:
    """Points expired that nobody had paid for: only the memo goes; `_breakage` does the others."""
    if not tariff.is_reserved(cell.obligor):
        yield _memo(cell, -cell.points, tariff.redemption_value_micro)


_RULES: Final[dict[str, Callable[[Cell, Tariff], Iterator[Movement]]]] = {
    "release": _issued,
    "opening": _brought,
    "claw_back": _clawed_back,
    "burn": _burned,
    "burn_return": _burned,
    "recover": _recovered,
    "expire": _lapsed,
    "adjust": _adjusted,
    "adjust_down": _adjusted,
    "novate_out": _left,
    "novate_in": _taken_over,
}


def _breakage(period: int, cells: Iterable[Cell], prices: Prices) -> Iterator[Movement]:
    """The reserve of expired points is shared between their obligor and the operator.

    The operator keeps all of its own, those that it took over included.
    """
    expired: dict[tuple[int, int, int], int] = defaultdict(int)
    for cell in cells:
        if cell.operation == "expire" and prices.tariffs[cell.tariff].is_reserved(cell.obligor):
            expired[cell.issuer, cell.obligor, cell.tariff] += cell.points
    for (issuer, obligor, tariff_id), points in sorted(expired.items()):
        tariff = prices.tariffs[tariff_id]
        value = points * tariff.redemption_value_micro
        share = 0 if obligor == OPERATOR else _part(value, tariff.breakage_share)
        parts = [("breakage", BREAKAGE, value - share), ("breakage_share", settle(obligor), share)]
        for purpose, credit, micro in parts if obligor != OPERATOR else parts[:1]:
            yield Movement(
                purpose=purpose,
                debit=reserve(obligor),
                credit=credit,
                micro=micro,
                points=points,
                issuer=issuer,
                obligor=obligor,
                tariff=tariff_id,
                origin_period=period,
            )


def _fees(period: int, cells: Iterable[Cell], prices: Prices) -> Iterator[Movement]:
    """The operator's fee on what a redeemer is reimbursed; nobody pays it on its own points."""
    redeemed: dict[tuple[int, int, int, int], int] = defaultdict(int)
    for cell in cells:
        if cell.operation in accounts.REDEEMED_SIGN and cell.obligor != cell.redeemer:
            redeemed[cell.obligor, cell.redeemer, cell.tariff, cell.terms] += cell.redeemed
    for (obligor, redeemer, tariff, terms), points in sorted(redeemed.items()):
        value = points * prices.tariffs[tariff].redemption_value_micro
        yield Movement(
            purpose="fee",
            debit=settle(redeemer),
            credit=FEE,
            micro=_part(value, prices.terms[terms].fee),
            points=points,
            obligor=obligor,
            redeemer=redeemer,
            tariff=tariff,
            terms=terms,
            origin_period=period,
        )


def _vat(period: int, fees: Iterable[Movement], prices: Prices) -> Iterator[Movement]:
    """VAT on the fees of a partner, by rate."""
    base: dict[tuple[int, Fraction], int] = defaultdict(int)
    for fee in fees:
        base[fee.redeemer, prices.terms[fee.terms].vat] += fee.micro
    for (partner, rate), micro in sorted(base.items()):
        if rate:
            yield Movement(
                purpose="vat",
                debit=settle(partner),
                credit=VAT,
                micro=_part(micro, rate),
                points=0,
                redeemer=partner,
                origin_period=period,
                rate=rate,
            )


def _part(micro: int, share: Fraction) -> int:
    return half_even(micro * share.numerator, share.denominator)


def _memo(cell: Cell, points: int, value: int) -> Movement:
    """What members hold and its obligor will pay only when it is redeemed."""
    claim = Account(accounts.MEMO_CLAIM, cell.obligor)
    outstanding = Account(accounts.MEMO_OUTSTANDING, cell.obligor)
    return _move(cell, "memo", claim, outstanding, points, value)


def _move(
    cell: Cell, purpose: str, debit: Account, credit: Account, points: int, price_micro: int
) -> Movement:
    return Movement(
        purpose=purpose,
        operation=cell.operation,
        debit=debit,
        credit=credit,
        micro=points * price_micro,
        points=points,
        issuer=cell.issuer,
        obligor=cell.obligor,
        redeemer=cell.redeemer,
        tariff=cell.tariff,
        terms=cell.terms,
        origin_period=cell.origin_period,
    )
