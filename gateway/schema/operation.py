"""An operation of the ledger as a partner sees it: what moved, what is left, and why."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from gateway.context import Info
from ledger import Balance as KnownBalance
from ledger import Outcome, Recorded
from partners import Answer, Detail, LineShare, Note, Ruling, decode_detail, decode_note, explain

from .access import computed
from .errors import UserError, user_error
from .inclusion import proof_file
from .money import Money, money_of
from .node import Node, global_id, number_of
from .returned import Returned, returned_of
from .scalars import DateTime, Points

KIND = "Operation"


@strawberry.enum(description="What an operation does.")
class OperationKind(Enum):
    """The ledger's kinds, in the words of the API."""

    EARN = strawberry.enum_value("EARN", description="Points were given for a purchase.")
    AUTHORIZE_BURN = strawberry.enum_value("AUTHORIZE_BURN", description="Points were held for a purchase.")
    CAPTURE_BURN = strawberry.enum_value("CAPTURE_BURN", description="Held points were redeemed.")
    VOID_BURN = strawberry.enum_value("VOID_BURN", description="Held points went back to the member.")
    BURN = strawberry.enum_value("BURN", description="Points were held and redeemed at once.")
    OPENING = strawberry.enum_value(
        "OPENING", description="A balance was brought along from another programme."
    )
    TRANSFER = strawberry.enum_value("TRANSFER", description="Points were sent to another member.")
    MERGE = strawberry.enum_value("MERGE", description="A member was merged into another.")
    NOVATE = strawberry.enum_value("NOVATE", description="Another obligor answers for the points now.")
    ARM_EXPIRY = strawberry.enum_value("ARM_EXPIRY", description="The member was told, so points may expire.")
    RETURN = strawberry.enum_value("RETURN", description="Goods of a purchase came back.")
    REVERSE = strawberry.enum_value("REVERSE", description="A mistake was undone.")
    GRANT = strawberry.enum_value("GRANT", description="The operator gave points at its own cost.")
    DONATE = strawberry.enum_value("DONATE", description="Points were given to a charity.")
    ADJUST = strawberry.enum_value("ADJUST", description="Points were corrected by hand, by two people.")
    FREEZE = strawberry.enum_value("FREEZE", description="The member was kept from earning and spending.")
    UNFREEZE = strawberry.enum_value("UNFREEZE", description="The member may earn and spend again.")
    OTHER = strawberry.enum_value("OTHER", description="A kind that this version does not name.")


@strawberry.enum(description="What has become of the points of an operation, at the time of its answer.")
class OperationState(Enum):
    """Where the points went."""

    PENDING = strawberry.enum_value("PENDING", description="They wait until `availableAt`.")
    AVAILABLE = strawberry.enum_value("AVAILABLE", description="The member may spend them.")
    HELD = strawberry.enum_value("HELD", description="They wait for a capture or a void.")
    REDEEMED = strawberry.enum_value("REDEEMED", description="They paid for something.")
    SENT = strawberry.enum_value("SENT", description="They set off to another member.")
    GIVEN_BACK = strawberry.enum_value("GIVEN_BACK", description="They are the member's again.")
    RETURNED = strawberry.enum_value(
        "RETURNED", description="They were taken back, given back, or both; `returned` says which."
    )
    TAKEN = strawberry.enum_value("TAKEN", description="They were taken by an adjustment.")
    DONE = strawberry.enum_value("DONE", description="No points moved, and none were to move.")
    REFUSED = strawberry.enum_value("REFUSED", description="Nothing moved; `refusal` says why.")


@strawberry.type(description="A member's points.")
class Balance:
    """The balances of a wallet."""

    pending: Points = strawberry.field(description="Points earned that are not available yet.")
    available: Points = strawberry.field(description="Points that may be spent.")
    held: Points = strawberry.field(description="Points held for purchases under way.")
    shown: Points = strawberry.field(
        description="The balance to show: available points less what is to be taken back; may be negative."
    )


