"""A refusal: a rule said no. It is an expected answer, typed and coded, never logged as an error."""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """Base of every expected no.

    `code` is one of the codes of the published `ErrorCode` enum. `field` is the path of the
    offending value in the caller's input, outermost first; empty when no single value is to
    blame. A `retryable` refusal is never stored: the same request may succeed later.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, field: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidInput(Refusal):
    """A value has the right type and the wrong content."""

    code = "INVALID_INPUT"


class Throttled(Refusal):
    """Too much is asked at once; `seconds` says when to try again. Nothing was stored."""

    code = "THROTTLED"
    retryable = True

    def __init__(self, message: str, *, seconds: float = 1.0) -> None:
        super().__init__(message)
        self.seconds = seconds
