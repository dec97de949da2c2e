"""Posting: items go to `postBatch` in portions, and what became of each comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from gateway.unable import Unable

from .door import Payload, Session, UserError, request_body

MOST_ITEMS: Final = 500

_DOCUMENT: Final = """
mutation Post($input: PostBatchInput!) {
  answer: postBatch(input: $input) {
    outcomes { operation { points availableAt } userErrors { code message retryAfterSeconds } }
    userErrors { code message retryAfterSeconds }
  }
}
"""
_HEAD, _TAIL = request_body(_DOCUMENT, b'{"input":{"items":[]}}').rsplit(b"]", 1)


class Operation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What moved, and when it may be spent."""

    points: int
    available_at: datetime | None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The stored answer to one item: an operation, or one refusal."""

    operation: Operation | None
    user_errors: list[UserError]


class _Batch(Payload, frozen=True, kw_only=True):
    outcomes: list[Outcome] | None


class _Answer(msgspec.Struct, frozen=True):
    answer: _Batch


async def post(till: Session, items: Sequence[str]) -> list[Outcome]:
    """The outcomes of items of one partner, in order; they are posted in that order."""
    outcomes: list[Outcome] = []
    for start in range(0, len(items), MOST_ITEMS):
        body = _HEAD + ",".join(items[start : start + MOST_ITEMS]).encode() + b"]" + _TAIL
        outcomes += await _post(till, body)
    return outcomes


async def _post(till: Session, body: bytes) -> list[Outcome]:
    """Repeats a batch of which something was throttled: what was posted is answered again."""
    while True:
        batch = (await till.send(body, _Answer)).answer
        refused = [
            *batch.user_errors,
            *(error for each in batch.outcomes or () for error in each.user_errors),
        ]
        throttled = [each for each in refused if each.code == "THROTTLED"]
        if throttled:
            await asyncio.sleep(max(each.retry_after_seconds or 1 for each in throttled))
        elif batch.outcomes is None:
            raise Unable(f"A batch was refused: {refused[0].message} ({refused[0].code})")
        else:
            return batch.outcomes
