"""What a caller is told of an error: a refusal in full, a fault of ours only by its reference."""

from __future__ import annotations

import secrets
from typing import Any, Final

import structlog
from graphql import GraphQLError

from ledger.kernel.refusals import InvalidInput, Refusal, Throttled

_LONGEST_MESSAGE: Final = 500
"""graphql-core quotes the value it refuses, which may be as long as a body."""

_log: Final = structlog.get_logger("gateway.http")


def told(error: GraphQLError, *, default_code: str) -> dict[str, Any]:
    """The error as it stands in an answer; a fault is logged here, once, under its reference."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    if isinstance(cause, Refusal):
        return _located(error, cause.message, refusal_extensions(cause))
    if cause is not None and default_code == FAULT:
        return _located(error, *_masked(cause))
    code = (error.extensions or {}).get("code", default_code)
    message = error.message
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + "…"
    return _located(error, message, {"code": code})


def told_of_refusal(refusal: Refusal) -> dict[str, Any]:
    """A refusal of the whole request."""
    return {"message": refusal.message, "extensions": refusal_extensions(refusal)}


def told_of_fault(cause: BaseException) -> dict[str, Any]:
    """A fault outside any field, logged under the reference it carries."""
    message, extensions = _masked(cause)
    return {"message": message, "extensions": extensions}


def refusal_extensions(refusal: Refusal) -> dict[str, Any]:
    """The code of a refusal, and the seconds to wait when there are some."""
    extensions: dict[str, Any] = {"code": refusal.code}
    if isinstance(refusal, Throttled):
        extensions["seconds"] = refusal.seconds
    return extensions


FAULT: Final = "FAULT"
INVALID_DOCUMENT: Final = "INVALID_DOCUMENT"
INVALID_INPUT: Final = InvalidInput.code


def _masked(cause: BaseException) -> tuple[str, dict[str, Any]]:
    reference = secrets.token_hex(8)
    _log.error("fault", reference=reference, exc_info=cause)
    message = f"Something went wrong on our side. Reference: {reference}"
    return message, {"code": FAULT, "reference": reference}


def _located(error: GraphQLError, message: str, extensions: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"message": message}
    if error.locations:
        answer["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        answer["path"] = error.path
    answer["extensions"] = extensions
    return answer