@strawberry.type(description="Points held for a purchase.")
class Hold:
    """A hold after an operation on it."""

    id: strawberry.ID = strawberry.field(description="Give this to `captureBurn` and `voidBurn`.")
    points_left: Points = strawberry.field(description="Points that are still held.")
    expires_at: DateTime | None = strawberry.field(
        description="When what is left goes back to the member; null when nothing is left."
    )


@strawberry.type(description="What a line of the receipt earned, or what points paid of it.")
class LineOutcome:
    """One line's part."""

    line: int = strawberry.field(description="The position of the line in the receipt, from 0.")
    points_earned: Points = strawberry.field(description="Points that the line earned.")
    points_burned: Points = strawberry.field(description="Points that paid for the line.")
    money_off: Money = strawberry.field(description="What these points take off the line's price.")


@strawberry.type(description="What one rule had to say, in plain words.")
class Explanation:
    """A rule's ruling."""

    rule: str = strawberry.field(description="The rule's name, the same for ever.")
    applied: bool = strawberry.field(description="Whether it changed anything.")
    points: Points = strawberry.field(description="Points that it gave.")
    text: str = strawberry.field(description="Why, in plain words.")


@strawberry.type(description="One operation of the ledger. It never changes once it is recorded.")
class Operation(Node):
    """An outcome with the detail that was stored with it."""

    id: strawberry.ID = strawberry.field(description="The operation's id.")
    outcome: strawberry.Private[Outcome]
    detail: strawberry.Private[Detail | None]
    note: strawberry.Private[Note | None] = None

    @computed("What it does.")
    def kind(self) -> OperationKind:
        """The ledger's kind in the words of the API."""
        return _KINDS.get(self.outcome.kind, OperationKind.OTHER)

    @computed("What has become of the points.")
    def state(self) -> OperationState:
        """Where the points went."""
        if self.outcome.refused is not None:
            return OperationState.REFUSED
        if self.outcome.kind == "earn":
            return OperationState.PENDING if self.outcome.available_at else OperationState.AVAILABLE
        if self.outcome.kind == "adjust":
            return OperationState.AVAILABLE if self.outcome.points > 0 else OperationState.TAKEN
        return _STATES.get(self.outcome.kind, OperationState.REDEEMED)

    @computed("When it was written, in programme time.")
    def recorded_at(self) -> DateTime:
        """The instant of its batch."""
        return self.outcome.recorded_at

    @computed(
        "Points that it earned, held, redeemed or gave back; below zero for an adjustment that took them."
    )
    def points(self) -> Points:
        """What moved."""
        return self.outcome.points

    @computed("When earned points may be spent; null when they may be at once, or for burns.")
    def available_at(self) -> DateTime | None:
        """The end of the pending time."""
        return self.outcome.available_at

    @computed("When earned points expire; null for burns.")
    def expires_at(self) -> DateTime | None:
        """The end of the lot."""
        return self.outcome.expires_at

    @computed("The member's points after it.")
    def balance(self) -> Balance:
        """The wallet as it was left."""
        return balance_of(self.outcome.balance)

    @computed("The hold that it made or used; null for other operations.")
    def hold(self) -> Hold | None:
        """The hold as it was left."""
        return _hold_of(self.outcome)

    @computed("What each line earned, or what points paid of it; empty without a receipt.")
    def lines(self) -> list[LineOutcome]:
        """The split over the receipt, for the fiscal receipt too."""
        detail = self.detail
        return [] if detail is None else line_outcomes(detail.lines, detail.receipt.currency)

    @computed("Each rule that was applied or refused, in plain words.")
    def explanation(self) -> list[Explanation]:
        """Why so many points."""
        rulings = () if self.detail is None else self.detail.rulings
        if self.outcome.returned is not None:
            rulings += explain(self.outcome.returned)
        return explanations(rulings)

    @computed("What a return or a reversal gave back and took back; null for other operations.")
    def returned(self) -> Returned | None:
        """The effects of a return, in the currency of its receipt."""
        if self.outcome.returned is None or self.detail is None:
            return None
        return returned_of(self.outcome.returned, self.detail.receipt.currency)

    @computed(
        "Why it was reversed, or done by staff, in the words of whoever did; null for other operations."
    )
    def reason(self) -> str | None:
        """The reason that was given."""
        if self.note is not None:
            return self.note.reason
        return (self.detail.reason or None) if self.detail else None

    @computed(
        "A file that proves it offline, with `kopilka verify`: JSON that leads from its row to the signed "
        "seal of its period. Null until that is sealed. Needs the scope `proof:export`; one in a document."
    )
    async def inclusion_proof(self, info: Info) -> str | None:
        """The way up to the seal."""
        return await proof_file(info.context, self.outcome.operation)

    @computed("Why nothing moved; null when something did.")
    def refusal(self) -> UserError | None:
        """The stored refusal."""
        refused = self.outcome.refused
        return None if refused is None else user_error(refused)


