"""Money journals: a closed period's movements, posted once in the ledger's treasury."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from ledger import Ledger, MoneyLine, PostMoney

from .closing import Closing

PRINCIPAL: Final = "settlement"
_LINES_AT_ONCE: Final = 10_000
"""A journal numbers its lines in 16 bits; a larger coalition's period takes several journals."""

_LAST_INSTANT: Final = timedelta(microseconds=1)


class MoneyNotPosted(Exception):
    """The ledger refused the journal of a period's own figures: our own fault."""


async def post_money(ledger: Ledger, closing: Closing) -> None:
    """Post what the period's points moved in money; again, it changes nothing.

    The key names the frozen figures, so the same figures are posted once, by whoever comes first.
    """
    lines = closing.money_lines
    for part, first in enumerate(range(0, len(lines), _LINES_AT_ONCE), start=1):
        command = _command(closing, part, lines[first : first + _LINES_AT_ONCE])
        outcome = await ledger.submit(command)
        if outcome.refused is not None:
            raise MoneyNotPosted(f"{command.key}: {outcome.refused.code}, {outcome.refused.message}")


def _command(closing: Closing, part: int, lines: list[MoneyLine]) -> PostMoney:
    return PostMoney(
        principal=PRINCIPAL,
        key=f"period:{closing.span.period}:{closing.hash.hex()}:{part}",
        digest=closing.hash,
        member=0,
        partner=0,
        occurred_at=closing.span.ends_at - _LAST_INSTANT,
        currency=closing.prices.currency,
        lines=tuple(lines),
    )
