"""Burning: points of a member pay for part of a receipt, at once or by hold and capture."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from ledger import Ledger
from ledger.commands import Authorize, Burn, Item, ReceiptKey, Refused
from ledger.kernel.refusals import InvalidInput

from .answer import Answer, answer_of
from .burn_caps import Spread, binding, caps, spread
from .counting import counters_of_burn
from .detail import Detail, LineShare, encode_detail
from .digest import digest_of
from .directory import Directory
from .holds import check_points
from .names import idempotency_key
from .pricing import Priced, price
from .quote_token import QuoteTokens
from .receipts import Receipt
from .rules import Basket, Ruling, basket_of
from .till import Till

RULE: Final = "burn_caps"


class BurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`points` to pay for part of a receipt.

    `presence` is the fingerprint (16 bytes) of the token that the member presented. It is no
    part of what is asked: a repeat may show a newer code. `refused` is what an earlier room
    had against the request, such as a token that has expired; it counts only if the key is new.
    """

    key: str
    member: int
    points: int
    receipt: Receipt
    presence: bytes = b""
    quote: str | None = None
    refused: Refused | None = None


class AuthorizeRequest(BurnRequest, frozen=True, kw_only=True):
    """The same to be held first, for `ttl_seconds` or for as long as the agreement says if that is less."""

    ttl_seconds: int | None = None


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules made of a burn: refused, or where on the receipt the points go."""

    refused: Refused | None = None
    terms: int = 0
    detail: bytes = b""
    receipt: ReceiptKey | None = None
    items: tuple[Item, ...] = ()


async def authorize_burn(
    ledger: Ledger,
    directory: Directory,
    tokens: QuoteTokens,
    till: Till,
    request: AuthorizeRequest,
    *,
    at: datetime,
) -> Answer:
    """Hold points for a receipt. Raises `InvalidInput` for a request that makes no sense, and `Throttled`."""
    return answer_of(await ledger.submit(prepare_authorize(directory, tokens, till, request, at=at)))


async def burn(
    ledger: Ledger,
    directory: Directory,
    tokens: QuoteTokens,
    till: Till,
    request: BurnRequest,
    *,
    at: datetime,
) -> Answer:
    """Authorise and capture in one. Raises as `authorize_burn` does."""
    return answer_of(await ledger.submit(prepare_burn(directory, tokens, till, request, at=at)))


def prepare_authorize(
    directory: Directory, tokens: QuoteTokens, till: Till, request: AuthorizeRequest, *, at: datetime
) -> Authorize:
    """The ledger's command for a hold, refused already when a rule or a cap says so. Pure."""
    if request.ttl_seconds is not None and request.ttl_seconds < 1:
        raise InvalidInput("a hold lasts a second or more", field=("ttlSeconds",))
    priced = _priced(directory, tokens, till, request, at)
    ttl_seconds = priced.agreement.terms.hold_ttl_seconds if priced.agreement else 0
    if request.ttl_seconds is not None:
        ttl_seconds = min(ttl_seconds, request.ttl_seconds)
    decided = _decide(directory, request, priced)
    return Authorize(
        principal=till.principal,
        key=idempotency_key(request.key),
        digest=digest_of(
            "authorize", request.member, request.points, request.receipt, request.quote, request.ttl_seconds
        ),
        member=request.member,
        occurred_at=priced.occurred_at,
        partner=till.partner,
        outlet=priced.outlet,
        terms=decided.terms,
        detail=decided.detail,
        refused=decided.refused,
        counters=counters_of_burn(directory, till.partner, request.points, at=at),
        points=request.points,
        expires_at=at + timedelta(seconds=ttl_seconds),
        token=request.presence,
        receipt=decided.receipt,
        items=decided.items,
    )


def prepare_burn(
    directory: Directory, tokens: QuoteTokens, till: Till, request: BurnRequest, *, at: datetime
) -> Burn:
    """The ledger's command for a burn, refused already when a rule or a cap says so. Pure."""
    priced = _priced(directory, tokens, till, request, at)
    decided = _decide(directory, request, priced)
    return Burn(
        principal=till.principal,
        key=idempotency_key(request.key),
        digest=digest_of("burn", request.member, request.points, request.receipt, request.quote),
        member=request.member,
        occurred_at=priced.occurred_at,
        partner=till.partner,
        outlet=priced.outlet,
        terms=decided.terms,
        detail=decided.detail,
        refused=decided.refused,
        counters=counters_of_burn(directory, till.partner, request.points, at=at),
        points=request.points,
        token=request.presence,
        receipt=decided.receipt,
        items=decided.items,
    )


def _priced(
    directory: Directory, tokens: QuoteTokens, till: Till, request: BurnRequest, at: datetime
) -> Priced:
    """The member is there now, whatever the date of the receipt: no till picks its terms by that date."""
    check_points(request.points)
    return price(
        directory,
        tokens,
        till,
        member=request.member,
        receipt=request.receipt,
        quote=request.quote,
        terms_at=at,
        at=at,
    )


def _decide(directory: Directory, request: BurnRequest, priced: Priced) -> Decided:
    """Whether the caps let the points through, and where on the receipt they go."""
    refused = request.refused or priced.refused
    if refused is not None or priced.agreement is None:
        return Decided(refused=refused)
    agreement, receipt, programme = priced.agreement, request.receipt, directory.programme
    basket = basket_of(receipt, agreement.terms, agreement.excluded)
    cap = binding(caps(basket, programme, balance=None))
    if request.points > cap.points:
        return Decided(refused=_exceeded(f"{cap.text} At most {cap.points} points can be taken."))
    step = agreement.terms.burn_step_points
    if request.points % step:
        return Decided(refused=_exceeded(f"Points are taken in steps of {step}."))
    share = spread(basket, programme, request.points)
    return Decided(
        terms=agreement.id,
        detail=_detail(request, priced, share, cap.text),
        receipt=ReceiptKey(outlet=priced.outlet, terminal=receipt.terminal, number=receipt.number),
        items=_items(basket, share),
    )


def _exceeded(message: str) -> Refused:
    return Refused(code="CAP_EXCEEDED", message=message, field=("points",))


def _items(basket: Basket, share: Spread) -> tuple[Item, ...]:
    rows = enumerate(zip(basket.lines, basket.totals_micro, share.points, share.money_off_micro, strict=True))
    return tuple(
        [
            Item(
                line=index,
                quantity_milli=line.quantity_milli,
                money_micro=total,
                points_burned=points,
                money_off_micro=off,
            )
            for index, (line, total, points, off) in rows
        ]
    )


def _detail(request: BurnRequest, priced: Priced, share: Spread, cap: str) -> bytes:
    rows = enumerate(zip(share.points, share.money_off_micro, strict=True))
    ruling = Ruling(rule=RULE, applied=False, points=0, text=f"Within the cap. {cap}")
    return encode_detail(
        Detail(
            receipt=request.receipt,
            rulings=(ruling,),
            lines=tuple(
                [
                    LineShare(line=index, points_burned=points, money_off_micro=off)
                    for index, (points, off) in rows
                ]
            ),
            ruleset=priced.ruleset,
            quoted=priced.quoted,
        )
    )
