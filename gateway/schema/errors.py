"""What the published schema says of a refusal: one stable code for each reason, and where it lies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from math import ceil
from typing import Any, Final

import strawberry

from ledger.commands import Refused
from ledger.kernel.refusals import InvalidInput, Refusal, Throttled
from ledger.refusals import LimitExceeded


def _code(name: str, description: str) -> Any:
    return strawberry.enum_value(name, description=description)


@strawberry.enum(description="Why something was refused. Codes are added, never renamed.")
class ErrorCode(Enum):
    """Every code of every room."""

    ADJUSTMENT_UNKNOWN = _code("ADJUSTMENT_UNKNOWN", "No such adjustment.")
    AGREEMENT_MISSING = _code("AGREEMENT_MISSING", "The partner had no agreement at that time.")
    ALREADY_RETURNED = _code("ALREADY_RETURNED", "Part of it has come back: return the rest instead.")
    ALREADY_REVERSED = _code("ALREADY_REVERSED", "The operation was undone before.")
    BALANCE_OPENED = _code("BALANCE_OPENED", "The member's balance was opened before, with other points.")
    AHEAD_OF_CLOCK = _code("AHEAD_OF_CLOCK", "Points would arrive before they left: try again.")
    ALREADY_APPROVED = _code("ALREADY_APPROVED", "Somebody else has approved it.")
    APPROVER_IS_MAKER = _code(
        "APPROVER_IS_MAKER", "Whoever proposed it cannot approve it, nor a client that registered the other."
    )
    BUCKETS_BEHIND = _code(
        "BUCKETS_BEHIND",
        "Buckets still write to that period or are read-only; the message says which. Try again.",
    )
    CAP_EXCEEDED = _code("CAP_EXCEEDED", "More points than the receipt may take; the message says why.")
    CAPTURE_EXCEEDS_HOLD = _code("CAPTURE_EXCEEDS_HOLD", "More points than the hold has left.")
    CARD_TAKEN = _code("CARD_TAKEN", "Another member has this card.")
    CLIENT_UNKNOWN = _code("CLIENT_UNKNOWN", "No such OAuth client, or it is revoked.")
    CLOCK_NOT_DRIVEN = _code("CLOCK_NOT_DRIVEN", "This installation follows the wall clock.")
    DUPLICATE_RECEIPT = _code("DUPLICATE_RECEIPT", "The receipt was posted before, under another key.")
    EARLIER_PERIOD_OPEN = _code("EARLIER_PERIOD_OPEN", "Periods are closed in order.")
    FAULT = _code("FAULT", "Our own mistake; nothing was posted. The message has its reference in our log.")
    FORBIDDEN = _code("FORBIDDEN", "The token does not allow this.")
    FUNDING_UNKNOWN = _code("FUNDING_UNKNOWN", "Points are funded at issue or at redemption.")
    HOLD_CLOSED = _code("HOLD_CLOSED", "The hold was captured in full, or voided.")
    HOLD_EXPIRED = _code("HOLD_EXPIRED", "The hold lapsed; its points went back to the member.")
    HOLD_NOT_FOUND = _code("HOLD_NOT_FOUND", "This partner has no such hold.")
    HOLD_OPEN = _code("HOLD_OPEN", "Points are still held for the purchase: capture or void them first.")
    IDEMPOTENCY_CONFLICT = _code("IDEMPOTENCY_CONFLICT", "The key was used for a different request.")
    IMPORT_OUT_OF_STEP = _code(
        "IMPORT_OUT_OF_STEP", "Rows come in order and once; the message says which is the next."
    )
    INSUFFICIENT_POINTS = _code("INSUFFICIENT_POINTS", "The member has fewer points available.")
    INVALID_INPUT = _code("INVALID_INPUT", "A value makes no sense; the message and the field say which.")
    LATE_WINDOW_PASSED = _code("LATE_WINDOW_PASSED", "Too long ago to be posted, or undone by the partner.")
    LIMIT_EXCEEDED = _code("LIMIT_EXCEEDED", "A limit is reached; the message says which.")
    MEMBER_FORGOTTEN = _code("MEMBER_FORGOTTEN", "The member was erased and does not come back by a file.")
    MEMBER_FROZEN = _code("MEMBER_FROZEN", "The member's points may not move.")
    MEMBER_MERGED = _code("MEMBER_MERGED", "The member was merged into another before.")
    MEMBER_NOT_FOUND = _code("MEMBER_NOT_FOUND", "No member answers to what was presented.")
    MEMBER_TOKEN_EXPIRED = _code("MEMBER_TOKEN_EXPIRED", "The QR code is out of date: ask for a fresh one.")
    MEMBER_TOKEN_USED = _code("MEMBER_TOKEN_USED", "The QR code already backs another burn.")
    NO_NOTICES = _code("NO_NOTICES", "The programme tells nobody before points expire.")
    NOT_FENCED = _code("NOT_FENCED", "Nothing stands against that bucket, so there is nothing to lift.")
    NOT_RETURNABLE = _code("NOT_RETURNABLE", "Nothing of this operation can be given or taken back.")
    NOVATION_UNDER_WAY = _code("NOVATION_UNDER_WAY", "The partner's points change hands already.")
    NOT_A_CHARITY = _code("NOT_A_CHARITY", "The partner takes no donations.")
    OCCURRED_AT_OUT_OF_RANGE = _code("OCCURRED_AT_OUT_OF_RANGE", "The receipt is dated in the future.")
    OPERATION_NOT_FOUND = _code("OPERATION_NOT_FOUND", "This partner has no such operation.")
    OUTLET_EXISTS = _code("OUTLET_EXISTS", "The partner already has an outlet of that code.")
    OUTLET_UNKNOWN = _code("OUTLET_UNKNOWN", "The partner has no such outlet, or the client may not use it.")
    PARTNER_STILL_TRADING = _code("PARTNER_STILL_TRADING", "A partner that leaves is suspended first.")
    PARTNER_SUSPENDED = _code("PARTNER_SUSPENDED", "The partner neither gives nor takes points at present.")
    PARTNER_UNKNOWN = _code("PARTNER_UNKNOWN", "No such partner.")
    PERIOD_NOT_ENDED = _code("PERIOD_NOT_ENDED", "The period is not over yet, so it cannot be closed.")
    PERIOD_UNKNOWN = _code("PERIOD_UNKNOWN", "No such period.")
    PERIOD_UNSEALED = _code("PERIOD_UNSEALED", "The period is not sealed yet: try again later.")
    PHONE_TAKEN = _code("PHONE_TAKEN", "Another member has this phone.")
    POINTS_INVALID = _code("POINTS_INVALID", "Points are whole numbers within the limits.")
    PROGRAMME_EXISTS = _code("PROGRAMME_EXISTS", "This installation already has its programme.")
    PROGRAMME_MISSING = _code("PROGRAMME_MISSING", "The programme has not been created yet.")
    PROOF_FAILS = _code("PROOF_FAILS", "The proof does not hold there; the message names the row.")
    PROPOSAL_CHANGED = _code("PROPOSAL_CHANGED", "What is approved is not what was proposed.")
    PROPOSAL_EXPIRED = _code("PROPOSAL_EXPIRED", "The proposal has waited too long.")
    QUOTE_STALE = _code("QUOTE_STALE", "The quote expired or was made for something else.")
    READ_ONLY = _code("READ_ONLY", "This part of the ledger is read-only while a finding is examined.")
    RECEIPT_AMBIGUOUS = _code(
        "RECEIPT_AMBIGUOUS", "Several members have points on this receipt: name the operation."
    )
    RETURN_EXCEEDS_ORIGINAL = _code("RETURN_EXCEEDS_ORIGINAL", "More is returned than was bought.")
    SAME_PERSON = _code("SAME_PERSON", "Both name the same member already.")
    SHEET_UNREADABLE = _code(
        "SHEET_UNREADABLE", "A period's sheet was damaged; the message says which, the proof says how."
    )
    STATEMENT_UNKNOWN = _code("STATEMENT_UNKNOWN", "No such statement.")
    STEP_UP_REQUIRED = _code("STEP_UP_REQUIRED", "Burning needs proof of presence: a current QR code.")
    TARIFF_MISSING = _code("TARIFF_MISSING", "Points were earned under a tariff that is not known.")
    THROTTLED = _code("THROTTLED", "Too much at once; nothing was stored. Try again later.")
    TRANSFER_NOT_FOUND = _code("TRANSFER_NOT_FOUND", "No such transfer is under way.")
    TRANSFER_TO_SELF = _code("TRANSFER_TO_SELF", "Points are transferred to somebody else.")
    UNAUTHENTICATED = _code("UNAUTHENTICATED", "The request carries no good access token.")


@strawberry.type(description="A refusal by a rule. The request was understood; nothing else was done.")
class UserError:
    """A refusal as it is answered."""

    code: ErrorCode = strawberry.field(description="The reason, for programs.")
    message: str = strawberry.field(description="The reason, for people; safe to show.")
    field: list[str] | None = strawberry.field(
        description="The path of the offending value within `input`, null when no single value is to blame."
    )
    retryable: bool = strawberry.field(
        description="True when the same request may succeed later. Then it was not stored."
    )
    limit: str | None = strawberry.field(
        default=None,
        description="The name of the limit that said no, such as `partner:3/earned_per_day`; else null.",
    )
    retry_after_seconds: int | None = strawberry.field(
        default=None, description="How many seconds to wait before trying again, if that is known."
    )


@contextmanager
def below(*path: str) -> Iterator[None]:
    """Say of a value that makes no sense that it stands below `path` in the input."""
    try:
        yield
    except InvalidInput as refusal:
        raise InvalidInput(refusal.message, field=(*path, *refusal.field)) from None


_PATHS: Final = {"receiptNumber": ("receipt", "number")}
"""Where the schema keeps what a room knows under another name."""

_UNIT: Final = re.compile(r"_(micro|ppm|points)$")
_WORD: Final = re.compile(r"_(.)")


def user_error(refusal: Refusal | Refused) -> UserError:
    """A refusal of any room, raised or stored."""
    seconds = refusal.seconds if isinstance(refusal, Throttled) else None
    return UserError(
        code=ErrorCode(refusal.code),
        message=refusal.message,
        field=path_of(refusal.field) if refusal.field else None,
        retryable=refusal.retryable,
        limit=refusal.limit or None if isinstance(refusal, Refused | LimitExceeded) else None,
        retry_after_seconds=None if seconds is None else ceil(seconds),
    )


def path_of(field: tuple[str, ...]) -> list[str]:
    """A path in the names of the schema: units are dropped, words joined in camel case."""
    path: list[str] = []
    for name in field:
        plain = _WORD.sub(lambda found: found[1].upper(), _UNIT.sub("", name))
        path.extend(_PATHS.get(plain, (plain,)))
    return path
