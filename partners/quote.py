"""Quoting: what a basket would earn, how much of it points may pay and why, promised for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from ledger import Ledger
from ledger.commands import Refused
from ledger.kernel.refusals import Refusal

from .burn_caps import Cap, binding, caps, spread
from .detail import LineShare
from .directory import Directory
from .pricing import price
from .quote_token import Promise, QuoteTokens, receipt_digest
from .receipts import Receipt
from .rules import Ruling, basket_of, earned
from .till import AGREEMENT_MISSING, Till


class QuoteRefused(Refusal):
    """A rule that would refuse the receipt itself refuses its quote, with the same code."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message, field=refused.field)
        self.code = refused.code  # type: ignore[misc]  # the code of the rule that refused


class QuoteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a till is about to sell, with the number that the receipt will carry."""

    member: int
    receipt: Receipt


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """Points the receipt earns as it stands, the most it takes in points, and why.

    `lines` has, per line, the points earned, and the points and money off of a burn of
    `most_points`. `cap` is the limit that binds among `caps`. `token` makes an earn or a burn
    with this receipt's place, number and lines go by the same terms and rules until `expires_at`.
    """

    earn_points: int
    most_points: int
    most_money_micro: int
    cap: Cap
    caps: tuple[Cap, ...]
    rulings: tuple[Ruling, ...]
    lines: tuple[LineShare, ...]
    token: str
    expires_at: datetime


async def quote(
    ledger: Ledger,
    directory: Directory,
    tokens: QuoteTokens,
    till: Till,
    request: QuoteRequest,
    *,
    at: datetime,
) -> Quote:
    """Quote a basket for a member. Raises `QuoteRefused` and `InvalidInput`; posts nothing."""
    balance = await ledger.balance(request.member)
    return make_quote(directory, tokens, till, request, balance=balance.shown, at=at)


def make_quote(
    directory: Directory,
    tokens: QuoteTokens,
    till: Till,
    request: QuoteRequest,
    *,
    balance: int,
    at: datetime,
) -> Quote:
    """The quote for a member who may spend `balance` points. Pure."""
    receipt, programme = request.receipt, directory.programme
    # promised is what counts now, or else a receipt dated back would be quoted first and burned on then
    priced = price(
        directory, tokens, till, member=request.member, receipt=receipt, quote=None, terms_at=at, at=at
    )
    if priced.refused is not None or priced.agreement is None:
        raise QuoteRefused(priced.refused or AGREEMENT_MISSING)
    agreement = priced.agreement
    basket = basket_of(receipt, agreement.terms, agreement.excluded)
    result = earned(basket, ruleset=priced.ruleset)
    found = caps(basket, programme, balance=balance)
    cap = binding(found)
    share = spread(basket, programme, cap.points) if receipt.lines else None
    burned = zip(share.points, share.money_off_micro, strict=True) if share else ()
    expires_at = at + timedelta(seconds=agreement.terms.quote_ttl_seconds)
    promise = Promise(
        partner=till.partner,
        member=request.member,
        receipt=receipt_digest(receipt),
        terms=agreement.id,
        ruleset=priced.ruleset,
        expires_at=expires_at,
    )
    return Quote(
        earn_points=result.points,
        most_points=cap.points,
        most_money_micro=sum(share.money_off_micro) if share else 0,
        cap=cap,
        caps=found,
        rulings=result.rulings,
        lines=tuple(
            LineShare(line=index, points_earned=points, points_burned=taken, money_off_micro=off)
            for index, (points, (taken, off)) in enumerate(zip(result.per_line, burned, strict=True))
        ),
        token=tokens.make(promise),
        expires_at=expires_at,
    )
