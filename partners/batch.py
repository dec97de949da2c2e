"""Many requests of one till in one call: an outcome each, in order for every member."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, ParamSpec

from ledger import Ledger
from ledger.commands import Command, Refused
from ledger.kernel.refusals import InvalidInput

from .answer import Answer, answer_of, unreadable
from .burn import AuthorizeRequest, BurnRequest, prepare_authorize, prepare_burn
from .directory import Directory
from .earn import EarnRequest, prepare_earn
from .holds import CaptureRequest, VoidRequest, prepare_capture, prepare_void
from .quote_token import QuoteTokens
from .returns import ReturnRequest, prepare_return, recall
from .reversals import ReverseRequest, find_mistakes, prepare_reverse
from .till import Till

MAX_ITEMS: Final = 500

P = ParamSpec("P")

Forward = EarnRequest | AuthorizeRequest | BurnRequest | CaptureRequest | VoidRequest
"""What says all that is to be known."""

Backward = ReturnRequest | ReverseRequest
"""What names something posted before."""

Request = Forward | Backward
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
    others. What is returned or reversed was posted before the batch. Raises `InvalidInput` for
    too many items, and `Throttled`.
    """
    if len(items) > MAX_ITEMS:
        raise InvalidInput(f"more than {MAX_ITEMS} items", field=("items",))
    looked_back = await _look_back(ledger, directory, till, items, at)
    prepared = [
        looked_back[index]
        if isinstance(item, ReturnRequest | ReverseRequest)
        else _prepare(directory, tokens, till, item, at)
        for index, item in enumerate(items)
    ]
    commands = [command for command in prepared if not isinstance(command, Refused)]
    outcomes = iter(await ledger.submit_many(commands))
    return [
        unreadable(command, at=at) if isinstance(command, Refused) else answer_of(next(outcomes))
        for command in prepared
    ]


async def _look_back(
    ledger: Ledger, directory: Directory, till: Till, items: Sequence[Request | Refused], at: datetime
) -> dict[int, Command | Refused]:
    """The commands of returns and reversals by their positions; what they name is read once for all."""
    returns = {index: item for index, item in enumerate(items) if isinstance(item, ReturnRequest)}
    reversals = {index: item for index, item in enumerate(items) if isinstance(item, ReverseRequest)}
    prepared: dict[int, Command | Refused] = {}
    if returns:
        found = await recall(ledger, directory, till, list(returns.values()))
        for (index, asked), purchase in zip(returns.items(), found, strict=True):
            prepared[index] = _unless_refused(prepare_return, directory, till, asked, purchase, at=at)
    if reversals:
        mistakes = await find_mistakes(ledger, {asked.operation for asked in reversals.values()})
        for index, undone in reversals.items():
            known = mistakes.get(undone.operation)
            prepared[index] = _unless_refused(prepare_reverse, directory, till, undone, known, at=at)
    return prepared


def _unless_refused(
    prepare: Callable[P, Command | Refused], *args: P.args, **kwargs: P.kwargs
) -> Command | Refused:
    try:
        return prepare(*args, **kwargs)
    except InvalidInput as refusal:
        return Refused.of(refusal)


def _prepare(
    directory: Directory, tokens: QuoteTokens, till: Till, item: Forward | Refused, at: datetime
) -> Command | Refused:
    match item:
        case EarnRequest():
            return _unless_refused(prepare_earn, directory, tokens, till, item, at=at)
        case AuthorizeRequest():
            return _unless_refused(prepare_authorize, directory, tokens, till, item, at=at)
        case BurnRequest():
            return _unless_refused(prepare_burn, directory, tokens, till, item, at=at)
        case CaptureRequest():
            return _unless_refused(prepare_capture, directory, till, item, at=at)
        case VoidRequest():
            return _unless_refused(prepare_void, till, item, at=at)
        case Refused():
            return item
