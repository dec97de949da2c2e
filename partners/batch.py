"""Many requests of one till in one call: an outcome each, in order for every member."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ledger import Ledger
from ledger.commands import Command, Refused
from ledger.kernel.refusals import InvalidInput

from .answer import Answer, answer_of, unreadable
from .burn import AuthorizeRequest, BurnRequest, prepare_authorize, prepare_burn
from .directory import Directory
from .earn import EarnRequest, prepare_earn
from .holds import CaptureRequest, VoidRequest, prepare_capture, prepare_void
from .quote_token import QuoteTokens
from .till import Till

MAX_ITEMS: Final = 500


Request = EarnRequest | AuthorizeRequest | BurnRequest | CaptureRequest | VoidRequest
"""What a batch may carry."""


async def post_batch(
    ledger: Ledger,
    directory: Directory,
    tokens: QuoteTokens,
    till: Till,
    items: Sequence[Request | Refused],
    *,
    at: datetime,
) -> list[Answer]:
    """Post up to 500 requests; the answers are in the order of `items`, a `Refused` for an unreadable one.

    Each item's outcome is the one it would have alone: a refusal of one is no matter to the
    others. Raises `InvalidInput` for too many items, and `Throttled`.
    """
    if len(items) > MAX_ITEMS:
        raise InvalidInput(f"more than {MAX_ITEMS} items", field=("items",))
    prepared = [_prepare(directory, tokens, till, item, at) for item in items]
    commands = [command for command in prepared if not isinstance(command, Refused)]
    outcomes = iter(await ledger.submit_many(commands))
    return [
        unreadable(command, at=at) if isinstance(command, Refused) else answer_of(next(outcomes))
        for command in prepared
    ]


def _prepare(
    directory: Directory, tokens: QuoteTokens, till: Till, item: Request | Refused, at: datetime
) -> Command | Refused:
    try:
        match item:
            case EarnRequest():
                return prepare_earn(directory, tokens, till, item, at=at)
            case AuthorizeRequest():
                return prepare_authorize(directory, tokens, till, item, at=at)
            case BurnRequest():
                return prepare_burn(directory, tokens, till, item, at=at)
            case CaptureRequest():
                return prepare_capture(directory, till, item, at=at)
            case VoidRequest():
                return prepare_void(till, item, at=at)
            case Refused():
                return item
    except InvalidInput as refusal:
        return Refused.of(refusal)
