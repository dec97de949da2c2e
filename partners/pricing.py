"""A receipt at the counter: admitted or refused, under dated terms or those that a quote promised."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from ledger.commands import Refused
from ledger.kernel.refusals import InvalidInput

from .directory import Agreement, Directory
from .quote_token import Promise, QuoteTokens, is_good_for
from .receipts import Receipt
from .rules import CURRENT, RULESETS
from .till import Till, admit

QUOTE_STALE: Final = Refused(
    code="QUOTE_STALE",
    message="the quote has expired or was made for something else: ask for a new one",
    field=("quote",),
)


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """Where, when and under which terms and rules a receipt counts; or the rule that refuses it."""

    occurred_at: datetime
    outlet: int
    agreement: Agreement | None
    ruleset: int
    quoted: bool
    refused: Refused | None


def price(
    directory: Directory,
    tokens: QuoteTokens,
    till: Till,
    *,
    member: int,
    receipt: Receipt,
    quote: str | None,
    terms_at: datetime,
    at: datetime,
) -> Priced:
    """The terms of a receipt: those in force at `terms_at`, or the quoted ones while they are promised.

    Raises `InvalidInput` when the receipt is in another currency than the programme.
    """
    if receipt.currency != directory.programme.currency:
        message = f"the programme's currency is {directory.programme.currency}"
        raise InvalidInput(message, field=("receipt", "currency"))
    admitted = admit(
        directory, till, outlet=receipt.outlet, occurred_at=receipt.occurred_at, terms_at=terms_at, at=at
    )
    agreement, ruleset, refused = admitted.agreement, CURRENT, admitted.refused
    if quote is not None and refused is None:
        promise = tokens.read(quote)
        if promise is not None and _holds(directory, promise, till, member, receipt, at):
            agreement, ruleset = directory.agreements[promise.terms], promise.ruleset
        else:
            refused = QUOTE_STALE
    return Priced(
        occurred_at=admitted.occurred_at,
        outlet=admitted.outlet,
        agreement=agreement,
        ruleset=ruleset,
        quoted=quote is not None,
        refused=refused,
    )


def _holds(
    directory: Directory, promise: Promise, till: Till, member: int, receipt: Receipt, at: datetime
) -> bool:
    known = promise.terms in directory.agreements and promise.ruleset in RULESETS
    return known and is_good_for(promise, partner=till.partner, member=member, receipt=receipt, at=at)
