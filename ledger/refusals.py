"""The ledger's own refusals: what a bucket decides, and no caller can know beforehand."""

from __future__ import annotations

from .kernel.refusals import Refusal


class IdempotencyConflict(Refusal):
    """The key was used before, for a different request."""

    code = "IDEMPOTENCY_CONFLICT"

    def __init__(self) -> None:
        super().__init__("this idempotency key was used for a different request", field=("idempotencyKey",))


class DuplicateReceipt(Refusal):
    """The receipt (partner, outlet, terminal, number) was posted before under another key."""

    code = "DUPLICATE_RECEIPT"

    def __init__(self, number: str) -> None:
        super().__init__(f"receipt {number} was already posted", field=("receiptNumber",))


class MemberTokenUsed(Refusal):
    """The presented token already backs another burn."""

    code = "MEMBER_TOKEN_USED"

    def __init__(self) -> None:
        super().__init__("this member token was already used: ask for a fresh one", field=("member",))


class MemberFrozen(Refusal):
    """The member's points may not move."""

    code = "MEMBER_FROZEN"

    def __init__(self) -> None:
        super().__init__("the member is frozen", field=("member",))


class InsufficientPoints(Refusal):
    """The member has fewer points available than the command would take."""

    code = "INSUFFICIENT_POINTS"

    def __init__(self, *, available: int, needed: int) -> None:
        super().__init__(f"{needed} points needed, {available} available", field=("points",))
        self.available, self.needed = available, needed


class LimitExceeded(Refusal):
    """A counter would pass its ceiling; `limit` names it."""

    code = "LIMIT_EXCEEDED"

    def __init__(self, limit: str, *, ceiling: int) -> None:
        super().__init__(f"the limit {limit} of {ceiling} would be exceeded")
        self.limit = limit


class HoldNotFound(Refusal):
    """No such hold, or it is another partner's: the two are not told apart."""

    code = "HOLD_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such hold", field=("hold",))


class HoldExpired(Refusal):
    """The hold lapsed and its points went back to the member."""

    code = "HOLD_EXPIRED"

    def __init__(self) -> None:
        super().__init__("the hold has lapsed", field=("hold",))


class HoldClosed(Refusal):
    """The hold was captured in full, or voided."""

    code = "HOLD_CLOSED"

    def __init__(self) -> None:
        super().__init__("the hold is closed", field=("hold",))


class CaptureExceedsHold(Refusal):
    """More is to be captured than the hold has left."""

    code = "CAPTURE_EXCEEDS_HOLD"

    def __init__(self, *, left: int, asked: int) -> None:
        super().__init__(f"{asked} points asked, {left} left on the hold", field=("points",))


class TransferToSelf(Refusal):
    """A transfer needs two members."""

    code = "TRANSFER_TO_SELF"

    def __init__(self) -> None:
        super().__init__("points are transferred to somebody else", field=("to",))


class TransferNotFound(Refusal):
    """No such transfer, or it has come to its end before."""

    code = "TRANSFER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("no such transfer is under way", field=("transfer",))


class MemberMerged(Refusal):
    """The member was merged into another before."""

    code = "MEMBER_MERGED"

    def __init__(self) -> None:
        super().__init__("the member was merged into another before", field=("merged",))


class AheadOfClock(Refusal):
    """Points would arrive before they left: this process's clock is behind the other's."""

    code = "AHEAD_OF_CLOCK"
    retryable = True

    def __init__(self) -> None:
        super().__init__("the points left a moment ahead of the clock here: try again")


class OperationNotFound(Refusal):
    """No such operation, or it is another partner's: the two are not told apart."""

    code = "OPERATION_NOT_FOUND"

    def __init__(self, field: tuple[str, ...] = ("operation",)) -> None:
        super().__init__("no such operation", field=field)


class NotReturnable(Refusal):
    """The operation exists, and nothing of it can be given back or taken back."""

    code = "NOT_RETURNABLE"

    def __init__(self, message: str) -> None:
        super().__init__(message, field=("operation",))


class ReturnExceedsOriginal(Refusal):
    """More of a line comes back than was bought and has not come back yet."""

    code = "RETURN_EXCEEDS_ORIGINAL"

    def __init__(self, message: str) -> None:
        super().__init__(message, field=("lines",))


class HoldOpen(Refusal):
    """Points of the purchase are still held, so it is not known yet how many paid for it."""

    code = "HOLD_OPEN"
    retryable = True

    def __init__(self) -> None:
        super().__init__("points are still held for this purchase: capture or void the hold first")


class AlreadyReturned(Refusal):
    """Part of the operation has come back already, so it cannot be undone whole."""

    code = "ALREADY_RETURNED"

    def __init__(self) -> None:
        super().__init__(
            "goods of this purchase have come back already: return the rest instead", field=("operation",)
        )


class AlreadyReversed(Refusal):
    """The operation was undone before."""

    code = "ALREADY_REVERSED"

    def __init__(self) -> None:
        super().__init__("this operation was reversed already", field=("operation",))


class BucketFenced(Refusal):
    """A proof failed here: the bucket is read-only until a person lifts the fence."""

    code = "READ_ONLY"
    retryable = True

    def __init__(self) -> None:
        super().__init__("this part of the ledger is read-only while a finding is examined")


class Faulted(Refusal):
    """A command met a mistake of our own; nothing of it was posted."""

    code = "FAULT"
    retryable = True

    def __init__(self, reference: str) -> None:
        super().__init__(f"this could not be posted; our log knows it as {reference}")
