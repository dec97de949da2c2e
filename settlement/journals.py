"""Money journals: a closed period's movements, posted once in the ledger's treasury."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from ledger import Ledger, MoneyLine, Outcome, PostMoney
from ledger.kernel.ids import TREASURY
from ledger.kernel.refusals import Refusal
from ledger.refusals import BucketFenced

from .closing import Closing
from .closing_note import ClosingNote, decode_closing_note, encode_closing_note

PRINCIPAL: Final = "settlement"
_LINES_AT_ONCE: Final = 10_000
"""A journal numbers its lines in 16 bits; a larger coalition's period takes several journals."""

_LAST_INSTANT: Final = timedelta(microseconds=1)


class TreasuryReadOnly(Refusal):
    """The treasury takes no journal while a finding in it is examined: the period waits where it is."""

    code = BucketFenced.code
    retryable = True

    def __init__(self) -> None:
        super().__init__(
            f"the treasury, bucket {TREASURY}, is read-only until its findings are answered for",
            field=("period",),
        )


class MoneyNotPosted(Exception):
    """The ledger refused the journal of a period's own figures: our own fault."""


async def post_money(ledger: Ledger, closing: Closing) -> None:
    """Post what the period's points moved in money; again, it changes nothing.

    The key names the frozen figures, so the same figures are posted once, by whoever comes first.
    Raises `TreasuryReadOnly`.
    """
    lines = closing.money_lines
    for part, first in enumerate(range(0, len(lines), _LINES_AT_ONCE), start=1):
        await _post(ledger, _command(closing, f"{part}", lines[first : first + _LINES_AT_ONCE]))


async def keep_note(ledger: Ledger, closing: Closing, note: ClosingNote) -> ClosingNote:
    """Keep the note of a closing under the ledger's hash, and give the one that is kept.

    That is another's if somebody came first, who may have been interrupted since.
    """
    outcome = await _post(ledger, _command(closing, "papers", [], encode_closing_note(note)))
    return decode_closing_note(outcome.detail)


async def _post(ledger: Ledger, command: PostMoney) -> Outcome:
    outcome = await ledger.submit(command)
    if outcome.refused is not None and outcome.refused.code == TreasuryReadOnly.code:
        raise TreasuryReadOnly
    if outcome.refused is not None:
        raise MoneyNotPosted(f"{command.key}: {outcome.refused.code}, {outcome.refused.message}")
    return outcome


def _command(closing: Closing, part: str, lines: list[MoneyLine], detail: bytes = b"") -> PostMoney:
    return PostMoney(
        principal=PRINCIPAL,
        key=f"period:{closing.span.period}:{closing.hash.hex()}:{part}",
        digest=closing.hash,
        member=0,
        partner=0,
        occurred_at=closing.span.ends_at - _LAST_INSTANT,
        detail=detail,
        currency=closing.prices.currency,
        lines=tuple(lines),
    )
