"""Earning: a receipt becomes points, under the terms of its day or those of its quote."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from ledger import Ledger
from ledger.commands import Earn, Item, ReceiptKey, Refused

from .answer import Answer, answer_of
from .counting import counters_of_earn
from .days import end_of_day, local_day, start_of_day
from .detail import Detail, LineShare, encode_detail
from .digest import digest_of
from .directory import Directory
from .names import idempotency_key
from .pricing import Priced, price
from .quote_token import QuoteTokens
from .receipts import Receipt
from .rules import Earned, basket_of, earned
from .till import Till


class EarnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Points for a member's purchase. `quote` is the token of a quote, to be honoured.

    `refused` is what an earlier room had against the request; it counts only if the key is new.
    """

    key: str
    member: int
    receipt: Receipt
    quote: str | None = None
    refused: Refused | None = None


async def earn(
    ledger: Ledger,
    directory: Directory,
    tokens: QuoteTokens,
    till: Till,
    request: EarnRequest,
    *,
    at: datetime,
) -> Answer:
    """Post what a receipt earns. Raises `InvalidInput` for a request that makes no sense, and `Throttled`."""
    return answer_of(await ledger.submit(prepare_earn(directory, tokens, till, request, at=at)))


def prepare_earn(
    directory: Directory, tokens: QuoteTokens, till: Till, request: EarnRequest, *, at: datetime
) -> Earn:
    """The ledger's command for a receipt, refused already when a rule says so. Pure."""
    receipt = request.receipt
    priced = price(
        directory,
        tokens,
        till,
        member=request.member,
        receipt=receipt,
        quote=request.quote,
        terms_at=receipt.occurred_at or at,
        at=at,
    )
    refused = request.refused or priced.refused
    if refused is not None or priced.agreement is None:
        return _refused_earn(till, request, priced, refused)
    agreement, terms = priced.agreement, priced.agreement.terms
    result = earned(basket_of(receipt, terms, agreement.excluded), ruleset=priced.ruleset)
    tariff = directory.tariffs[agreement.tariff]
    zone = directory.programme.zone
    day = local_day(priced.occurred_at, zone)
    pending_days = terms.pending_days
    return Earn(
        principal=till.principal,
        key=idempotency_key(request.key),
        digest=_digest(request),
        member=request.member,
        occurred_at=priced.occurred_at,
        partner=till.partner,
        outlet=priced.outlet,
        terms=agreement.id,
        detail=_detail(receipt, result, priced),
        counters=counters_of_earn(directory, till.partner, result.points, at=at),
        points=result.points,
        obligor=tariff.obligor,
        tariff=tariff.id,
        available_at=start_of_day(day + timedelta(days=pending_days), zone) if pending_days else None,
        expires_at=end_of_day(day + timedelta(days=terms.lot_lifetime_days), zone),
        receipt=ReceiptKey(outlet=priced.outlet, terminal=receipt.terminal, number=receipt.number),
        items=tuple(
            [
                Item(
                    line=index,
                    quantity_milli=line.quantity_milli,
                    money_micro=line.total_micro,
                    points_earned=points,
                )
                for index, (line, points) in enumerate(zip(receipt.lines, result.per_line, strict=True))
            ]
        ),
    )


def _refused_earn(till: Till, request: EarnRequest, priced: Priced, refused: Refused | None) -> Earn:
    """A command that only asks whether its key was answered before; it can post nothing."""
    return Earn(
        principal=till.principal,
        key=idempotency_key(request.key),
        digest=_digest(request),
        member=request.member,
        occurred_at=priced.occurred_at,
        partner=till.partner,
        outlet=priced.outlet,
        refused=refused,
        points=0,
        obligor=till.partner,
        tariff=0,
        expires_at=priced.occurred_at,
    )


def _digest(request: EarnRequest) -> bytes:
    return digest_of("earn", request.member, request.receipt, request.quote)


def _detail(receipt: Receipt, result: Earned, priced: Priced) -> bytes:
    shares = [LineShare(line=index, points_earned=points) for index, points in enumerate(result.per_line)]
    return encode_detail(
        Detail(
            receipt=receipt,
            rulings=result.rulings,
            lines=tuple(shares),
            ruleset=priced.ruleset,
            quoted=priced.quoted,
        )
    )