def operation_of(answer: Answer) -> Operation:
    """The operation in an answer of the partners' room."""
    return _operation(answer.outcome, answer.detail, answer.note)


def recorded_operation(recorded: Recorded) -> Operation:
    """A stored operation."""
    return _operation(recorded.outcome, decode_detail(recorded.detail), decode_note(recorded.detail))


def balance_of(balance: KnownBalance) -> Balance:
    """A wallet's balances as the schema has them."""
    return Balance(
        pending=balance.pending, available=balance.available, held=balance.held, shown=balance.shown
    )


def line_outcomes(shares: tuple[LineShare, ...], currency: str) -> list[LineOutcome]:
    """The parts of the lines as the schema has them."""
    return [
        LineOutcome(
            line=share.line,
            points_earned=share.points_earned,
            points_burned=share.points_burned,
            money_off=money_of(share.money_off_micro, currency),
        )
        for share in shares
    ]


def explanations(rulings: tuple[Ruling, ...]) -> list[Explanation]:
    """The rulings as the schema has them."""
    return [
        Explanation(rule=ruling.rule, applied=ruling.applied, points=ruling.points, text=ruling.text)
        for ruling in rulings
    ]


def hold_number(id_: str) -> int:
    """The ledger's number of a hold."""
    return number_of(id_, "Hold", field="hold")


def _operation(outcome: Outcome, detail: Detail | None, note: Note | None) -> Operation:
    return Operation(id=global_id(KIND, outcome.operation), outcome=outcome, detail=detail, note=note)


def _hold_of(outcome: Outcome) -> Hold | None:
    if outcome.hold is None:
        return None
    expires_at: datetime | None = outcome.hold_expires_at if outcome.hold_left else None
    return Hold(id=global_id("Hold", outcome.hold), points_left=outcome.hold_left, expires_at=expires_at)


_KINDS = {
    "earn": OperationKind.EARN,
    "authorize": OperationKind.AUTHORIZE_BURN,
    "capture": OperationKind.CAPTURE_BURN,
    "void": OperationKind.VOID_BURN,
    "burn": OperationKind.BURN,
    "opening": OperationKind.OPENING,
    "transfer": OperationKind.TRANSFER,
    "merge": OperationKind.MERGE,
    "novate": OperationKind.NOVATE,
    "arm_expiry": OperationKind.ARM_EXPIRY,
    "return": OperationKind.RETURN,
    "reverse": OperationKind.REVERSE,
    "grant": OperationKind.GRANT,
    "donate": OperationKind.DONATE,
    "adjust": OperationKind.ADJUST,
    "freeze": OperationKind.FREEZE,
    "unfreeze": OperationKind.UNFREEZE,
}
_STATES = {
    "authorize": OperationState.HELD,
    "capture": OperationState.REDEEMED,
    "void": OperationState.GIVEN_BACK,
    "burn": OperationState.REDEEMED,
    "opening": OperationState.AVAILABLE,
    "transfer": OperationState.SENT,
    "transfer_back": OperationState.GIVEN_BACK,
    "transfer_in": OperationState.AVAILABLE,
    "merge": OperationState.AVAILABLE,
    "novate": OperationState.AVAILABLE,
    "arm_expiry": OperationState.AVAILABLE,
    "return": OperationState.RETURNED,
    "reverse": OperationState.RETURNED,
    "grant": OperationState.AVAILABLE,
    "donate": OperationState.REDEEMED,
    "freeze": OperationState.DONE,
    "unfreeze": OperationState.DONE,
}
